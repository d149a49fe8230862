"""The composition root of a gateway: its producer and its gate, made anew for each session, and the run of a source.

Place in the flow: behind `lineside gateway` and `lineside up`. While gateways are asked to pause frames wait in the
spool, and a session that begins then waits at the gate. Decides nothing about frames.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from prometheus_client import REGISTRY

from schemas.codec import Codec
from schemas.records import Event, FrameCaptured
from streams.bus.admin import require_topics, wait_for_broker
from streams.bus.connect import reaching
from streams.bus.publisher import Delivery, Publisher
from streams.bus.registry_client import codec_for
from streams.capture.gate import LeasedGate
from streams.capture.gateway import Counts, Gateway, Progress
from streams.capture.metrics import GatewayMetrics
from streams.capture.session import STOP_S
from streams.capture.source import Source
from streams.pausing import gateway_gate
from streams.settings import Settings
from streams.topics import Topic, own, topic_specs

PROBE_S = 2.0  # a gateway looks so long for its broker, then frames go to the spool meanwhile


class GatedLink:
    """A producer behind its gate: `capture.session.Link`."""

    def __init__(self, settings: Settings, publisher: Publisher, gate: LeasedGate, stack: AsyncExitStack) -> None:
        """`stack` ends publisher and gate. Frames go to those of this gateway's pool."""
        self._settings = settings
        self._publisher = publisher
        self._gate = gate
        self._stack = stack

    @property
    def is_paused(self) -> bool:
        return self._gate.closed

    async def send(
        self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
    ) -> asyncio.Future[Delivery]:
        async with self._gate.passing():
            return await self._publisher.send(own(topic, self._settings), record, key=key, partition=partition)

    async def stop(self, timeout_s: float = STOP_S) -> None:
        async with self._stack:
            await self._publisher.stop(timeout_s)

    async def abort(self) -> None:
        async with self._stack:
            await self._publisher.abort()


async def connect(settings: Settings, codec: Codec) -> GatedLink:
    """A started producer to topics that are right; waits as long as gateways are asked to pause."""
    await wait_for_broker(settings.bootstrap, PROBE_S)
    async with AsyncExitStack() as stack:
        async with reaching(settings.bootstrap):
            await require_topics(settings.bootstrap, topic_specs(settings))
        await asyncio.to_thread(codec.prepare, FrameCaptured)
        publisher = Publisher(settings.bootstrap, settings.topic_prefix, codec)
        await publisher.start()
        stack.push_async_callback(publisher.abort)  # idle where it was stopped
        gate = await stack.enter_async_context(gateway_gate(settings, publisher, codec))
        async with gate.passing():
            pass
        return GatedLink(settings, publisher, gate, stack.pop_all())


async def run_gateway(settings: Settings, source: Source, progress: Progress, with_metrics: bool = False) -> Counts:
    """`lineside gateway`: send every picture of a source; returns when the broker has confirmed the last."""
    codec = codec_for(settings)
    gateway = Gateway(lambda: connect(settings, codec), settings, progress=progress)
    if with_metrics:
        REGISTRY.register(GatewayMetrics(gateway))
    return await gateway.run(source)
