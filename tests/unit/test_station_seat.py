"""A seat over the real desk on topics in memory: what opens, claims, scans, and what outlives a sign-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.records import (
    ReworkFinding,
)
from tests.builders import until
from tests.stations import Station, defect, part_of, saved, station_at_work


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with station_at_work(tmp_path) as made:
        yield made


async def test_the_first_case_opens_by_itself_and_is_claimed(station: Station) -> None:
    station.reject(defect(1), defect(2))

    ana = station.seat("ana")

    assert part_of(ana.case) == "P1"
    assert ana.draft.label == "scratch"
    await until(lambda: [c.part_id for c in station.claims()] == ["P1"])


async def test_a_case_that_comes_while_there_is_none_opens_by_itself(station: Station) -> None:
    ana = station.seat("ana")
    assert ana.case is None

    station.reject(defect(1))

    await until(lambda: part_of(ana.case) == "P1")


async def test_who_leaves_gives_the_case_back(station: Station) -> None:
    station.reject(defect(1))
    ana = station.seats.of("ana")
    leave = ana.on_change(lambda _: None, lambda: True)
    ana.refresh()
    assert ana.case is not None
    key = ana.case.key
    await until(lambda: station.desk.board.holder(key, datetime.now(UTC)))

    leave()
    station.seats.vacate("ana")

    await until(lambda: station.desk.board.holder(key, datetime.now(UTC)) is None)
    assert station.seats.of("ana") is not ana


async def test_a_case_that_was_left_before_its_claim_came_is_given_back(station: Station) -> None:
    station.reject(defect(1), defect(2))
    ana = station.seat("ana")
    assert ana.case is not None
    key = ana.case.key

    ana.step(1)

    await until(lambda: [c.released for c in station.claims() if c.verdict_id == key.verdict_id] == [False, True])
    assert station.desk.board.holder(key, datetime.now(UTC)) is None


async def test_a_case_that_another_has_open_is_passed_over_and_can_only_be_looked_at(station: Station) -> None:
    station.reject(defect(1), defect(2))
    ana = station.seat("ana")
    first = ana.case
    assert first is not None
    await until(lambda: station.desk.board.holder(first.key, datetime.now(UTC)))

    ben = station.seat("ben")
    assert part_of(ben.case) == "P2"
    ben.scan("P1")
    ben.press("1")
    ben.press("r")

    held = ben.holder(first)
    assert held is not None
    assert held.operator == "ana"
    assert ben.draft.finding is None
    assert not ben.can_decide
    ben.press("enter")
    assert part_of(ben.case) == "P2"


async def test_a_scan_opens_its_part_and_an_unknown_one_is_told(station: Station) -> None:
    station.reject(defect(1), defect(2, "P-12rs"))
    ana = station.seat("ana")

    ana.scan(" P-12rs ")
    assert part_of(ana.case) == "P-12rs"
    assert ana.draft.finding is None

    ana.scan("nobody")
    assert part_of(ana.case) == "P-12rs"
    assert ana.notice is not None
    assert (ana.notice.kind, ana.notice.text) == ("unknown_part", "nobody")


async def test_a_half_made_decision_outlives_what_happens_on_the_board(station: Station) -> None:
    station.reject(defect(5))
    ana = station.seat("ana")
    ana.press("1")

    station.reject(*(defect(number) for number in range(4)))
    station.seats.refresh()

    assert part_of(ana.case) == "P5"
    assert ana.draft.finding is ReworkFinding.CONFIRMED


async def test_a_claim_is_renewed_before_it_ends(station: Station) -> None:
    station.reject(defect(1))
    ana = station.seat("ana")
    assert ana.case is not None
    await until(lambda: len(station.claims()) == 1)
    ana.refresh()
    assert len(station.claims()) == 1

    station.ahead = timedelta(seconds=70)  # more than half of a claim's two minutes
    ana.refresh()

    await until(lambda: len(station.claims()) == 2)


async def test_after_expiry_the_claim_ends_and_the_half_made_decision_stays(station: Station) -> None:
    station.reject(defect(1))
    ana = station.seat("ana")
    await until(lambda: len(station.claims()) == 1)
    ana.press("1")

    station.signed_in = False
    station.ahead = timedelta(hours=1)
    ana.refresh()

    assert len(station.claims()) == 1
    assert ana.draft.finding is ReworkFinding.CONFIRMED

    station.signed_in = True
    ana.refresh()
    await until(lambda: len(station.claims()) == 2)
    ana.press("r")
    await saved(ana)
    assert [o.operator for o in station.outcomes] == ["ana"]


async def test_nothing_opens_at_a_page_whose_operator_is_not_signed_in(station: Station) -> None:
    station.signed_in = False
    ana = station.seat("ana")

    station.reject(defect(1))
    station.seats.refresh()

    assert ana.case is None
    assert station.claims() == []


async def test_the_worst_first_where_that_is_asked_for(station: Station) -> None:
    station.reject(defect(1, score=0.6), defect(2, score=0.99))
    ana = station.seat("ana")

    ana.press("o")

    assert [c.part_id for c in ana.queue()] == ["P2", "P1"]
    assert part_of(ana.case) == "P1"
