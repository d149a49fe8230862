"""The embedded Kafka under supervision: where it ends or hangs it is started again, at the same port, with its data.

Place in the flow: `lineside broker` and `lineside up`. Clients of ours find it again by themselves, or end and are
started again. Knows no topic.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging

from streams.bus.embedded import EmbeddedBroker
from streams.bus.kafka_jars import Progress
from streams.commands.children import FIRST_PAUSE_S, LONGEST_PAUSE_S, RESTARTS
from streams.errors import LinesideError

log = logging.getLogger(__name__)
WATCH_S = 0.5
ASK_S = 5.0  # from one question whether it answers to the next
SILENCE_S = 90.0  # running and without an answer for so long: it hangs


class BrokerKeeper:
    """Starts a broker and keeps it up until `stop`."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker
        self._keeping: asyncio.Task[None] | None = None
        self.restarts = 0

    async def start(self, on_progress: Progress | None = None) -> str:
        """Its address, once it answers. Errors as `EmbeddedBroker.start`; after that they are logged and it goes on."""
        address = await asyncio.to_thread(self._broker.start, on_progress=on_progress)
        port = int(address.rpartition(":")[2])
        self._broker.config = dataclasses.replace(self._broker.config, port=port)  # clients know it by this one
        self._keeping = asyncio.create_task(self._keep(), name="broker keeper")
        return address

    async def stop(self) -> None:
        """Stops Kafka cleanly, also while it is being started again."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        await asyncio.to_thread(self._broker.stop)

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            why = await self._why_it_is_gone()
            self.restarts += 1
            RESTARTS.labels("broker").inc()
            log.error("Kafka %s: restart %d; its log is %s", why, self.restarts, self._broker.log_file)
            await asyncio.sleep(pause_s)
            try:
                await self._start_again()
            except LinesideError as error:
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
                log.error("Kafka can't be started again, it is tried in %.1f s: %s", pause_s, error)
            else:
                pause_s = FIRST_PAUSE_S

    async def _why_it_is_gone(self) -> str:
        """Waits until Kafka has ended; ends one that hangs."""
        hanging = asyncio.create_task(self._hangs())
        try:
            while self._broker.is_running and not hanging.done():  # noqa: ASYNC110  # a process has no event
                await asyncio.sleep(WATCH_S)
        finally:
            hanging.cancel()
            await asyncio.wait([hanging])
        if not self._broker.is_running:
            return "ended by itself"
        await asyncio.to_thread(self._broker.kill)
        return f"had not answered for {SILENCE_S:g} s and was ended"

    async def _hangs(self) -> None:
        """Returns when it has given no answer for too long."""
        silent_s = 0.0
        while silent_s < SILENCE_S:
            await asyncio.sleep(ASK_S)
            silent_s = 0.0 if await self._broker.answers(ASK_S) else silent_s + 2 * ASK_S

    async def _start_again(self) -> None:
        starting = asyncio.create_task(asyncio.to_thread(self._broker.start))
        try:
            log.warning("Kafka is back at %s", await asyncio.shield(starting))
        except asyncio.CancelledError:  # a thread can't be cancelled, but what it waits for can be ended
            await asyncio.to_thread(self._broker.kill)
            with contextlib.suppress(LinesideError):
                await starting
            raise
