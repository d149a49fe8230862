"""The sampler on stand-ins of Kafka: what it chooses, publishes and keeps, and that looking again changes nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from models.likeness import pixel_sha256
from models.preprocess import EncodedImage, decode
from schemas.records import (
    AlarmKind,
    AlarmRaised,
    DefectDetected,
    Encoding,
    FrameCaptured,
    Outcome,
    ReworkOutcome,
    SampleSelected,
    Strategy,
    VerdictIssued,
)
from streams.bus.subscriber import Received
from streams.downstream.sampling.album import Album
from streams.downstream.sampling.pictures import SamplePictures
from streams.downstream.sampling.plan import Plan, day_of
from streams.downstream.sampling.sampler import Sampler, Tally
from streams.errors import OperatorError
from streams.store import FrameStore
from tests.builders import FRAMES_TOPIC, FakeSender
from tests.contracts.samples import ALARM
from tests.sampling_world import Timed, a_plan, captured, decisions, defect, judged

DAY = datetime(2026, 3, 2, tzinfo=UTC)
TIMED = Timed(DAY, timedelta(minutes=3))
COUNT = 600  # thirty hours
END = DAY + timedelta(days=2)
PLAN = a_plan(budget=60, seed=5)
QUARTER = timedelta(minutes=15)


@dataclass
class World:
    """Frames, verdicts, defects and decisions, as `Frames` and `History` give them."""

    store: FrameStore
    verdicts_: list[tuple[Received[VerdictIssued], datetime]] = field(default_factory=list)
    outcomes_: list[tuple[Received[ReworkOutcome], datetime]] = field(default_factory=list)
    frames: dict[tuple[int, int], FrameCaptured] = field(default_factory=dict)
    defects: dict[object, DefectDetected] = field(default_factory=dict)
    alarms_: list[tuple[Received[AlarmRaised], datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in range(COUNT):
            self.add(captured(number), judged(number, FRAMES_TOPIC, number % 4, number // 4, TIMED.at(number)))

    def add(self, frame: FrameCaptured, verdict: VerdictIssued, partition: int | None = None) -> None:
        place = (verdict.source_partition if partition is None else partition, verdict.source_offset)
        at = verdict.source_timestamp
        self.frames[place] = frame
        self.verdicts_.append((Received(verdict, *place, at, b""), at))
        if verdict.outcome in (Outcome.NG, Outcome.UNSURE):
            self.defects[verdict.verdict_id] = defect(verdict, self.store)
        for outcome in decisions(verdict):
            later = outcome.decided_at + timedelta(minutes=outcome.review)
            self.outcomes_.append((Received(outcome, place[0], len(self.outcomes_), later, b""), later))

    async def fetch(self, partition: int, offset: int) -> FrameCaptured | None:
        return self.frames.get((partition, offset))

    def history(self) -> Reading:
        return Reading(self)


class Reading:
    """One reading of a world's topics."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._verdicts = sorted(world.verdicts_, key=lambda item: item[1], reverse=True)
        self._outcomes = sorted(world.outcomes_, key=lambda item: item[1], reverse=True)
        self._alarms = sorted(world.alarms_, key=lambda item: item[1], reverse=True)

    async def verdicts(self, until: datetime) -> AsyncIterator[tuple[Received[VerdictIssued], datetime]]:
        while self._verdicts and self._verdicts[-1][1] < until:
            yield self._verdicts.pop()

    async def outcomes(self, until: datetime) -> AsyncIterator[tuple[Received[ReworkOutcome], datetime]]:
        while self._outcomes and self._outcomes[-1][1] < until:
            yield self._outcomes.pop()

    async def alarms(self, until: datetime) -> AsyncIterator[tuple[Received[AlarmRaised], datetime]]:
        while self._alarms and self._alarms[-1][1] < until:
            yield self._alarms.pop()

    async def defect(self, outcome: ReworkOutcome, partition: int) -> DefectDetected | None:
        return self._world.defects.get(outcome.verdict_id)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(FrameStore(str(tmp_path)))


def sampler(
    world: World,
    sender: FakeSender | None,
    published: list[SampleSelected] | None = None,
    since: datetime = DAY,
    plan: Plan = PLAN,
) -> Sampler:
    pictures = SamplePictures(world.store, world, FRAMES_TOPIC)
    return Sampler(plan, world.history(), pictures, Album(plan, published or ()), sender, since)


async def run(world: World, until: datetime = END, **how: Any) -> tuple[Tally, FakeSender]:
    sender = FakeSender()
    working = sampler(world, sender, **how)
    await working.advance(until)
    return working.tally, sender


def pixels_of(store: FrameStore, sample: SampleSelected) -> str:
    return pixel_sha256(decode(EncodedImage(store.get(sample.image_ref, 1 << 20), sample.encoding)))


def check(samples: list[SampleSelected], store: FrameStore, plan: Plan = PLAN) -> None:
    """What holds for whatever was chosen."""
    spent = Counter((s.line, day_of(s.selected_at - QUARTER), s.strategy) for s in samples)
    assert all(count <= plan.of_day(strategy) for (_, _, strategy), count in spent.items()), spent
    assert len({pixels_of(store, s) for s in samples}) == len(samples)
    assert all(f"sample-{s.sample_id}" in store.pins(s.image_sha256) for s in samples)
    assert len({s.sample_id for s in samples}) == len(samples)


async def test_frames_of_a_camera_that_has_drifted_are_chosen_while_its_alarm_stands_and_within_the_budget(
    world: World,
) -> None:
    raised, cleared = DAY + timedelta(hours=3), DAY + timedelta(hours=9)
    drift = dataclasses.replace(
        ALARM, kind=AlarmKind.PICTURE_DRIFT, subject="p1/l1/s1/c1", detail="A: sharpness 0.002: out of focus?"
    )
    other = dataclasses.replace(drift, alarm_id=uuid4(), kind=AlarmKind.CAMERA_STUCK, subject="p1/l0/s1/c1")
    over = dataclasses.replace(drift, cleared=cleared)
    for alarm, at in ((drift, raised), (other, raised), (over, cleared)):
        world.alarms_.append((Received(alarm, 0, len(world.alarms_), at, b""), at))
    plan = a_plan(budget=50, seed=5, shares={Strategy.DRIFTED: 0.2})
    tally, _ = await run(world, plan=plan)
    chosen = [sample for sample in tally.samples if sample.strategy is Strategy.DRIFTED]
    assert 0 < len(chosen) <= 10
    assert {(s.line, s.station) for s in chosen} == {("l1", "s1")}
    assert all(raised <= s.inspected_at + timedelta(milliseconds=20) < cleared for s in chosen)
    assert {s.why for s in chosen} == {"Its camera had drifted: A: sharpness 0.002: out of focus?"}
    assert not [s for s in (await run(World(world.store), plan=plan))[0].samples if s.strategy is Strategy.DRIFTED]


async def test_every_strategy_chooses_within_its_budget_and_no_pixels_twice(world: World) -> None:
    tally, sender = await run(world)
    samples = sender.records("samples")
    assert samples == tally.samples
    check(samples, world.store)
    assert {s.strategy for s in samples} == set(PLAN.shares)
    assert tally.left_out["equal"] > 0
    for s in samples:
        assert s.why.endswith(".")
        assert s.inspected_at < s.selected_at
        assert (s.inclusion_probability > 0) == (s.strategy is Strategy.PASS_AUDIT)
        assert (s.verdict_outcome is Outcome.OK) == (s.strategy is Strategy.PASS_AUDIT)


async def test_samples_go_to_the_partition_of_their_verdict_under_the_key_of_their_station(world: World) -> None:
    _, sender = await run(world)
    partition_of = {r.record.verdict_id: r.partition for r, _ in world.verdicts_}
    for _, sample, key, partition in sender.sent:
        assert isinstance(sample, SampleSelected)
        assert partition == partition_of[sample.verdict_id]
        assert key == f"{sample.plant}/{sample.line}/{sample.station}".encode()


async def test_every_picture_is_kept_and_pinned_before_its_sample_is_published(world: World) -> None:
    class Checking(FakeSender):
        async def send(self, topic: Any, record: Any, **how: Any) -> Any:
            assert world.store.pins(record.image_sha256) == {f"sample-{record.sample_id}"}
            assert world.store.get(record.image_ref, 1 << 20)
            return await super().send(topic, record, **how)

    sender = Checking()
    await sampler(world, sender).advance(END)
    assert sender.sent


@pytest.mark.parametrize("failing", ["pin", "put"])
async def test_where_the_store_takes_no_pin_or_picture_nothing_is_published(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """fails ─ the run ends without a sample │ the store is back ─ the next run chooses what it would have chosen"""
    whole, _ = await run(world)

    def full(*_: object) -> None:
        raise OperatorError("the disk is full")

    sender = FakeSender()
    with monkeypatch.context() as broken:
        broken.setattr(FrameStore, failing, full)
        with pytest.raises(OperatorError, match="disk is full"):
            await sampler(world, sender).advance(END)
    assert sender.sent == []
    again, _ = await run(world)
    assert again.samples == whole.samples


async def test_the_same_seed_chooses_the_same_and_another_seed_something_else(world: World) -> None:
    first, _ = await run(world)
    again, _ = await run(world)
    other, _ = await run(world, plan=dataclasses.replace(PLAN, seed=6))
    assert first.samples == again.samples
    assert {s.sample_id for s in first.samples} != {s.sample_id for s in other.samples}


@pytest.mark.parametrize("steps", [[QUARTER], [timedelta(hours=5), timedelta(minutes=47)]])
async def test_live_period_after_period_chooses_what_history_chooses_at_once(
    world: World, steps: list[timedelta]
) -> None:
    whole, _ = await run(world)
    working, now = sampler(world, FakeSender()), DAY
    for step in itertools.cycle(steps):
        now += step
        await working.advance(now)
        if now > END:
            break
    assert working.tally.samples == whole.samples


async def test_a_restart_publishes_what_is_missing_and_nothing_twice(world: World) -> None:
    whole, _ = await run(world)
    half, sender = await run(world, until=DAY + timedelta(hours=13, minutes=20))
    rest, later = await run(world, published=sender.records("samples"))
    assert half.samples + later.records("samples") == whole.samples
    assert rest.samples == whole.samples
    assert rest.known == len(half.samples)


async def test_a_run_over_a_part_of_history_gives_what_the_whole_gave_there(world: World) -> None:
    whole, _ = await run(world)
    since, until = DAY + timedelta(hours=25), DAY + timedelta(hours=28)
    part, _ = await run(world, published=[s for s in whole.samples if s.selected_at <= DAY + timedelta(days=1)])
    expected = [s for s in whole.samples if since < s.selected_at <= until]
    part, _ = await run(world, until, since=since, published=whole.samples)
    assert part.samples == expected
    assert part.published == 0


async def test_another_seed_beside_it_keeps_the_budgets_and_chooses_no_picture_again(world: World) -> None:
    _, sender = await run(world)
    tally, other = await run(world, published=sender.records("samples"), plan=dataclasses.replace(PLAN, seed=6))
    check(sender.records("samples") + other.records("samples"), world.store)
    assert tally.left_out["refused"] > 0


async def test_a_dry_run_chooses_the_same_and_leaves_no_trace(tmp_path: Path) -> None:
    dry, real = World(FrameStore(str(tmp_path / "dry"))), World(FrameStore(str(tmp_path / "real")))
    before = set((tmp_path / "dry").rglob("*"))
    working = sampler(dry, None)
    await working.advance(END)
    assert set((tmp_path / "dry").rglob("*")) == before
    expected, _ = await run(real)
    assert [s.sample_id for s in working.tally.samples] == [s.sample_id for s in expected.samples]


async def test_a_pass_whose_picture_is_gone_is_counted_and_skipped(world: World) -> None:
    whole, _ = await run(world)
    gone = next(s for s in whole.samples if s.strategy is Strategy.PASS_AUDIT)
    place = next((r.partition, r.offset) for r, _ in world.verdicts_ if r.record.verdict_id == gone.verdict_id)
    del world.frames[place]
    tally, _ = await run(world)
    assert gone.verdict_id not in {s.verdict_id for s in tally.samples}
    assert tally.audits_missing > whole.audits_missing
    assert tally.left_out["gone"] == 1


Change = Callable[[FrameCaptured, VerdictIssued], tuple[FrameCaptured | None, VerdictIssued]]
HOSTILE: dict[str, Change] = {
    "another frame lies there": lambda f, v: (captured(9_999), v),
    "another topic": lambda f, v: (f, dataclasses.replace(v, source_topic="other.frames")),
    "a reference out of the store": lambda f, v: (
        dataclasses.replace(f, image=None, image_ref="file:///etc/passwd"),
        v,
    ),
    "no picture": lambda f, v: (dataclasses.replace(f, image=b"GIF89a"), v),
    "neither picture nor reference": lambda f, v: (dataclasses.replace(f, image=None), v),
    "other bytes than the verdict's": lambda f, v: (f, dataclasses.replace(v, image_sha256="0" * 64)),
    "a station that is no key": lambda f, v: (f, dataclasses.replace(v, station="a/b")),
    "another partition": lambda f, v: (f, dataclasses.replace(v, source_partition=999)),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_an_event_that_lies_harms_only_itself(world: World, name: str) -> None:
    world.verdicts_.clear()
    whole = a_plan(budget=96 * 60, shares={Strategy.PASS_AUDIT: 1.0})
    for number in (0, 1, 2):
        frame, verdict = captured(number), judged(number, FRAMES_TOPIC, 0, number, DAY)
        changed = HOSTILE[name](frame, verdict) if number == 1 else (frame, verdict)
        world.frames.pop((0, number), None)
        world.add(*changed, partition=0)  # type: ignore[arg-type]
    tally, _ = await run(world, plan=whole)
    assert {s.part_id for s in tally.samples} == {"P0", "P2"}


@pytest.mark.parametrize("change", [{"plant": "a/b"}, {"source_partition": 999}])
async def test_a_defect_that_can_be_no_sample_harms_only_itself(world: World, change: dict[str, Any]) -> None:
    whole, _ = await run(world)
    chosen = next(s for s in whole.samples if s.strategy is Strategy.CORRECTED)
    told = world.defects[chosen.verdict_id]
    world.defects[chosen.verdict_id] = dataclasses.replace(told, verdict=dataclasses.replace(told.verdict, **change))
    tally, _ = await run(world)
    corrected = {s.verdict_id for s in tally.samples if s.strategy is Strategy.CORRECTED}
    assert chosen.verdict_id not in corrected
    assert corrected


async def test_a_raw_frame_is_kept_as_png(world: World) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 80), dtype=np.uint8)
    raw = dataclasses.replace(
        captured(0), image=pixels.tobytes(), encoding=Encoding.MONO8, width=80, height=64, stride=80
    )
    verdict = dataclasses.replace(
        judged(0, FRAMES_TOPIC, 0, 0, DAY), image_sha256=hashlib.sha256(pixels.tobytes()).hexdigest()
    )
    world.verdicts_.clear()
    world.add(raw, verdict)
    tally, _ = await run(world, plan=a_plan(budget=96 * 60, shares={Strategy.PASS_AUDIT: 1.0}))
    (sample,) = tally.samples
    assert (sample.encoding, sample.width, sample.height) == (Encoding.PNG, 80, 64)
    kept = np.asarray(Image.open(io.BytesIO(world.store.get(sample.image_ref, 1 << 20))))
    np.testing.assert_array_equal(kept[..., 0], pixels)


async def test_pixels_of_a_sample_of_long_ago_are_not_chosen_again_whatever_file_they_came_in(world: World) -> None:
    """day 1: a sample in a file of another kind │ day 2: the same pixels as PNG"""
    since = DAY + timedelta(days=1)
    whole, _ = await run(world, since=since)
    chosen = next(s for s in whole.samples if s.strategy is Strategy.UNCERTAIN)
    file = io.BytesIO()
    Image.open(io.BytesIO(world.store.get(chosen.image_ref, 1 << 20))).save(file, "BMP")
    ref = world.store.put(file.getvalue(), sha256 := hashlib.sha256(file.getvalue()).hexdigest(), "bmp")
    earlier = dataclasses.replace(
        chosen,
        sample_id=uuid4(),
        image_ref=ref,
        image_sha256=sha256,
        encoding=Encoding.BMP,
        selected_at=DAY + timedelta(hours=1),
    )
    tally, _ = await run(world, since=since, published=[earlier])
    assert tally.samples
    assert chosen.sample_id not in {s.sample_id for s in tally.samples}

    lost = dataclasses.replace(earlier, image_ref=ref.replace(sha256, "0" * 64))  # nothing to compare with
    tally, _ = await run(world, since=since, published=[lost])
    assert tally.samples == whole.samples
