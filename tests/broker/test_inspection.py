"""Inspection through the real broker and the real Faust, with a fake engine: what comes out for what goes in."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from schemas.records import Encoding, Fallback, Outcome, Reason
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.chaos.ledger import Results
from streams.chaos.reading import read_all, results
from streams.chaos.stations import partition_of
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import DEFECTS, FRAMES, RECIPES, station_key
from tests.broker.running import inspected, prepared, publish, running_worker, until_lag_is_zero
from tests.builders import CODEC, DENT_LEVEL, SCRATCH_LEVEL, FakeEngine, frame, picture, recipe
from tests.pictures import Case, corpus


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    return await prepared(bootstrap, topic_prefix, tmp_path)


def verdicts(found: Results) -> Iterator[object]:
    return (v for log in found.verdicts.values() for _, v in log)


def corpus_frame(number: int, case: Case) -> object:
    image = case.image
    return frame(
        number,
        line=f"l{number % 5}",
        part_id=case.name,
        encoding=Encoding(image.encoding),
        width=image.width,
        height=image.height,
        stride=image.stride,
        bits=image.bits,
        image=image.data,
        image_sha256=image.sha256,
    )


async def test_every_corpus_case_gets_its_outcome_through_kafka(settings: Settings) -> None:
    cases = {case.name: case.expect for case in corpus()}
    found = await inspected(settings, (corpus_frame(n, case) for n, case in enumerate(corpus())))

    assert len(cases) == 54
    came = {v.part_id: v for v in verdicts(found)}
    assert came.keys() == cases.keys()
    assert {name: str(v.reason) for name, v in came.items()} == {
        name: expect.get("reason", "SCORE") for name, expect in cases.items()
    }
    assert {n for n, v in came.items() if v.outcome is Outcome.ERROR} == {n for n, e in cases.items() if "reason" in e}
    letters = Counter(letter.reason for log in found.letters.values() for _, letter in log)
    assert letters == Counter(e["reason"] for e in cases.values() if e["outcome"] == "rejected")


async def test_a_damaged_picture_in_a_batch_of_32_costs_only_itself(settings: Settings) -> None:
    frames = [frame(n) for n in range(32)]
    broken = picture()[:60]
    frames[17] = frame(17, image=broken, image_sha256=hashlib.sha256(broken).hexdigest())

    found = await inspected(settings, frames)

    outcomes = Counter(v.outcome for v in verdicts(found))
    assert outcomes == {Outcome.OK: 31, Outcome.ERROR: 1}
    assert next(v for v in verdicts(found) if v.outcome is Outcome.ERROR).trigger_seq == 17


@pytest.mark.parametrize("action", [Fallback.NG, Fallback.UNSURE])
async def test_an_unreadable_picture_counts_as_its_recipe_says_and_is_a_dead_letter_and_no_defect(
    settings: Settings, action: Fallback
) -> None:
    broken = [frame(n, image=picture()[:60]) for n in range(3)]
    await publish(settings, [*broken, frame(3)])
    async with running_worker(settings, default=recipe(plant="*", line="*", error_action=action)):
        await until_lag_is_zero(settings)
    found = await results(settings)

    came = {v.trigger_seq: (v.outcome, v.reason) for v in verdicts(found)}
    assert came == {**dict.fromkeys(range(3), (Outcome[action], Reason.TRUNCATED)), 3: (Outcome.OK, Reason.SCORE)}
    assert [letter.reason for log in found.letters.values() for _, letter in log] == [Reason.TRUNCATED] * 3
    defects: list[bytes] = []
    await read_all(settings, DEFECTS, lambda partition, offset, value: defects.append(value))
    assert defects == []


async def test_null_and_garbage_values_become_one_dead_letter_each_and_lag_is_zero(settings: Settings) -> None:
    """20 valid, 1 null, 20 valid, 1 garbage, again and again on one partition."""
    rounds, key, topic = 5, station_key("p1", "l1", "s1"), settings.topic_prefix + FRAMES.name
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
    await producer.start()
    for round_number in range(rounds):
        for half, bad in enumerate((None, b"garbage")):
            for n in range(20):
                value = CODEC.encode(frame(round_number * 40 + half * 20 + n))
                await producer.send(topic, value, key=key, partition=1)
            await producer.send(topic, bad, key=key, partition=1)
    await producer.stop()

    async with running_worker(settings):
        await until_lag_is_zero(settings)
    found = await results(settings)

    assert len(found.ids) == rounds * 40
    letters = [letter for _, letter in found.letters[1]]
    assert Counter(letter.reason for letter in letters) == {Reason.TOMBSTONE: rounds, Reason.SCHEMA_INVALID: rounds}
    assert {letter.value for letter in letters} == {None, b"garbage"}
    expected = [o for r in range(rounds) for o in (r * 42 + 20, r * 42 + 41)]
    assert [letter.source_offset for letter in letters] == expected


async def test_results_stand_in_the_partition_of_their_frame_and_in_its_order(settings: Settings) -> None:
    frames = [frame(n, line=f"l{n % 6}", image=picture(SCRATCH_LEVEL if n % 3 else 0)) for n in range(300)]

    found = await inspected(settings, frames)

    assert len(found.ids) == 300
    assert found.order_breaks() == 0
    assert all(v.source_partition == p for p, log in found.verdicts.items() for _, v in log)
    placed: list[tuple[int, int]] = []

    def take(partition: int, offset: int, value: bytes) -> None:
        defect = CODEC.decode(value, DEFECTS.record)
        placed.append((partition, defect.verdict.source_partition))
        assert FrameStore(settings.frame_store_url).get(defect.image_ref, 1 << 20) == picture(SCRATCH_LEVEL)

    await read_all(settings, DEFECTS, take)
    assert len(placed) == 200
    assert all(at == source for at, source in placed)


async def test_frames_of_an_aborted_transaction_are_no_frames(settings: Settings) -> None:
    topic, key = settings.topic_prefix + FRAMES.name, station_key("p1", "l1", "s1")
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, transactional_id=f"t{uuid4()}")
    await producer.start()
    for number, aborts in enumerate((False, True, False, True)):
        await producer.begin_transaction()
        for n in range(10):
            await producer.send(topic, CODEC.encode(frame(number * 10 + n)), key=key, partition=2)
        await (producer.abort_transaction() if aborts else producer.commit_transaction())
    await producer.stop()
    await publish(settings, [frame(100)])

    async with running_worker(settings):
        async with asyncio.timeout(30):
            while len((await results(settings)).ids) < 21:
                await asyncio.sleep(0.2)
    found = await results(settings)

    assert sorted(v.trigger_seq for v in verdicts(found)) == [*range(10), *range(20, 30), 100]


async def test_the_recipe_in_force_at_the_append_time_decides_threshold_and_model(settings: Settings) -> None:
    """Recipe 1 (limit 0.5) is in force at once; recipe 2 (limit 1.1: nothing is NG) follows some seconds later.

    publish recipes ─ frames A ───────── effective_at of 2 ─ frames B
    """
    now = datetime.now(UTC)
    first = recipe(version=1, effective_at=now + timedelta(seconds=6))
    second = recipe(version=2, thresholds={"scratch": 1.1, "dent": 1.1}, effective_at=now + timedelta(seconds=9))
    other = recipe(version=3, sku="B", model_id="elsewhere", effective_at=now + timedelta(seconds=6))
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for published in (first, second, other):
            await (await publisher.send(RECIPES, published, key=f"p1/l1/{published.sku}".encode()))
    async with running_worker(settings, default=None):
        await publish(settings, [frame(0, image=picture(DENT_LEVEL))])
        await asyncio.sleep(max(0.0, (first.effective_at - datetime.now(UTC)).total_seconds() + 0.2))
        await publish(settings, [frame(1, image=picture(DENT_LEVEL)), frame(2, sku="B")])
        await asyncio.sleep(max(0.0, (second.effective_at - datetime.now(UTC)).total_seconds() + 0.2))
        await publish(settings, [frame(3, image=picture(DENT_LEVEL))])
        await until_lag_is_zero(settings)

    came = {v.trigger_seq: (v.outcome, v.reason, v.recipe_version) for v in verdicts(await results(settings))}
    assert came == {
        0: (Outcome.UNSURE, Reason.UNQUALIFIED, None),
        1: (Outcome.NG, Reason.SCORE, 1),
        2: (Outcome.UNSURE, Reason.UNQUALIFIED, 3),
        3: (Outcome.UNSURE, Reason.SCORE, 2),
    }


async def test_a_second_worker_takes_over_without_a_second_verdict(settings: Settings) -> None:
    """workers 1 ━━━━━━━━━━━━ and 2 ━━━━━━: joining and leaving redeliver, but decide nothing twice."""
    engine = FakeEngine()
    engine.seconds = 0.02
    frames = [frame(n, line=f"l{n % 6}") for n in range(1_500)]

    async def feed() -> None:
        for start in range(0, len(frames), 50):
            await publish(settings, frames[start : start + 50])

    async with running_worker(settings, engine):
        feeding = asyncio.create_task(feed())
        await asyncio.sleep(1)
        async with running_worker(settings, FakeEngine()):
            await asyncio.sleep(4)
        await feeding
        await until_lag_is_zero(settings)
    found = await results(settings)

    assert len(found.ids) == len(frames)
    assert found.copies() == {}
    assert found.order_breaks() == 0


async def test_a_stop_under_load_finishes_and_commits_what_is_under_way(settings: Settings) -> None:
    engine = FakeEngine()
    engine.seconds = 0.05
    await publish(settings, [frame(n) for n in range(3_000)])

    async with running_worker(settings, engine) as worker:
        async with asyncio.timeout(30):
            while worker.inspection.completed < 300:
                await asyncio.sleep(0.01)
        assert worker.inspection.in_flight

    assert worker.inspection.in_flight == 0
    decided = len((await results(settings)).ids)
    assert decided == worker.inspection.completed < 3_000
    async with running_worker(settings) as second:
        await until_lag_is_zero(settings)
    assert second.inspection.completed == 3_000 - decided, "nothing that was committed comes again"
    assert (await results(settings)).copies() == {}


@pytest.mark.alone
async def test_a_quiet_partition_keeps_its_deadlines_beside_a_flooded_one(settings: Settings) -> None:
    """The flood is 25 s of work, all of it in Kafka before the first of the others comes."""
    engine = FakeEngine(buckets=(1, 2, 4, 8))
    engine.seconds = 0.05
    flooded = partition_of(station_key("p1", "l1", "s1"), settings.partitions)
    lines = (f"q{n}" for n in itertools.count())
    quiet = next(q for q in lines if partition_of(station_key("p1", q, "s1"), settings.partitions) != flooded)
    await publish(settings, [frame(n) for n in range(4_000)])

    async with running_worker(replace(settings, max_batch=8), engine) as worker:
        while worker.inspection.completed < 100:
            await asyncio.sleep(0.01)
        for number in range(20):
            await publish(settings, [frame(number, frame_id=uuid4(), line=quiet, deadline_ms=8_000)])
        decided: list[Any] = []
        while len(decided) < 20:
            decided = [v for v in verdicts(await results(settings)) if v.line == quiet]
        assert worker.inspection.completed < 3_000, "the flood is over: nothing was shown"
    assert {v.reason for v in decided} == {Reason.SCORE}
