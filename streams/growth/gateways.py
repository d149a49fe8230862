"""All gateways paused, and told to go on: the asking side of `capture/gate.py`.

Place in the flow: held open around what must happen while no frame is on its way. The pause is prolonged all the time
and ends with the block, or by itself when this process dies. Which gateways there are, their group says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid4

from schemas.records import GateKind, GateSignal
from streams.errors import CallerError, OperatorError

log = logging.getLogger(__name__)
LEASE_S = 30.0
PROLONG_S = 5.0
POLL_S = 0.1


class Line(Protocol):
    """What is needed of Kafka."""

    async def signal(self, signal: GateSignal) -> None:
        """Returns when the broker has confirmed it."""
        ...

    async def gateways(self) -> frozenset[str]:
        """Names of those that are there."""
        ...


class Pause:
    """One pause. Hand it every signal of the topic with `take`, the past ones before it is begun."""

    def __init__(self, line: Line, lease_s: float = LEASE_S) -> None:
        self._line = line
        self._lease_s = lease_s
        self.id = uuid4()
        self.name = f"grow/{socket.gethostname()}/{os.getpid()}"
        self.paused: set[str] = set()
        self.went_on: dict[str, int] = {}  # with the partitions that each sees
        self._foreign: dict[UUID, tuple[str, float]] = {}  # pauses of others that nobody ended: who, when last heard
        self._confirmed_s = 0.0

    @property
    def safe(self) -> bool:
        """Whether no gateway can have gone on by itself, for a third of the lease from now on."""
        return time.monotonic() - self._confirmed_s < self._lease_s / 2

    def take(self, signal: GateSignal, appended_at: datetime) -> None:
        if signal.pause_id != self.id:
            if signal.kind is GateKind.PAUSE:
                self._foreign[signal.pause_id] = (signal.sender, time.monotonic())
            elif signal.kind is GateKind.GO_ON:
                self._foreign.pop(signal.pause_id, None)
        elif signal.kind is GateKind.PAUSED:
            self.paused.add(signal.sender)
        elif signal.kind is GateKind.WENT_ON:
            self.paused.discard(signal.sender)
            self.went_on[signal.sender] = signal.partitions or 0

    async def refuse_another(self) -> None:
        """CallerError where somebody else's pause is being prolonged; one that stands still was left by a crash."""
        if not self._foreign:
            return
        began_s = time.monotonic()
        while time.monotonic() - began_s < 2 * PROLONG_S:
            await asyncio.sleep(POLL_S)
            for sender, heard_s in self._foreign.values():
                if heard_s > began_s:
                    raise CallerError(f"{sender} adds partitions just now; wait until it is done, then look again")

    async def end_abandoned(self, partitions: int) -> None:
        """Tells gateways that wait for a growth that crashed to go on, when they see so many partitions."""
        for pause_id in tuple(self._foreign):
            await self._send(GateKind.GO_ON, pause_id=pause_id, partitions=partitions)
            self._foreign.pop(pause_id, None)

    @contextlib.asynccontextmanager
    async def held(self, partitions_then: Callable[[], int]) -> AsyncIterator[None]:
        """Asks for the pause, prolongs it while the block runs, and ends it whatever happens.

        `partitions_then` says at the end how many partitions gateways must see before they go on.
        """
        await self._ask()
        prolonging = asyncio.create_task(self._prolong())
        try:
            yield
        finally:
            prolonging.cancel()
            await asyncio.shield(self._send(GateKind.GO_ON, partitions=partitions_then()))

    async def all_paused(self) -> frozenset[str]:
        """Returns the gateways when each that there is has answered."""
        while True:
            gateways = await self._line.gateways()
            if gateways <= self.paused:
                return gateways
            await asyncio.sleep(POLL_S)

    async def missing(self) -> frozenset[str]:
        """Gateways that have not answered."""
        return await self._line.gateways() - self.paused

    async def late(self, gateways: Iterable[str]) -> frozenset[str]:
        """Those of `gateways` that are still there and have not said that they go on."""
        return (await self._line.gateways() & frozenset(gateways)) - self.went_on.keys()

    async def _ask(self) -> None:
        asked_s = time.monotonic()
        await self._send(GateKind.PAUSE, lease_ms=round(self._lease_s * 1000))
        self._confirmed_s = asked_s

    async def _prolong(self) -> None:
        while True:
            await asyncio.sleep(PROLONG_S)
            try:
                await self._ask()
            except OperatorError as error:
                log.warning("the pause could not be prolonged: %s", error)

    async def _send(self, kind: GateKind, pause_id: UUID | None = None, **fields: int) -> None:
        at = datetime.now(UTC)
        await self._line.signal(
            GateSignal(pause_id=pause_id or self.id, kind=kind, sender=self.name, at=at, **fields)  # type: ignore[arg-type]
        )
