"""One decision for every part, through the real broker and the real Faust, while views are lost, late and damaged.

lines     10, each with 100 parts of 4 views from one camera, interleaved; one view in 20 is lost, late or damaged
service   ━━━━━━━━━━━━━━▶   or   ━━━━━━✗ SIGKILL   ━━━━━━━━━━▶   or   ━━━━━━━━━━━━━━▶
                                                                         ━━━━━━━━━▶ a second one joins
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from schemas.records import AlarmKind, AlarmRaised, Outcome, PartDecided, PartOutcome, Reason, VerdictIssued
from streams.bus.offsets import committed_offsets, end_offsets
from streams.bus.publisher import Publisher
from streams.chaos.reading import read_all
from streams.downstream.parts.service import PartsService
from streams.inspection.decide import Judgement
from streams.settings import Settings, to_environment
from streams.topics import ALARMS, PARTS, VERDICTS, station_key
from tests.broker.running import prepared
from tests.builders import CODEC, until
from tests.parts import ERROR, LATE, NG, OK, UNSURE, view

LINES, PARTS_EACH, VIEWS = 10, 100, 4
TIMEOUT_MS = 2_000
GROUP = "parts"
SERVICE = """
import asyncio
from streams.commands.parts import run_parts
from streams.settings import load_settings
asyncio.run(run_parts(load_settings(), lambda: print("ready", flush=True)))
"""


@dataclass
class Plan:
    """What is published, what comes only after its part's time, and what must come out, by (line, part)."""

    rounds: list[list[VerdictIssued]]
    too_late: list[VerdictIssued]
    expected: dict[tuple[str, str], set[PartOutcome]]
    faults: Counter[str]
    lost: dict[str, set[int]]  # trigger numbers by line


def plan() -> Plan:
    chance, made = random.Random(5), Plan([], [], {}, Counter(), defaultdict(set))
    for number in range(PARTS_EACH):
        row: list[VerdictIssued] = []
        for n in range(1, VIEWS + 1):
            for line in range(LINES):
                judgement = chance.choices((OK, NG, UNSURE), (94, 4, 2))[0]
                fault = chance.choices(("", "lost", "too late", "late", "damaged"), (95, 2, 1, 1, 1))[0]
                judgement = {"late": LATE, "damaged": ERROR}.get(fault, judgement)
                _add(made, row, f"l{line}", number, n, judgement, fault)
        made.rounds.append(row)
    return made


def _add(
    made: Plan, row: list[VerdictIssued], line: str, number: int, n: int, judgement: Judgement, fault: str
) -> None:
    issued = view(f"P{number}", n, VIEWS, judgement, line=line, seq=number * VIEWS + n)
    made.faults[fault] += 1
    if fault == "lost":
        made.lost[line].add(issued.trigger_seq)
    elif fault == "too late":
        made.too_late.append(issued)
    else:
        row.append(issued)
    seen = made.expected.setdefault((line, f"P{number}"), set())
    if fault not in ("lost", "too late") and judgement.outcome is not Outcome.OK:
        seen.add({Outcome.NG: PartOutcome.NG, Outcome.UNSURE: PartOutcome.UNSURE}.get(judgement.outcome, _GONE))
    elif fault:
        seen.add(_GONE)


_GONE = PartOutcome.NOT_INSPECTED


def should_be(found: set[PartOutcome]) -> PartOutcome:
    return next((o for o in (PartOutcome.NG, _GONE, PartOutcome.UNSURE) if o in found), PartOutcome.OK)


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    return dataclasses.replace(made, part_timeout_ms=TIMEOUT_MS)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[PartsService]:
    service = PartsService(settings, CollectorRegistry())
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(service.run(stop, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield service
    finally:
        stop.set()
        await task


async def publish(settings: Settings, made: Plan, at_round: Callable[[int], object] = lambda _: None) -> None:
    """All rounds about 30 ms apart, then the views that come after their parts were decided."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        for number, row in enumerate(made.rounds):
            await _send(publisher, row)
            at_round(number)
            await asyncio.sleep(0.03)
        await asyncio.sleep(TIMEOUT_MS / 1000 + 0.5)
        await _send(publisher, made.too_late)


async def _send(publisher: Publisher, verdicts: list[VerdictIssued]) -> None:
    now = datetime.now(UTC)
    sent = []
    for v in verdicts:
        v = dataclasses.replace(v, source_timestamp=now)
        sent.append(await publisher.send(VERDICTS, v, key=station_key(v.plant, v.line, v.station)))
    await asyncio.gather(*sent)


async def until_all_is_acknowledged(settings: Settings, timeout_s: float = 60.0) -> None:
    topic = settings.topic_prefix + VERDICTS.name
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                ends = {p: end for p, end in (await end_offsets(settings.bootstrap, topic)).items() if end}
                committed = await committed_offsets(admin, settings.topic_prefix + GROUP, topic)
                if all(committed.get(p, 0) >= end for p, end in ends.items()):
                    return
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def decided(settings: Settings) -> dict[tuple[str, str], list[PartDecided]]:
    found: dict[tuple[str, str], list[PartDecided]] = defaultdict(list)

    def take(partition: int, offset: int, value: bytes) -> None:
        part = CODEC.decode(value, PartDecided)
        found[part.line, part.part_id or ""].append(part)

    await read_all(settings, PARTS, take)
    return found


async def alarms(settings: Settings) -> list[AlarmRaised]:
    found: list[AlarmRaised] = []
    await read_all(settings, ALARMS, lambda p, o, value: found.append(CODEC.decode(value, AlarmRaised)))
    return found


async def check(settings: Settings, made: Plan, what: str, started: float) -> None:
    """One decision each, none of the affected ones OK, every other one as it should be; prints the figures."""
    found = await decided(settings)
    outcomes = Counter(parts[0].outcome.value for parts in found.values())
    print(
        f"\n{what}: {sum(map(len, made.rounds)) + len(made.too_late)} verdicts, {len(found)} parts, "
        f"{sum(map(len, found.values()))} decisions; views {dict(made.faults)}; parts {dict(outcomes)}; "
        f"{time.monotonic() - started:.1f} s"
    )
    assert {key: len(parts) for key, parts in found.items()} == dict.fromkeys(made.expected, 1)
    came = {key: parts[0].outcome for key, parts in found.items()}
    assert came == {key: should_be(seen) for key, seen in made.expected.items()}


def missing(states: list[AlarmRaised]) -> dict[str, set[int]]:
    """The numbers that are missing by the newest state of every alarm, by line."""
    newest = {alarm.alarm_id: alarm for alarm in states if alarm.kind is AlarmKind.MISSING_TRIGGER}
    found: dict[str, set[int]] = defaultdict(set)
    for alarm in newest.values():
        for r in alarm.ranges:
            found[alarm.subject.split("/")[1]].update(range(r.first, r.last + 1))
    return found


async def test_ten_lines_with_one_view_in_twenty_lost_late_or_damaged(settings: Settings) -> None:
    made, started = plan(), time.monotonic()
    async with running(settings):
        await publish(settings, made)
        await until_all_is_acknowledged(settings)

    await check(settings, made, "one service", started)
    states = await alarms(settings)
    last = {v.line: v.trigger_seq for row in made.rounds for v in row}
    lost = {line: {n for n in numbers if n < last[line]} for line, numbers in made.lost.items()}
    print(f"triggers missing for good: {sum(map(len, lost.values()))}, in {len(states)} alarm states")
    assert missing(states) == lost
    assert {alarm.kind for alarm in states} == {AlarmKind.MISSING_TRIGGER, AlarmKind.NOT_INSPECTED}


async def test_a_kill_in_the_middle_loses_no_part_and_decides_none_twice(settings: Settings) -> None:
    made, started = plan(), time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, env=os.environ | to_environment(settings), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"ready\n"

    def kill(number: int) -> None:
        if number == PARTS_EACH // 2:
            process.kill()

    await publish(settings, made, kill)
    assert await process.wait() == -9
    before = sum(map(len, (await decided(settings)).values()))
    async with running(settings):
        await until_all_is_acknowledged(settings)

    print(f"\ndecided before the kill: {before}")
    assert 0 < before < LINES * PARTS_EACH
    await check(settings, made, "killed in the middle", started)


async def test_a_second_service_that_joins_and_leaves_changes_no_decision(settings: Settings) -> None:
    made, started = plan(), time.monotonic()
    async with running(settings):
        publishing = asyncio.create_task(publish(settings, made))
        async with running(settings) as second:
            await publishing
            taken = second.assembly.taken
        await until_all_is_acknowledged(settings)

    print(f"\nverdicts taken by the second: {taken}")
    await check(settings, made, "two services", started)


async def test_a_stop_leaves_a_part_that_waits_to_the_next_service(settings: Settings) -> None:
    """A1 │ stop at once, though A may wait for 10 minutes │ the next service │ A2 ▶ decided"""
    settings = dataclasses.replace(settings, part_timeout_ms=600_000)
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        async with running(settings) as service:
            await _send(publisher, [view("A", 1, 2)])
            await until(lambda: service.assembly.taken, 30)
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 10
        assert await decided(settings) == {}
        async with running(settings):
            await _send(publisher, [view("A", 2, 2)])
            await until_all_is_acknowledged(settings)

    [[part]] = (await decided(settings)).values()
    assert (part.outcome, [v.view for v in part.views]) == (PartOutcome.OK, [1, 2])


async def test_a_late_verdict_that_a_recipe_calls_ng_is_no_defect_of_score_but_never_passes(settings: Settings) -> None:
    async with running(settings), Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        late_ng = Judgement(Outcome.NG, Reason.LATE)
        await _send(publisher, [view("A", 1, 2, late_ng), view("A", 2, 2, seq=2)])
        await until_all_is_acknowledged(settings)

    [[part]] = (await decided(settings)).values()
    assert (part.outcome, [v.reason for v in part.views]) == (PartOutcome.NG, [Reason.LATE, Reason.SCORE])
