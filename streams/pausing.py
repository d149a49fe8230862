"""A gateway's gate put to Kafka: it is a member of the group of gateways, hears signals and answers them.

Who adds partitions sees in the group which gateways there are, dead ones for ten seconds more. A gateway joins first
and then reads the topic `gates` to its end: so either it is seen, or it has heard of the pause before it sends.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from schemas.codec import Codec
from schemas.records import GateSignal
from streams.bus.control import ControlReader
from streams.bus.membership import Membership
from streams.bus.publisher import Publisher
from streams.capture.gate import LeasedGate
from streams.settings import Settings
from streams.topics import GATES, frames_of

GROUP = "gateways"
SESSION_MS = 10_000


class _Sending:
    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self._frames = frames_of(settings.pool)
        self._publisher = publisher

    @property
    def pending(self) -> int:
        return self._publisher.pending

    async def partitions(self, at_least: int) -> int:
        return await self._publisher.partitions(self._frames, at_least)

    async def answer(self, signal: GateSignal) -> int:
        return (await (await self._publisher.send(GATES, signal, key=signal.sender.encode()))).timestamp_ms


def gateway_name() -> str:
    """As the group of gateways and the topic `gates` know this one."""
    return f"gateway/{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"


@asynccontextmanager
async def gateway_gate(settings: Settings, publisher: Publisher, codec: Codec) -> AsyncIterator[LeasedGate]:
    """A gate that answers signals until the block ends. BrokerUnreachableError, CallerError for a missing topic."""
    name = gateway_name()
    gate = LeasedGate(name, _Sending(settings, publisher))
    group, topic = settings.topic_prefix + GROUP, settings.topic_prefix + GATES.name
    async with AsyncExitStack() as stack:
        member = Membership(settings.bootstrap, group, topic, _nothing, name=name, session_ms=SESSION_MS)
        await stack.enter_async_context(member)
        signals = await stack.enter_async_context(ControlReader(settings, codec, GATES, gate.take))
        await signals.caught_up()
        answering = asyncio.create_task(gate.run())
        try:
            yield gate
        finally:
            answering.cancel()
            await asyncio.wait([answering])


async def _nothing() -> None:
    """A gateway has nothing of the topic's partition."""
