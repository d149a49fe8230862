"""A seat over the real desk on topics in memory: decisions on their way to the topic, undo, and blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from schemas.records import (
    Disposition,
    PartDecided,
    PartOutcome,
    PartReason,
    ReworkFinding,
)
from streams.topics import AUDIT, PARTS
from tests.builders import until
from tests.stations import KEY, Station, defect, part_of, saved, station_at_work


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with station_at_work(tmp_path) as made:
        yield made


async def test_two_presses_save_and_the_next_case_opens_by_itself(station: Station) -> None:
    station.reject(defect(1), defect(2))
    ana = station.seat("ana")

    ana.press("1")
    ana.press("r")
    assert ana.saving is not None
    await saved(ana)

    [outcome] = station.outcomes
    assert (outcome.finding, outcome.disposition) == (ReworkFinding.CONFIRMED, Disposition.REWORK)
    assert (outcome.operator, outcome.rework_station, outcome.part_id) == ("ana", "R2", "P1")
    assert ana.notice is not None
    assert (ana.notice.kind, part_of(ana.notice.case)) == ("saved", "P1")
    assert part_of(ana.case) == "P2"
    assert ana.draft.finding is None


async def test_no_key_counts_while_a_decision_is_being_saved(station: Station) -> None:
    station.reject(defect(1), defect(2))
    ana = station.seat("ana")
    station.bus.cut()

    for key in "1r2a":
        ana.press(key)
    ana.scan("P2")
    ana.step(1)

    assert part_of(ana.case) == "P1"
    assert ana.saving is not None
    assert ana.saving.decision is not None
    assert ana.saving.decision.finding is ReworkFinding.CONFIRMED
    station.bus.mend()
    await saved(ana)
    assert len(station.outcomes) == 1


async def test_a_decision_under_way_survives_that_all_pages_go(station: Station) -> None:
    station.reject(defect(1))
    ana = station.seats.of("ana")
    leave = ana.on_change(lambda _: None, lambda: True)
    ana.refresh()
    station.bus.cut()
    ana.press("2")
    ana.press("a")
    leave()

    station.seats.vacate("ana")
    assert station.seats.of("ana") is ana
    assert ana.saving is not None

    station.bus.mend()
    await saved(ana)
    assert [o.finding for o in station.outcomes] == [ReworkFinding.FALSE_REJECT]


async def test_who_comes_second_sees_who_decided_and_nothing_is_written(station: Station) -> None:
    station.reject(defect(1))
    ana = station.seat("ana")
    await until(lambda: len(station.claims()) == 1)
    assert ana.case is not None
    decided = ana.case
    station.ahead = timedelta(hours=1)  # ana's claim is long over at this station's clock
    ben = station.seat("ben")
    ben.open(decided)
    station.ahead = timedelta()
    ana.press("1")
    ana.press("s")
    await saved(ana)

    ben.press("2")
    ben.press("a")

    assert [o.operator for o in station.outcomes] == ["ana"]
    assert ben.outcome is not None
    assert ben.outcome.operator == "ana"
    assert not ben.can_decide


async def test_undo_takes_the_newest_decision_back_and_opens_its_case(station: Station) -> None:
    station.reject(defect(1), defect(2))
    ana = station.seat("ana")
    ana.press("1")
    ana.press("r")
    await saved(ana)

    ana.press("u")
    await saved(ana)

    assert [o.finding for o in station.outcomes] == [ReworkFinding.CONFIRMED, ReworkFinding.WITHDRAWN]
    assert part_of(ana.case) == "P1"
    assert ana.can_decide
    assert not ana.can_undo


async def test_undo_first_takes_back_what_is_half_made(station: Station) -> None:
    station.reject(defect(1))
    ana = station.seat("ana")
    ana.set_comment("at the rim")
    ana.press("2")

    ana.press("u")

    assert ana.draft.finding is None
    assert ana.draft.comment == "at the rim"
    assert station.outcomes == []


async def test_a_decision_that_can_not_be_recorded_is_told_and_kept_open(station: Station) -> None:
    station.reject(defect(1))
    ana = station.seat("ana")
    ana.choose_label("x" * 65)
    ana.press("r")
    await saved(ana)

    assert ana.notice is not None
    assert ana.notice.kind == "refused"
    assert part_of(ana.case) == "P1"
    assert ana.can_decide


def uninspected(number: int) -> PartDecided:
    at = datetime.now(UTC) - timedelta(seconds=100 - number)
    return PartDecided(
        decision_id=uuid4(),
        plant="p1",
        line="l1",
        station="s1",
        sku="A",
        part_id=f"U{number}",
        outcome=PartOutcome.NOT_INSPECTED,
        reason=PartReason.MISSING_VIEW,
        views_expected=2,
        first_at=at,
        through_at=at,
        decided_at=at,
    )


@pytest.mark.parametrize(("key", "action"), [("i", "block.inspect-by-hand"), ("l", "block.send-back")])
async def test_a_block_is_dealt_with_by_one_press_and_leaves_the_queue(station: Station, key: str, action: str) -> None:
    for number in range(3):
        station.topics.put(PARTS, uninspected(number), key=KEY, partition=0)
    ana = station.seat("ana")
    [block] = station.desk.board.blocks()
    ana.open_block(block)

    ana.press(key)
    ana.press(key)  # a hand that trembles
    assert ana.is_busy
    assert ana.notice is None

    await until(lambda: not station.desk.board.blocks())
    [entry] = [e for e in station.topics.records(AUDIT) if e.action.startswith("block.")]
    assert (entry.action, entry.actor, UUID(entry.subject)) == (action, "ana", block.first.decision_id)
    await until(lambda: ana.block is None)


async def test_an_open_block_grows_with_its_line_standing(station: Station) -> None:
    station.topics.put(PARTS, uninspected(0), key=KEY, partition=0)
    ana = station.seat("ana")
    ana.open_block(station.desk.board.blocks()[0])

    station.topics.put(PARTS, uninspected(1), key=KEY, partition=0)
    ana.refresh()

    assert ana.block is not None
    assert ana.block.count == 2
