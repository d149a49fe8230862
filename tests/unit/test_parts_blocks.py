"""Parts in a row that were not inspected: one block to look at, one alarm that grows."""

from __future__ import annotations

from uuid import uuid5

from schemas.records import AlarmRaised, PartDecided, PartOutcome, PartReason
from streams.downstream.parts.alarms import AlarmBook
from streams.downstream.parts.blocks import blocks
from streams.downstream.parts.uninspected import Uninspected
from tests.builders import NAMESPACE
from tests.parts import at

OK, GONE = PartOutcome.OK, PartOutcome.NOT_INSPECTED


def part(
    number: int, outcome: PartOutcome = GONE, station: str = "s1", s: float | None = None, collected: bool = False
) -> PartDecided:
    """One part a second."""
    time = at(1_000 * (number if s is None else s))
    return PartDecided(
        decision_id=uuid5(NAMESPACE, f"{station}/{number}"),
        plant="p1",
        line="l1",
        station=station,
        sku="A",
        part_id=str(number),
        outcome=outcome,
        reason=PartReason.VIEWS if outcome is OK or collected else PartReason.LATE_VIEW,
        detail="" if outcome is OK else "view 1 late",
        views_expected=1,
        first_at=time,
        through_at=time,
        decided_at=time,
    )


class Alarms:
    def __init__(self) -> None:
        self.book = AlarmBook()
        self.uninspected = Uninspected(self.book)
        self.published: list[AlarmRaised] = []

    def see(self, *parts: PartDecided) -> list[AlarmRaised]:
        before = len(self.published)
        for each in parts:
            self.uninspected.see(each, each.first_at)
            self.published += self.book.due(each.first_at)
        return self.published[before:]

    def restore(self, parts: list[PartDecided], *alarms: AlarmRaised) -> list[AlarmRaised]:
        self.uninspected.restore(parts, alarms, at(0))
        return self.book.due(at(0))


def test_312_late_parts_are_one_block() -> None:
    """OK │ 312 late, another station's good ones between them │ OK │ 2 late"""
    row = [part(0, OK)]
    for number in range(1, 313):
        row += [part(number), part(number, OK, "s2")]
    row += [part(313, OK), part(314), part(315)]

    stop, rest = blocks(row)

    assert (stop.count, stop.first.part_id, stop.last.part_id) == (312, "1", "312")
    assert (stop.plant, stop.line, stop.station, stop.reasons) == ("p1", "l1", "s1", {PartReason.LATE_VIEW: 312})
    assert (stop.started_at, stop.ended_at) == (at(1_000), at(312_000))
    assert stop.summary == "312 parts not inspected at p1/l1/s1, 00:00:01 to 00:05:12 UTC (LATE_VIEW 312)"
    assert rest.count == 2


def test_a_long_pause_ends_a_block() -> None:
    row = [part(1), part(2), part(3, s=62), part(4, s=122.1)]

    assert [block.count for block in blocks(row)] == [3, 1]
    assert [block.count for block in blocks(row, gap_s=3600)] == [4]


def test_312_late_parts_are_one_alarm_that_grows_and_is_cleared_by_the_next_inspected_part() -> None:
    alarms = Alarms()
    grown = alarms.see(part(0, OK), *(part(n) for n in range(1, 313)))
    [cleared] = alarms.see(part(313, OK))

    assert [alarm.value for alarm in grown] == [float(n) for n in range(1, 313)]
    assert len({alarm.alarm_id for alarm in [*grown, cleared]}) == 1
    assert (cleared.value, cleared.cleared, cleared.since) == (312.0, at(313_000), at(1_000))
    assert grown[0].subject == "p1/l1/s1"


def test_parts_of_a_recipe_that_only_collects_are_a_block_but_no_alarm_and_end_the_one_that_stood() -> None:
    """2 late │ the recipe is set to collect │ 3 collected"""
    alarms = Alarms()
    late, collected = [part(1), part(2)], [part(n, collected=True) for n in (3, 4, 5)]
    alarms.see(*late)
    [cleared] = alarms.see(*collected)

    assert (cleared.value, cleared.cleared) == (2.0, at(3_000))
    assert alarms.see(part(6, collected=True)) == []
    assert Alarms().restore(collected) == []
    [block] = blocks(collected)
    assert (block.count, block.reasons) == (3, {PartReason.VIEWS: 3})


def test_a_fast_line_updates_its_alarm_once_a_second() -> None:
    grown = Alarms().see(*(part(n, s=n / 100) for n in range(1, 1_001)))

    assert len(grown) == 10
    assert grown[-1].value > 900


def test_a_run_goes_on_over_a_restart() -> None:
    """3 parts not inspected │ killed │ 1 more │ OK"""
    before = Alarms()
    [*_, last] = before.see(*(part(n) for n in (1, 2, 3)))
    again = Alarms()

    assert again.restore([part(n) for n in (1, 2, 3)], last) == []
    [grown, cleared] = again.see(part(4), part(5, OK))
    assert [(a.alarm_id, a.value) for a in (grown, cleared)] == [(last.alarm_id, 4.0)] * 2


def test_an_alarm_that_the_kill_prevented_is_raised_after_the_restart() -> None:
    """the decision was published, its alarm was not"""
    [raised] = Alarms().restore([part(1, OK), part(2)])

    assert raised.value == 1.0
    assert raised.alarm_id == Alarms().see(part(2))[0].alarm_id


def test_an_alarm_that_should_have_been_cleared_is_cleared_after_the_restart() -> None:
    [raised] = Alarms().see(part(1))
    [cleared] = Alarms().restore([part(1), part(2, OK)], raised)

    assert (cleared.alarm_id, cleared.cleared) == (raised.alarm_id, at(0))


def test_an_alarm_of_a_run_that_began_before_what_was_read_keeps_its_identity() -> None:
    [raised] = Alarms().see(part(1))
    again = Alarms()
    again.restore([part(n) for n in range(500, 510)], raised)
    [cleared] = again.see(part(510, OK))

    assert (cleared.alarm_id, cleared.value) == (raised.alarm_id, 10.0)


def test_another_stations_alarm_is_left_alone() -> None:
    [elsewhere] = Alarms().see(part(1, station="s9"))

    assert Alarms().restore([part(1, OK)], elsewhere) == []
