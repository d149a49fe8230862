"""The gateway while the broker is away, silent, refusing or slow: nothing taken over is lost, and order holds.

broker   ━━━━━━━✗        ━━━━━━━━━━▶        frames in flight at ✗ go to the spool, what comes behind them
topic    1 2 3      │    4 5 6 7 8          and all of it comes out again, in order, with its old numbers and ids
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic, time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import streams.capture.dialling as dialling_module
import streams.capture.sending as sending_module
from schemas.records import Event
from streams.bus.publisher import Delivery, RecordTooLargeError
from streams.capture.clocks import GatewayClocks
from streams.capture.counts import Counts
from streams.capture.gateway import Gateway
from streams.capture.metrics import GatewayMetrics
from streams.capture.source import Shot
from streams.errors import CallerError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import Topic
from tests.gateways import CAMERA, FakeBroker, FakeConnection, Shots, shot


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(dialling_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(dialling_module, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(sending_module, "FULL_RETRY_S", 0.02)
    return Settings(data_dir=tmp_path / "data", inline_max_bytes=1000, broker_silence_s=0.2)


class Feed(Shots):
    """Shots that the test gives one by one; `end` ends it."""

    def __init__(self, can_wait: bool = False) -> None:
        super().__init__([], can_wait=can_wait)
        self._given: asyncio.Queue[Shot | None] = asyncio.Queue()
        self.pulled = 0

    def give(self, *numbers: int, **changes: object) -> None:
        for number in numbers:
            self._given.put_nowait(shot(number, **changes))

    def end(self) -> None:
        self._given.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Shot]:
        while (each := await self._given.get()) is not None:
            self.pulled += 1
            yield each

    async def knows(self, count: int) -> None:
        await until(lambda: len(self.known) >= count)


async def until(ready: Callable[[], object], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not ready():
            await asyncio.sleep(0.005)


async def stopped(run: asyncio.Task[Counts]) -> None:
    """Ctrl-C."""
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await run


def run(broker: FakeBroker, settings: Settings, source: Shots, **options: object) -> asyncio.Task[Counts]:
    return asyncio.create_task(Gateway(broker.connect, settings, **options).run(source))  # type: ignore[arg-type]


def without_delay(broker: FakeBroker) -> dict[uuid.UUID, set[object]]:
    """What each frame says in all of its copies, but for when it was sent."""
    said: dict[uuid.UUID, set[object]] = {}
    for frame in broker.log:
        said.setdefault(frame.frame_id, set()).add(repr(dataclasses.replace(frame, gateway_ms=0)))
    return said


async def test_it_starts_without_a_broker_and_sends_what_it_took_when_there_is_one(settings: Settings) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_up = False
    running = run(broker, settings, source)
    source.give(*range(20))
    await source.knows(20)  # the spool has them
    assert broker.log == []
    await asyncio.sleep(0.1)
    broker.is_up = True
    await broker.has(20)
    source.give(20, 21)
    await broker.has(22)
    source.end()
    counts = await running
    assert broker.parts == list(range(22))
    assert [f.trigger_seq for f in broker.log] == list(range(1, 23))
    assert all(f.gateway_ms >= 100 for f in broker.log[:20])
    expected = Counts(captured=22, sent=22, confirmed=22, spooled=20, replayed=20, picture_bytes=counts.picture_bytes)
    assert counts == expected  # the last two needed no disk
    assert list(settings.spool_folder.glob("*.spool")) == []


async def test_each_time_the_broker_goes_away_is_told_whatever_the_reason(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling_module, "LONGEST_PATIENCE_S", settings.broker_silence_s)
    broker, source = FakeBroker(), Feed()
    running = run(broker, settings, source)
    for tries, first in enumerate((0, 10, 20), 1):
        source.give(first)
        await source.knows(first + 1)
        broker.is_silent = True
        source.give(*range(first + 1, first + 10))
        await source.knows(first + 10)
        await until(lambda least=tries: len(broker.connections) > least)
        broker.is_silent = False
        await broker.has(first + 10)
    source.end()
    await running
    assert caplog.text.count("frames can't be sent now, they go to the spool: nothing was confirmed for 0.2 s") == 3


@pytest.mark.parametrize("appends", [0, 3, 100])
async def test_a_broker_that_falls_silent_loses_nothing_and_keeps_the_order(settings: Settings, appends: int) -> None:
    broker, source = FakeBroker(), Feed()
    running = run(broker, settings, source)
    source.give(*range(5))
    await source.knows(5)
    broker.is_silent, broker.connections[0]._left = True, appends
    source.give(*range(5, 15))
    await until(lambda: source.pulled >= 10)
    assert source.known_parts[:5] == [0, 1, 2, 3, 4]
    broker.is_up = False
    await source.knows(15)  # moved to the spool when the silence was too long
    source.give(*range(15, 20))
    await source.knows(20)
    broker.is_up, broker.is_silent = True, False
    source.give(*range(20, 25))
    source.end()
    counts = await running
    assert broker.parts == source.known_parts == list(range(25))
    assert len(broker.log) == 25 + min(appends, 10)
    assert all(len(said) == 1 for said in without_delay(broker).values())
    assert counts.confirmed == counts.captured == 25
    assert counts.refused == 0


async def test_a_broker_that_refuses_is_left_at_once_and_tried_again_with_the_same_frames(settings: Settings) -> None:
    slow = dataclasses.replace(settings, broker_silence_s=30.0)
    broker, source = FakeBroker(), Feed()
    running = run(broker, slow, source)
    source.give(0)
    await source.knows(1)
    broker.refuses = True
    source.give(1, 2, 3)
    await source.knows(4)
    broker.refuses = False
    source.end()
    assert (await running).confirmed == 4
    assert broker.parts == [0, 1, 2, 3]
    assert len(broker.connections) > 1


async def test_frames_in_flight_are_not_taken_over_before_broker_or_disk_has_them(settings: Settings) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_silent = True
    running = run(broker, dataclasses.replace(settings, broker_silence_s=30.0), source)
    source.give(0, 1)
    await until(lambda: broker.connections and len(broker.connections[0]._pending) == 2)
    await asyncio.sleep(0.05)
    assert source.known == []
    assert list(settings.spool_folder.glob("*.spool")) == []
    for future in broker.connections[0]._pending:
        future.set_result(Delivery(0, 0, 0))
    await source.knows(2)
    source.end()
    assert (await running).spooled == 0


async def test_a_slow_broker_is_given_more_time_instead_of_the_same_frames_for_ever(settings: Settings) -> None:
    broker = FakeBroker()
    broker.confirm_after_s = 0.7  # longer than the 0.2 s that it may be silent
    source = Shots([shot(n) for n in range(3)])
    async with asyncio.timeout(30):
        counts = await run(broker, settings, source)
    assert counts.confirmed == 3
    assert 3 <= len(broker.connections) <= 4  # 0.2, 0.4, 0.8 s, and once more on a busy machine
    assert broker.parts == [0, 1, 2]


async def test_a_broker_too_slow_for_a_camera_does_not_hold_it_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending_module, "WINDOW_FRAMES", 4)
    broker, source = FakeBroker(), Feed()
    broker.confirm_after_s = 2.0
    running = run(broker, settings, source)
    monkeypatch.setattr(dialling_module.Session, "_watch_progress", lambda _: asyncio.sleep(60))  # it is not silent
    source.give(*range(20))
    await source.knows(20)
    assert "confirms too slowly for the cameras" in caplog.text
    source.end()
    assert (await running).confirmed == 20
    assert broker.parts == list(range(20))


async def test_a_broker_that_answers_and_confirms_nothing_gets_no_frame_directly(settings: Settings) -> None:
    """As one with too few replicas in sync: cameras go on into the spool, however long it is given."""
    broker, source = FakeBroker(), Feed()
    broker.is_silent = True
    running = run(broker, settings, source)
    for number in range(0, 600, 100):
        source.give(*range(number, number + 100))
        await source.knows(number + 100)
    assert source.known_parts == list(range(600))
    broker.is_silent = False
    source.end()
    assert (await running).refused == 0
    assert broker.parts == list(range(600))


@pytest.mark.parametrize("is_same_boot", [True, False])
async def test_the_next_start_sends_first_what_was_left_with_its_old_identity(
    settings: Settings, is_same_boot: bool
) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_up = False
    running = run(broker, settings, source, clocks=GatewayClocks(uuid.uuid4()) if not is_same_boot else None)
    source.give(0, 1, 2, triggered_s=monotonic() - 5)
    source.give(3)
    await source.knows(4)
    await stopped(running)
    assert source.known_parts == [0, 1, 2, 3]

    broker.is_up, started = True, time()
    after = GatewayClocks(uuid.uuid4(), lambda: 7.0, lambda: started + 60) if not is_same_boot else None
    counts = await run(broker, settings, Shots([shot(4, triggered_s=0.0)]), clocks=after)
    assert broker.parts == [0, 1, 2, 3, 4]
    assert [f.trigger_seq for f in broker.log] == [1, 2, 3, 4, 5]
    assert [f.captured_at for f in broker.log[:4]] == [
        s.captured_at.replace(microsecond=s.captured_at.microsecond // 1000 * 1000) for s in source.known
    ]
    least_ms = 5000 if is_same_boot else 65_000
    assert all(least_ms <= f.gateway_ms < least_ms + 20_000 for f in broker.log[:3])
    assert least_ms - 5000 <= broker.log[3].gateway_ms < broker.log[2].gateway_ms
    assert (counts.confirmed, counts.replayed, counts.captured) == (5, 4, 1)


async def test_a_wall_clock_that_was_set_back_gives_no_negative_time(settings: Settings) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_up = False
    running = run(broker, settings, source, clocks=GatewayClocks(uuid.uuid4()))
    source.give(0)
    await source.knows(1)
    await stopped(running)
    broker.is_up = True
    await run(broker, settings, Shots([]), clocks=GatewayClocks(uuid.uuid4(), lambda: 0.0, lambda: 1.0))
    assert [f.gateway_ms for f in broker.log] == [0]


async def test_the_end_of_a_source_waits_for_the_broker_and_a_stop_leaves_the_frames(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()
    broker.is_up = False
    running = run(broker, settings, Shots([shot(n) for n in range(3)]))
    await until(lambda: "3 frames wait for the broker. Ctrl-C leaves them in the spool" in caplog.text)
    assert not running.done()
    await stopped(running)
    broker.is_up = True
    assert (await run(broker, settings, Shots([]))).replayed == 3
    assert broker.parts == [0, 1, 2]


async def test_a_stop_with_frames_in_flight_leaves_them_in_the_spool_when_the_broker_is_silent(
    settings: Settings,
) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_silent = True
    running = run(broker, settings, source)
    source.give(0, 1, 2)
    await until(lambda: broker.connections and len(broker.connections[0]._pending) == 3)
    await stopped(running)
    assert source.known_parts == [0, 1, 2]
    broker.is_silent = False
    assert (await run(broker, settings, Shots([shot(3)]))).confirmed == 4
    assert broker.parts == [0, 1, 2, 3]


async def test_a_stop_in_the_middle_of_the_spool_goes_on_there(settings: Settings) -> None:
    broker = FakeBroker()
    broker.is_up = False
    source = Shots([shot(n) for n in range(600)], endless=True)
    running = run(broker, settings, source)
    await until(lambda: len(source.known) == 600)
    await stopped(running)
    broker.is_up, broker.confirm_after_s = True, 0.05
    running = run(broker, settings, Shots([], endless=True))
    await broker.has(10)
    await stopped(running)
    sent = len(broker.log)
    assert 10 <= sent < 600
    await run(broker, settings, Shots([]))
    assert broker.parts == list(range(600))
    assert len(broker.log) == 600  # a clean stop sends nothing twice


async def test_a_session_that_fails_in_the_middle_of_the_spool_is_no_reason_to_skip_what_it_had_sent(
    settings: Settings,
) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_up = False
    running = run(broker, settings, source)
    source.give(*range(300))
    await source.knows(300)
    broker.is_up, broker.silent_from = True, 50
    await until(lambda: len(broker.connections) == 1 and broker.connections[0]._pending)
    broker.silent_from = None
    await broker.has(100)
    await stopped(running)
    assert len(broker.log) < 300
    await run(broker, settings, Shots([]))
    assert broker.parts == list(range(300))
    assert len(broker.log) == 300


async def test_a_full_spool_refuses_a_cameras_frames_loudly_and_spends_their_numbers(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_up = False
    running = run(broker, dataclasses.replace(settings, spool_max_bytes=5000), source)
    for number in range(40):
        source.give(number)
        await until(lambda n=number: source.pulled == n + 1)
    await until(lambda: "more are refused" in caplog.text)
    kept = len(source.known)
    assert source.known_parts == list(range(kept))
    assert "frame " in caplog.text
    assert "bring the broker back, or make room and raise LINESIDE_SPOOL_MAX_BYTES" in caplog.text
    broker.is_up = True
    await broker.has(kept)
    source.give(40)
    source.end()
    counts = await running
    assert counts.refused == 40 - kept > 0
    assert broker.parts == [*range(kept), 40]
    assert [f.trigger_seq for f in broker.log] == [*range(1, kept + 1), 41]  # the gap shows downstream


async def test_a_full_spool_lets_files_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending_module, "WINDOW_FRAMES", 4)
    broker, source = FakeBroker(), Feed(can_wait=True)
    broker.is_up = False
    running = run(broker, dataclasses.replace(settings, spool_max_bytes=5000), source)
    source.give(*range(40))
    source.end()
    await until(lambda: "the source waits" in caplog.text and source.pulled == len(source.known) + 5)
    pulled = source.pulled
    assert pulled < 40  # the others stay where they are
    await asyncio.sleep(0.1)
    assert source.pulled == pulled
    broker.is_up = True
    counts = await running
    assert (counts.refused, counts.confirmed) == (0, 40)
    assert broker.parts == source.known_parts == list(range(40))


async def test_files_that_still_wait_at_a_stop_are_told_as_refused_and_not_as_known(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending_module, "WINDOW_FRAMES", 4)
    broker, source = FakeBroker(), Feed(can_wait=True)
    broker.is_up = False
    gateway = Gateway(broker.connect, dataclasses.replace(settings, spool_max_bytes=5000))
    running = asyncio.create_task(gateway.run(source))
    source.give(*range(40))
    await until(lambda: "the source waits" in caplog.text)
    await stopped(running)
    counts = gateway.counts
    assert counts.refused == counts.captured - counts.spooled > 0
    assert len(source.known) == counts.spooled == counts.waiting


async def test_without_its_frame_store_large_pictures_go_to_the_spool_and_into_the_store_when_sent(
    settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "store"
    place.write_text("in the way")
    broker, source = FakeBroker(), Feed()
    running = run(broker, dataclasses.replace(settings, frame_store=str(place)), source)
    source.give(0)
    source.give(1, data=b"x" * 2000)
    source.give(2)
    await source.knows(3)
    assert broker.parts == [0]
    place.unlink()
    source.end()
    counts = await running
    assert broker.parts == [0, 1, 2]
    assert broker.log[1].image is None
    assert FrameStore(str(place)).get(str(broker.log[1].image_ref), 5000) == b"x" * 2000
    assert (counts.confirmed, counts.claim_checks) == (3, 1)


async def test_a_frame_that_no_broker_takes_is_put_aside_and_harms_no_other(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(FakeConnection):
        async def send(
            self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
        ) -> asyncio.Future[Delivery]:
            if record.part_id == "1":  # type: ignore[union-attr]
                raise RecordTooLargeError("an event of 9 bytes is too large")
            return await super().send(topic, record, key=key, partition=partition)

    class PickyBroker(FakeBroker):
        async def connect(self) -> FakeConnection:
            await super().connect()
            self.connections[-1] = Picky(self)
            return self.connections[-1]

    broker, source = PickyBroker(), Feed()
    broker.is_up = False
    running = run(broker, settings, source)
    source.give(0, 1, 2)
    await source.knows(3)
    broker.is_up = True
    await broker.has(2)
    source.give(1, 3)
    source.end()
    counts = await running
    assert broker.parts == [0, 2, 3]
    assert (counts.confirmed, counts.refused, counts.captured) == (3, 2, 5)
    assert "frame 2 of camera plant/line-1/station-1/cam can't be sent: an event of 9 bytes is too large" in caplog.text
    assert len(list((settings.spool_folder / "aside").glob("unsendable-*"))) == 2


async def test_a_mistake_of_the_caller_is_told_at_the_start_and_waited_for_later(settings: Settings) -> None:
    broker, source = FakeBroker(), Feed()
    wrong: list[str] = ["topics differ"]

    async def connect() -> FakeConnection:
        if wrong:
            raise CallerError(wrong[0])
        return await broker.connect()

    with pytest.raises(CallerError, match="topics differ"):
        await Gateway(connect, settings).run(source)
    wrong.clear()
    running = asyncio.create_task(Gateway(connect, settings).run(source))
    source.give(0)
    await broker.has(1)
    wrong.append("topics differ")
    broker.refuses = True
    source.give(1)
    await source.knows(2)
    broker.refuses = False
    await asyncio.sleep(0.1)
    assert not running.done()
    wrong.clear()
    source.end()
    assert (await running).confirmed == 2


async def test_cameras_that_go_on_during_the_replay_stay_in_order_and_end_up_direct(settings: Settings) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_up = False
    running = run(broker, settings, source)
    source.give(*range(200))
    await source.knows(200)
    broker.is_up, broker.confirm_after_s = True, 0.02
    for number in range(200, 400):
        source.give(number, camera=dataclasses.replace(CAMERA, name=f"cam-{number % 3}"))
        await asyncio.sleep(0.001)
    await broker.has(400)
    source.give(400)
    source.end()
    counts = await running
    assert broker.parts == list(range(401))
    assert counts.spooled < 401
    assert counts.confirmed == 401


async def test_metrics_tell_the_spool(settings: Settings) -> None:
    broker, source = FakeBroker(), Feed()
    broker.is_up = False
    gateway, registry = Gateway(broker.connect, settings), CollectorRegistry()
    registry.register(GatewayMetrics(gateway))
    running = asyncio.create_task(gateway.run(source))
    source.give(0, 1, triggered_s=monotonic() - 30)
    await source.knows(2)
    assert gateway.spool is not None
    assert registry.get_sample_value("lineside_spool_frames") == 2
    assert registry.get_sample_value("lineside_spool_bytes") == gateway.spool.size_bytes > 0
    assert 30 <= (registry.get_sample_value("lineside_spool_oldest_seconds") or 0) < 40
    assert registry.get_sample_value("lineside_gateway_confirmed_total") == 0
    broker.is_up = True
    source.end()
    await running
    assert registry.get_sample_value("lineside_gateway_confirmed_total") == 2
    assert registry.get_sample_value("lineside_spool_refused_total") == 0
    assert b"lineside_spool_frames 0.0" in generate_latest(registry)
