"""A frame that stands on the topic twice gets one decision, whatever has changed between the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.records import Outcome, Reason
from streams.inspection.copies import Firsts
from streams.inspection.decide import Judgement
from tests.builders import DENT_LEVEL, OK_LEVEL, Bench, frame, picture, until, verdict


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


async def test_a_copy_gets_the_first_ones_verdict_though_its_own_deadline_has_passed(line: Bench) -> None:
    await line.run(frame(1, image=picture(DENT_LEVEL), deadline_ms=60_000))
    await line.run(frame(1, image=picture(DENT_LEVEL), deadline_ms=60_000, gateway_ms=90_000))
    first, copy = line.verdicts
    assert (first.outcome, first.reason) == (copy.outcome, copy.reason) == (Outcome.NG, Reason.SCORE)
    assert copy.verdict_id == first.verdict_id
    assert (first.source_offset, copy.source_offset) == (0, 1), (
        "each frame of the topic has a verdict of its own offset"
    )
    assert len(line.sender.records("defects")) == 1
    assert line.acked == [0, 1]
    assert len(line.engine.batches) == 1


async def test_a_copy_waits_for_the_decision_that_is_being_made(line: Bench) -> None:
    line.engine.gate.clear()
    await line.accept(frame(1, image=picture(OK_LEVEL)))
    await until(lambda: line.engine.batches)
    await line.accept(frame(1, image=picture(OK_LEVEL), deadline_ms=1, gateway_ms=5))
    line.engine.gate.set()
    await line.inspection.drain()
    assert [(v.outcome, v.reason, v.source_offset) for v in line.verdicts] == [
        (Outcome.OK, Reason.SCORE, 0),
        (Outcome.OK, Reason.SCORE, 1),
    ]
    assert len(line.engine.batches) == 1


async def test_a_copy_of_a_frame_that_another_worker_decided_is_known_from_the_topics_tail(line: Bench) -> None:
    shown = frame(1, image=picture(DENT_LEVEL))
    first = verdict(shown, Judgement(Outcome.ERROR, Reason.LATE), offset=0)
    line.tail.newest = {first.verdict_id: first}
    await line.accept(shown, 7)
    await line.inspection.drain()
    assert [(v.outcome, v.reason, v.source_offset) for v in line.verdicts] == [(Outcome.ERROR, Reason.LATE, 7)]


async def test_another_attempt_is_no_copy(line: Bench) -> None:
    await line.run(frame(1, image=picture(OK_LEVEL)), frame(1, image=picture(OK_LEVEL), attempt=2))
    assert len(line.engine.batches[0]) + len(line.engine.batches[-1]) >= 2
    assert len({v.verdict_id for v in line.verdicts}) == 2


async def test_only_the_newest_verdicts_are_remembered() -> None:
    firsts, made = Firsts(2), [verdict(frame(n), Judgement(Outcome.OK, Reason.SCORE)) for n in range(3)]
    for each in made:
        firsts.remember(each)
    assert [await firsts.of(each.verdict_id) for each in made] == [None, *made[1:]]
