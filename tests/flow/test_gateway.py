"""The gateway against a publisher that keeps its promises or breaks them: no frame is lost in silence."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

import streams.capture.gateway as gateway_module
from schemas.records import Encoding, Event, FrameCaptured
from streams.bus.publisher import Delivery
from streams.capture.gateway import Counts, Gateway
from streams.capture.source import Camera, Shot
from streams.errors import CallerError, LinesideError, OperatorError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import FRAMES, Topic

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

    def __init__(self, shots: list[Shot], endless: bool = False) -> None:
        self.shots, self.endless = shots, endless
        self.known: list[Shot] = []
        self.closed = False

    @property
    def total(self) -> int:
        return len(self.shots)

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


class FakePublisher:
    """Keeps what was sent; a delivery is confirmed after `delay_s`, or as `outcome` says for the n-th frame."""

    def __init__(self, delay_s: float = 0.0, outcome: Callable[[int], Exception | None] = lambda _: None) -> None:
        self.frames: list[FrameCaptured] = []
        self.keys: list[bytes] = []
        self.delay_s, self.outcome = delay_s, outcome
        self.in_flight = self.most_in_flight = 0
        self._sent = asyncio.Condition()

    async def has_sent(self, count: int) -> None:
        async with asyncio.timeout(10), self._sent:
            await self._sent.wait_for(lambda: len(self.frames) >= count)

    async def send(
        self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
    ) -> asyncio.Future[Delivery]:
        assert topic is FRAMES
        assert partition is None
        assert isinstance(record, FrameCaptured)
        number = len(self.frames)
        async with self._sent:
            self.frames.append(record)
            self._sent.notify_all()
        self.keys.append(key)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(self.delay_s, self._resolve, future, number)
        return future

    def _resolve(self, future: asyncio.Future[Delivery], number: int) -> None:
        self.in_flight -= 1
        if (error := self.outcome(number)) is not None:
            future.set_exception(error)
        else:
            future.set_result(Delivery(0, number, 0))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", inline_max_bytes=1000)


async def test_every_shot_is_sent_in_order_and_confirmed(settings: Settings) -> None:
    publisher, source, seen = FakePublisher(), Shots([shot(n) for n in range(500)]), []
    counts = await Gateway(publisher, settings, progress=lambda c: seen.append(c.confirmed)).run(source)
    assert (counts.sent, counts.confirmed, counts.claim_checks) == (500, 500, 0)
    assert [f.part_id for f in publisher.frames] == [str(n) for n in range(500)]
    assert [f.trigger_seq for f in publisher.frames] == list(range(1, 501))
    assert set(publisher.keys) == {b"plant/line-1/station-1"}
    assert [s.part_id for s in source.known] == [str(n) for n in range(500)]
    assert seen == list(range(1, 501))
    assert source.closed


async def test_trigger_numbers_go_on_in_the_next_run_and_count_by_camera(settings: Settings) -> None:
    other = Camera("plant", "line-1", "station-1", "cam-2")
    publisher = FakePublisher()
    for _ in range(2):
        await Gateway(publisher, settings).run(Shots([shot(), shot(camera=other), shot()]))
    numbers = [(f.camera, f.trigger_seq) for f in publisher.frames]
    assert numbers == [("cam", 1), ("cam-2", 1), ("cam", 2), ("cam", 3), ("cam-2", 2), ("cam", 4)]


async def test_large_pictures_are_in_the_store_before_their_frame_is_sent(settings: Settings) -> None:
    store = FrameStore(settings.frame_store_url)

    class Looks(FakePublisher):
        async def send(
            self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
        ) -> asyncio.Future[Delivery]:
            assert isinstance(record, FrameCaptured)
            if record.image_ref is not None:
                assert store.get(record.image_ref, 2000) == b"x" * 1001
                assert record.image_ref.endswith(".png")
            return await super().send(topic, record, key=key, partition=partition)

    publisher = Looks()
    counts = await Gateway(publisher, settings).run(Shots([shot(data=b"x" * 1000), shot(data=b"x" * 1001)]))
    assert [f.image_ref is None for f in publisher.frames] == [True, False]
    assert [f.image is None for f in publisher.frames] == [False, True]
    assert counts == Counts(sent=2, confirmed=2, claim_checks=1, picture_bytes=2001)


async def test_the_time_since_the_trigger_is_told(settings: Settings) -> None:
    publisher = FakePublisher()
    await Gateway(publisher, settings).run(
        Shots([shot(triggered_s=monotonic() - 2), shot(triggered_s=monotonic() + 9)])
    )
    assert 2000 <= publisher.frames[0].gateway_ms < 7000
    assert publisher.frames[1].gateway_ms == 0


@pytest.mark.parametrize(("frames", "in_flight_bytes", "most"), [(8, 1 << 20, 8), (1000, 90, 9), (1000, 1, 1)])
async def test_frames_in_flight_are_bounded_by_number_and_by_bytes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, frames: int, in_flight_bytes: int, most: int
) -> None:
    monkeypatch.setattr(gateway_module, "IN_FLIGHT_FRAMES", frames)
    monkeypatch.setattr(gateway_module, "IN_FLIGHT_BYTES", in_flight_bytes)
    publisher = FakePublisher(delay_s=0.002)
    await Gateway(publisher, settings).run(Shots([shot(data=b"ten bytes.") for _ in range(40)]))
    assert publisher.most_in_flight == most
    assert len(publisher.frames) == 40


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OperatorError("the broker refused it"), "the broker refused it"),
        (RuntimeError("odd"), "frame 3 of camera plant/line-1/station-1/cam was not confirmed: RuntimeError: odd"),
        (asyncio.CancelledError(), "frame 3 of camera plant/line-1/station-1/cam was not confirmed"),
    ],
)
async def test_a_delivery_that_fails_ends_the_run_even_while_the_source_is_silent(
    settings: Settings, error: Exception, sentence: str
) -> None:
    publisher = FakePublisher(0.01, lambda n: error if n == 2 else None)
    source = Shots([shot(n) for n in range(5)], endless=True)
    gateway = Gateway(publisher, settings)
    with pytest.raises(OperatorError, match=sentence):
        async with asyncio.timeout(5):
            await gateway.run(source)
    assert gateway.counts.confirmed == 4  # what was in flight beside it was waited for
    assert [s.part_id for s in source.known] == ["0", "1", "3", "4"]
    assert source.closed


async def test_a_failure_of_the_last_frame_is_not_overlooked(settings: Settings) -> None:
    publisher = FakePublisher(0.05, lambda n: OperatorError("lost") if n == 2 else None)
    with pytest.raises(OperatorError, match="lost"):
        await Gateway(publisher, settings).run(Shots([shot(n) for n in range(3)]))


async def test_nothing_is_sent_after_a_failure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "IN_FLIGHT_FRAMES", 1)
    publisher = FakePublisher(0.01, lambda n: OperatorError("refused") if n == 0 else None)
    with pytest.raises(OperatorError, match="refused"):
        await Gateway(publisher, settings).run(Shots([shot(n) for n in range(50)]))
    assert len(publisher.frames) == 1


async def test_a_shot_that_is_no_frame_spends_no_trigger_number(settings: Settings) -> None:
    publisher = FakePublisher()
    for _ in range(2):
        with pytest.raises(CallerError, match=r"a picture of .* can't be sent: captured_at .* is naive"):
            await Gateway(publisher, settings).run(Shots([shot(), shot(captured_at=datetime(2026, 1, 1))]))
    assert [f.trigger_seq for f in publisher.frames] == [1, 2]


async def test_a_store_that_takes_nothing_ends_the_run_before_the_frame(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = dataclasses.replace(settings, frame_store=str(tmp_path / "file" / "frames"))
    publisher = FakePublisher()
    with pytest.raises(LinesideError, match="frame store"):
        await Gateway(publisher, broken).run(Shots([shot(data=b"x" * 2000)]))
    assert publisher.frames == []


async def test_stopping_finishes_the_frames_in_flight(settings: Settings) -> None:
    # sent |1..40|            cancelled here: no new shot, all deliveries awaited, then it ends
    publisher, source = FakePublisher(delay_s=0.2), Shots([shot(n) for n in range(40)], endless=True)
    gateway = Gateway(publisher, settings)
    running = asyncio.create_task(gateway.run(source))
    await publisher.has_sent(40)
    assert gateway.counts.confirmed == 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gateway.counts.confirmed == 40
    assert len(source.known) == 40
    assert source.closed


async def test_stopping_in_the_middle_of_a_send_leaves_no_number_without_frame(settings: Settings) -> None:
    entered, room = asyncio.Event(), asyncio.Event()

    class Full(FakePublisher):
        async def send(
            self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
        ) -> asyncio.Future[Delivery]:
            entered.set()
            await room.wait()
            return await super().send(topic, record, key=key, partition=partition)

    publisher = Full()
    running = asyncio.create_task(Gateway(publisher, settings).run(Shots([shot(n) for n in range(3)])))
    await entered.wait()
    running.cancel()
    await asyncio.sleep(0.01)
    assert not running.done()
    room.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await Gateway(publisher, settings).run(Shots([shot(9)]))
    assert [(f.part_id, f.trigger_seq) for f in publisher.frames] == [("0", 1), ("9", 2)]


async def test_two_gateways_cannot_drive_one_camera(settings: Settings) -> None:
    publisher = FakePublisher()
    first = asyncio.create_task(Gateway(publisher, settings).run(Shots([shot()], endless=True)))
    await publisher.has_sent(1)
    with pytest.raises(CallerError, match="already driven"):
        await Gateway(publisher, settings).run(Shots([shot()]))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
