"""The gateway against a broker that is there: every frame is sent in order, confirmed and bounded, without a disk.

What it does while the broker is away: `test_gateway_spool.py`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime
from pathlib import Path
from time import monotonic
from types import ModuleType

import pytest

import streams.capture.sending as sending_module
import streams.capture.session as session_module
from schemas.records import Event, FrameCaptured
from streams.bus.publisher import Delivery
from streams.capture.gateway import Counts, Gateway
from streams.capture.source import Camera, Shot
from streams.errors import CallerError, OperatorError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import FRAMES, Topic
from tests.gateways import CAMERA, Shots, shot


class FakePublisher:
    """Keeps what was sent; a delivery is confirmed after `delay_s`."""

    is_paused = False

    def __init__(self, delay_s: float = 0.0) -> None:
        self.frames: list[FrameCaptured] = []
        self.keys: list[bytes] = []
        self.delay_s = delay_s
        self.stops = 0
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
        future.set_result(Delivery(0, number, 0))

    async def stop(self, timeout_s: float = 0.0) -> None:
        self.stops += 1

    async def abort(self) -> None:
        raise AssertionError("this broker gives no reason for it")


def gateway(publisher: FakePublisher, settings: Settings, **options: object) -> Gateway:
    async def connect() -> FakePublisher:
        return publisher

    return Gateway(connect, settings, **options)  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", inline_max_bytes=1000)


async def test_every_shot_is_sent_in_order_and_confirmed(settings: Settings) -> None:
    publisher, source, seen = FakePublisher(), Shots([shot(n) for n in range(500)]), []
    counts = await gateway(publisher, settings, progress=lambda c: seen.append(c.confirmed)).run(source)
    assert counts == Counts(captured=500, sent=500, confirmed=500, picture_bytes=counts.picture_bytes)
    assert [f.part_id for f in publisher.frames] == [str(n) for n in range(500)]
    assert [f.trigger_seq for f in publisher.frames] == list(range(1, 501))
    assert set(publisher.keys) == {b"plant/line-1/station-1"}
    assert [s.part_id for s in source.known] == [str(n) for n in range(500)]
    assert seen == [0, *range(1, 501)]
    assert publisher.stops == 1
    assert list(settings.spool_folder.glob("*.spool")) == []
    assert source.closed


async def test_trigger_numbers_go_on_in_the_next_run_and_count_by_camera(settings: Settings) -> None:
    other = Camera("plant", "line-1", "station-1", "cam-2")
    publisher = FakePublisher()
    for _ in range(2):
        await gateway(publisher, settings).run(Shots([shot(), shot(camera=other), shot()]))
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
    counts = await gateway(publisher, settings).run(Shots([shot(data=b"x" * 1000), shot(data=b"x" * 1001)]))
    assert [f.image_ref is None for f in publisher.frames] == [True, False]
    assert [f.image is None for f in publisher.frames] == [False, True]
    assert counts == Counts(captured=2, sent=2, confirmed=2, claim_checks=1, picture_bytes=2001)


async def test_the_time_since_the_trigger_is_told(settings: Settings) -> None:
    publisher = FakePublisher()
    await gateway(publisher, settings).run(
        Shots([shot(triggered_s=monotonic() - 2), shot(triggered_s=monotonic() + 9)])
    )
    assert 2000 <= publisher.frames[0].gateway_ms < 7000
    assert publisher.frames[1].gateway_ms == 0


@pytest.mark.parametrize(("frames", "in_flight_bytes", "most"), [(8, 1 << 20, 8), (1000, 90, 9), (1000, 1, 1)])
@pytest.mark.parametrize("module", [sending_module, session_module])
async def test_frames_in_flight_are_bounded_by_number_and_by_bytes(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    frames: int,
    in_flight_bytes: int,
    most: int,
) -> None:
    name = "WINDOW" if module is sending_module else "IN_FLIGHT"
    monkeypatch.setattr(module, f"{name}_FRAMES", frames)
    monkeypatch.setattr(module, f"{name}_BYTES", in_flight_bytes)

    class Full(FakePublisher):
        """Confirms nothing before `most` frames are in flight (the last ones: all), and then once nothing moves."""

        async def send(
            self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
        ) -> asyncio.Future[Delivery]:
            future = await super().send(topic, record, key=key, partition=partition)
            waiting.append((future, len(self.frames) - 1))
            if len(waiting) >= most or len(self.frames) == 40:
                asyncio.get_running_loop().call_later(0.01, self._confirm_all)
            return future

        def _confirm_all(self) -> None:
            for future, number in waiting:
                super()._resolve(future, number)
            waiting.clear()

        def _resolve(self, future: asyncio.Future[Delivery], number: int) -> None:
            pass

    waiting: list[tuple[asyncio.Future[Delivery], int]] = []
    publisher = Full()
    async with asyncio.timeout(20):
        await gateway(publisher, settings).run(Shots([shot(data=b"ten bytes.") for _ in range(40)]))
    assert publisher.most_in_flight == most
    assert len(publisher.frames) == 40


async def test_a_source_that_cannot_note_what_was_taken_over_ends_the_run(settings: Settings) -> None:
    class NoNotes(Shots):
        def confirmed(self, shot: Shot) -> None:
            super().confirmed(shot)
            if shot.part_id == "2":
                raise OperatorError("the journal can't be kept")

    publisher, source = FakePublisher(0.01), NoNotes([shot(n) for n in range(5)], endless=True)
    with pytest.raises(OperatorError, match="the journal can't be kept"):
        async with asyncio.timeout(5):
            await gateway(publisher, settings).run(source)
    assert [s.part_id for s in source.known] == ["0", "1", "2", "3", "4"]  # what was in flight was waited for
    assert source.closed


async def test_a_shot_that_is_no_frame_spends_no_trigger_number(settings: Settings) -> None:
    publisher = FakePublisher()
    for _ in range(2):
        with pytest.raises(CallerError, match=r"a picture of .* can't be sent: captured_at .* is naive"):
            await gateway(publisher, settings).run(Shots([shot(), shot(captured_at=datetime(2026, 1, 1))]))
    assert [f.trigger_seq for f in publisher.frames] == [1, 2]


async def test_stopping_finishes_the_frames_in_flight(settings: Settings) -> None:
    # sent |1..40|            cancelled here: no new shot, all deliveries awaited, then it ends
    publisher, source = FakePublisher(delay_s=0.2), Shots([shot(n) for n in range(40)], endless=True)
    stopped = gateway(publisher, settings)
    running = asyncio.create_task(stopped.run(source))
    await publisher.has_sent(40)
    assert stopped.counts.confirmed == 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.counts.confirmed == 40
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
    running = asyncio.create_task(gateway(publisher, settings).run(Shots([shot(n) for n in range(3)])))
    await entered.wait()
    running.cancel()
    await asyncio.sleep(0.01)
    assert not running.done()
    room.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gateway(publisher, settings).run(Shots([shot(9)]))
    sent = [(f.part_id, f.trigger_seq) for f in publisher.frames]
    assert sent[:-1] == [("0", 1), ("1", 2), ("2", 3)][: len(sent) - 1]
    assert sent[-1] == ("9", len(sent))


async def test_two_gateways_share_no_spool_and_no_camera(settings: Settings, tmp_path: Path) -> None:
    publisher = FakePublisher()
    first = asyncio.create_task(gateway(publisher, settings).run(Shots([shot()], endless=True)))
    await publisher.has_sent(1)
    with pytest.raises(CallerError, match="used by another gateway process"):
        await gateway(publisher, settings).run(Shots([shot()]))
    own_spool = dataclasses.replace(settings, spool_dir=str(tmp_path / "own"))
    with pytest.raises(CallerError, match="already driven"):
        await gateway(publisher, own_spool).run(Shots([shot()]))
    other = dataclasses.replace(CAMERA, name="other")
    assert (await gateway(publisher, own_spool).run(Shots([shot(camera=other)]))).confirmed == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
