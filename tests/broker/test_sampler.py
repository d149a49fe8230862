"""The sampler on the real broker: a history of two days, sampled twice, and live."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from models.labelled_set import examples
from models.likeness import pixel_sha256
from models.preprocess import EncodedImage, decode
from schemas.records import Outcome, SampleSelected, Strategy, VerdictIssued
from streams.bus.publisher import Publisher
from streams.bus.subscriber import subscribe
from streams.commands.dataset import BuildOptions, build_dataset
from streams.downstream.sampling import service
from streams.downstream.sampling.plan import day_of
from streams.downstream.sampling.service import GRACE_S, Range, SamplerService
from streams.errors import OperatorError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import DEFECTS, FRAMES, OUTCOMES, VERDICTS, station_key
from tests.broker.running import prepared
from tests.builders import CODEC
from tests.sampling_world import Timed, a_plan, captured, decisions, defect, judged

COUNT = 360
PLAN = a_plan(budget=60, seed=5)


def now() -> datetime:
    return datetime.now(UTC)


async def history(settings: Settings, count: int = COUNT, timed: Timed | None = None) -> list[VerdictIssued]:
    """Inspected frames since yesterday, four minutes apart; the decisions about them come now."""
    store, topic = FrameStore(settings.frame_store_url), settings.topic_prefix + FRAMES.name
    timed = timed or Timed(day_of(now()) - timedelta(days=1), timedelta(minutes=4))
    frames, verdicts = [captured(number) for number in range(count)], []
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        sent = [await publisher.send(FRAMES, f, key=station_key(f.plant, f.line, f.station)) for f in frames]
        for number, delivery in enumerate(await asyncio.gather(*sent)):
            verdicts.append(judged(number, topic, delivery.partition, delivery.offset, timed.at(number)))
        sent = []
        for verdict in verdicts:
            where: Any = {"key": station_key(verdict.plant, verdict.line, verdict.station)}
            where["partition"] = verdict.source_partition
            sent.append(await publisher.send(VERDICTS, verdict, **where))
            if verdict.outcome in (Outcome.NG, Outcome.UNSURE):
                sent.append(await publisher.send(DEFECTS, defect(verdict, store), **where))
            sent += [await publisher.send(OUTCOMES, outcome, **where) for outcome in decisions(verdict)]
        await asyncio.gather(*sent)
    return verdicts


async def published(settings: Settings) -> list[SampleSelected]:
    return [s async for s in subscribe("samples", "earliest", settings=settings, follow=False)]


def later() -> datetime:
    """A clock by which the period of just now is over."""
    return now() + timedelta(seconds=PLAN.period_s + GRACE_S)


async def test_the_same_seed_chooses_the_same_within_budgets_and_no_pixels_twice(
    bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    verdicts = {v.verdict_id: v for v in await history(settings)}
    store, unpinned, send = FrameStore(settings.frame_store_url), [], Publisher.send

    async def checked(self: Publisher, topic: Any, record: Any, **where: Any) -> Any:
        if isinstance(record, SampleSelected) and f"sample-{record.sample_id}" not in store.pins(record.image_sha256):
            unpinned.append(record)
        return await send(self, topic, record, **where)

    monkeypatch.setattr(Publisher, "send", checked)
    sampler = SamplerService(settings, PLAN, clock=later)
    since = day_of(now()) - timedelta(days=1)
    dry = await sampler.once(Range(since=since), dry_run=True)
    assert await published(settings) == []
    first = await sampler.once(Range(since=since))
    samples = await published(settings)
    by_id = attrgetter("sample_id")
    second = await sampler.once(Range(since=since))

    assert unpinned == []
    assert [s.sample_id for s in dry.samples] == [s.sample_id for s in first.samples]
    assert sorted(samples, key=by_id) == sorted(first.samples, key=by_id)
    assert second.samples == first.samples
    assert (first.published, second.published, second.known) == (len(samples), 0, len(samples))
    assert len(await published(settings)) == len(samples)
    assert {s.strategy for s in samples} == set(PLAN.shares)
    spent = Counter((s.line, day_of(s.selected_at - timedelta(seconds=1)), s.strategy) for s in samples)
    assert all(count <= PLAN.of_day(strategy) for (_, _, strategy), count in spent.items()), spent
    pictures = [decode(EncodedImage(store.get(s.image_ref, 1 << 20), s.encoding)) for s in samples]
    assert len({pixel_sha256(pixels) for pixels in pictures}) == len(samples)
    for s in samples:
        assert (verdicts[s.verdict_id].outcome is Outcome.OK) == (s.strategy is Strategy.PASS_AUDIT)


async def in_this_period() -> Timed:
    """Times of the period of just now, which goes on for as long as a test takes."""
    left_s = PLAN.period_s - (now() - PLAN.start_of(now())).total_seconds()
    if left_s < 20:
        await asyncio.sleep(left_s + 0.1)
    return Timed(PLAN.start_of(now()), timedelta(milliseconds=1))


async def test_live_it_samples_a_period_when_it_has_closed_and_all_its_frames_are_inspected(
    bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame without a verdict ─ the period stays open ─ its verdict comes ─ samples come"""
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    timed, frame = await in_this_period(), captured(40)
    await history(settings, 40, timed)
    async with Publisher(bootstrap, topic_prefix, CODEC) as publisher:
        at = await (await publisher.send(FRAMES, frame, key=station_key(frame.plant, frame.line, frame.station)))
        monkeypatch.setattr(service, "INSPECTED_TIMEOUT_S", 0.0)
        with pytest.raises(OperatorError, match=rf"partitions \[{at.partition}\] have no verdict yet"):
            await SamplerService(settings, PLAN, clock=later).once(Range(since=timed.at(0)))
        assert await published(settings) == []
        stop, ready = asyncio.Event(), asyncio.Event()
        live = asyncio.create_task(SamplerService(settings, PLAN, clock=later).follow(timed.at(0), stop, ready.set))
        await asyncio.wait_for(ready.wait(), 30)
        verdict = judged(40, topic_prefix + FRAMES.name, at.partition, at.offset, now())
        await (await publisher.send(VERDICTS, verdict, key=b"k", partition=at.partition))
        found = aiter(subscribe("samples", "earliest", settings=settings))
        async with asyncio.timeout(60):
            first = await anext(found)
    await found.aclose()  # type: ignore[attr-defined]
    stop.set()
    tally = await asyncio.wait_for(live, 60)
    assert first in tally.samples


async def test_a_data_set_built_twice_from_the_same_topics_has_the_same_version(
    bootstrap: str, topic_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    await history(settings)
    sampler = SamplerService(settings, PLAN, clock=later)
    await sampler.once(Range(since=day_of(now()) - timedelta(days=1)))
    said = []
    for name in ("one", "two", "one"):
        options = BuildOptions(directory=tmp_path / name, name="flanges", as_json=True)
        await asyncio.to_thread(build_dataset, settings, options)
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[2]
    assert said[0] == said[1] | {"directory": said[0]["directory"]}
    assert said[0]["sources"].keys() == {"samples", "outcomes", "defects"}
    assert sum(said[0]["sources"]["samples"].values()) >= len(await published(settings))
    assert said[0]["counts"]["pictures"] == len(examples(tmp_path / "one")) > 0
    early = BuildOptions(directory=tmp_path / "early", until="1d", as_json=True)
    await asyncio.to_thread(build_dataset, settings, early)  # nobody had decided anything then
    assert json.loads(capsys.readouterr().out)["counts"]["pictures"] == 0
    assert examples(tmp_path / "early") == []
