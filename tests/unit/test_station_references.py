"""The good part beside a case: the newest one of the same view that still can be shown, looked for once."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.records import DefectDetected, FrameCaptured, Outcome, Reason, VerdictIssued
from streams.bus.readback import Found
from streams.bus.subscriber import Received
from streams.downstream.rework.cases import Case, case_of_defect
from streams.inspection.decide import Judgement
from streams.web.station.references import KEPT_FOR, NONE_KEPT_FOR, References
from tests.builders import frame, verdict

NOW = datetime(2026, 7, 31, tzinfo=UTC)
OK = Judgement(Outcome.OK, Reason.SCORE)
NG = Judgement(Outcome.NG, Reason.SCORE)


class Topics:
    """`verdicts` in blocks, the newest first, and the frames that are still there; `fails` breaks the reading."""

    def __init__(self, *blocks: list[VerdictIssued], gone: tuple[int, ...] = ()) -> None:
        self.reads = 0
        self.fails = False
        self._blocks = blocks
        self._gone = gone

    async def blocks(self, partition: int, before: int | None = None) -> AsyncGenerator[list[Found[VerdictIssued]]]:
        self.reads += 1
        if self.fails:
            raise ConnectionError("the broker is away")
        for block in self._blocks:
            yield [Found(verdict, number, NOW) for number, verdict in enumerate(block)]

    async def fetch(self, partition: int, offset: int) -> FrameCaptured | None:
        return None if offset in self._gone else frame(offset)


def ok(number: int, **changes: Any) -> VerdictIssued:
    return dataclasses.replace(verdict(frame(number), OK, number), **changes)


@pytest.fixture
def case() -> Case:
    defect = DefectDetected(verdict=verdict(frame(99), NG, 99), image_ref="file:///x")
    return case_of_defect(Received(defect, 0, 0, NOW, None))


def references(topics: Topics, now: datetime = NOW) -> References:
    return References(topics, topics, lambda: now)


async def test_the_newest_good_part_of_the_same_view_is_shown(case: Case) -> None:
    others = [ok(6, camera="c2"), ok(7, sku="B"), ok(8, view=2), ok(9, simulated=True), verdict(frame(10), NG, 10)]
    topics = Topics([ok(4), ok(5), *others], [ok(1)])

    found = await references(topics).find(case)

    assert found is not None
    assert found.address == "/frames/0/5/picture"


async def test_a_frame_that_retention_took_gives_way_to_the_one_before(case: Case) -> None:
    found = await references(Topics([ok(4), ok(5)], gone=(5,))).find(case)

    assert found is not None
    assert found.offset == 4


async def test_what_was_found_is_remembered_for_a_while(case: Case) -> None:
    topics = Topics([ok(4)])
    passed = [timedelta()]
    known = References(topics, topics, lambda: NOW + passed[0])

    assert await known.find(case) == await known.find(case)
    assert topics.reads == 1
    passed[0] = KEPT_FOR + timedelta(seconds=1)
    await known.find(case)
    assert topics.reads == 2


async def test_that_there_is_none_is_remembered_for_a_moment_only(case: Case) -> None:
    topics = Topics([])
    passed = [timedelta()]
    known = References(topics, topics, lambda: NOW + passed[0])

    assert [await known.find(case), await known.find(case)] == [None, None]
    assert topics.reads == 1
    passed[0] = NONE_KEPT_FOR + timedelta(seconds=1)
    await known.find(case)
    assert topics.reads == 2


async def test_a_broker_that_is_away_costs_the_comparison_alone_and_is_asked_again(case: Case) -> None:
    topics = Topics([ok(4)])
    topics.fails = True
    known = references(topics)
    assert await known.find(case) is None

    topics.fails = False

    assert await known.find(case) is not None


async def test_only_a_few_blocks_are_looked_through(case: Case) -> None:
    far = Topics([], [], [], [], [ok(1)])

    assert await references(far).find(case) is None
