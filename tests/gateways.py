"""Sources and a broker for tests of the gateway: shots made by hand, a broker that is away when the test says so."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import monotonic

from schemas.records import Encoding, Event, FrameCaptured
from streams.bus.publisher import Delivery
from streams.capture.source import Camera, Shot
from streams.errors import BrokerUnreachableError, OperatorError
from streams.topics import Topic

CAMERA = Camera("plant", "line-1", "station-1", "cam")


def shot(number: int = 0, **changes: object) -> Shot:
    base = Shot(
        camera=CAMERA,
        sku="plate",
        data=f"picture {number}".encode(),
        encoding=Encoding.PNG,
        width=32,
        height=24,
        captured_at=datetime.now(UTC),
        triggered_s=monotonic(),
        part_id=str(number),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


class Shots:
    """A source of given shots; with `endless` it waits for ever after the last, as a watched folder does."""

    def __init__(self, shots: list[Shot], endless: bool = False, can_wait: bool = True) -> None:
        self.shots, self.endless, self.can_wait = shots, endless, can_wait
        self.known: list[Shot] = []
        self.closed = False

    @property
    def total(self) -> int:
        return len(self.shots)

    @property
    def known_parts(self) -> list[int]:
        """Numbers of the shots that somebody took over."""
        return [int(shot.part_id or -1) for shot in self.known]

    async def __aiter__(self) -> AsyncIterator[Shot]:
        try:
            for each in self.shots:
                yield each
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True

    def confirmed(self, shot: Shot) -> None:
        self.known.append(shot)


class FakeBroker:
    """`log` is the topic. `is_up`: it can be reached; `is_silent`: it confirms nothing; `refuses`: it fails all.

    A silent broker may have appended what it did not confirm: the first `appends_unconfirmed` of each connection.
    """

    def __init__(self) -> None:
        self.log: list[FrameCaptured] = []
        self.is_up, self.is_silent, self.refuses = True, False, False
        self.appends_unconfirmed = 0
        self.silent_from: int | None = None  # the length of the log from which on it is silent
        self.connections: list[FakeConnection] = []
        self.confirm_after_s = 0.0

    async def connect(self) -> FakeConnection:
        if not self.is_up:
            raise BrokerUnreachableError("no Kafka at nowhere")
        assert all(connection.is_closed for connection in self.connections), "two producers at once break the order"
        self.connections.append(FakeConnection(self))
        return self.connections[-1]

    @property
    def parts(self) -> list[int]:
        """Part numbers on the topic, copies left out."""
        return list(dict.fromkeys(int(frame.part_id or -1) for frame in self.log))

    async def has(self, count: int, timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            while len(self.parts) < count:
                await asyncio.sleep(0.005)


class FakeConnection:
    """A producer; what is not confirmed when it is aborted fails, as Publisher's does."""

    is_paused = False

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self._pending: list[asyncio.Future[Delivery]] = []
        self._left = broker.appends_unconfirmed
        self._is_stuck = False  # behind what is not confirmed nothing is
        self.is_closed = False

    async def send(
        self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
    ) -> asyncio.Future[Delivery]:
        assert not self.is_closed
        assert isinstance(record, FrameCaptured)
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        if self._broker.refuses:
            future.set_exception(OperatorError("refused"))
        elif self._broker.is_silent or self._is_stuck or len(self._broker.log) == self._broker.silent_from:
            self._is_stuck = True
            self._pending.append(future)
            if self._left:
                self._left -= 1
                self._broker.log.append(record)
        elif self._broker.confirm_after_s:
            self._broker.log.append(record)
            self._pending.append(future)
            asyncio.get_running_loop().call_later(self._broker.confirm_after_s, self._confirm, future)
        else:
            self._broker.log.append(record)
            future.set_result(Delivery(0, len(self._broker.log), 0))
        return future

    def _confirm(self, future: asyncio.Future[Delivery]) -> None:
        if not future.done():
            future.set_result(Delivery(0, 0, 0))

    async def stop(self, timeout_s: float = 0.0) -> None:
        self.is_closed = True

    async def abort(self) -> None:
        await asyncio.sleep(0.001)
        for future in self._pending:
            if not future.done():
                future.set_exception(OperatorError("given up"))
        self.is_closed = True
