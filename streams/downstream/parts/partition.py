"""Everything that is known of one partition of `verdicts`, and what each event leads to. Pure.

Place in the flow: the shell brings verdicts in log order and lets time pass; each call gives the decisions and alarms
to be published and the offsets that wait for nothing more once those are confirmed. Knows no Kafka and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.records import AlarmRaised, PartDecided, VerdictIssued
from streams.downstream.parts.alarms import AlarmBook, is_open
from streams.downstream.parts.assembler import Assembler, Decision, Fate, Seen
from streams.downstream.parts.triggers import Triggers
from streams.downstream.parts.uninspected import Uninspected

TimeoutMs = Callable[[VerdictIssued | PartDecided], int]
"""How long the part that a verdict or a decision is about waits for all its views, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Before:
    """What the topics say about a partition before its first verdict is taken, each in log order."""

    parts: Sequence[PartDecided] = ()
    verdicts: Sequence[Seen] = ()  # the last ones acknowledged
    alarms: Sequence[AlarmRaised] = ()  # the newest state of each


@dataclass(frozen=True, slots=True)
class Step:
    """What one event leads to. `done` are the offsets that wait for nothing but these records' confirmation."""

    parts: tuple[PartDecided, ...] = ()
    alarms: tuple[AlarmRaised, ...] = ()
    done: tuple[int, ...] = ()
    fate: Fate = Fate.HELD


class Partition:
    """One partition for one assignment, from offset `first` on."""

    def __init__(self, timeout_ms: TimeoutMs, before: Before, first: int, at: datetime) -> None:
        self._timeout_ms = timeout_ms
        self._book = AlarmBook()
        self._assembler = Assembler()
        alarms = [alarm for alarm in before.alarms if is_open(alarm)]
        self._triggers = _triggers(self._book, before, alarms, first)
        self._uninspected = Uninspected(self._book)
        for part in before.parts:
            self._assembler.remember(part, timeout_ms(part))
        self._uninspected.restore(_firsts(before.parts), alarms, at)

    @property
    def open_parts(self) -> int:
        """Parts that wait for their views."""
        return self._assembler.open_parts

    def take(self, seen: Seen, now: datetime) -> Step:
        """The next verdict, which is not simulated."""
        decisions = self._assembler.expire(seen.at, now)
        self._triggers.see(seen.verdict, seen.at)
        fate, decided = self._assembler.take(seen, self._timeout_ms(seen.verdict), now)
        waits_for_nothing = () if fate is Fate.HELD else (seen.offset,)
        return self._step([*decisions, *decided], seen.at, waits_for_nothing, fate)

    def pass_time(self, at: datetime, now: datetime) -> Step:
        """No verdict came until `at` by the broker's clock."""
        return self._step(self._assembler.expire(at, now), at)

    def end(self) -> Step:
        """The partition is given back: alarms that grew lately are told as they stand."""
        return Step(alarms=tuple(self._book.rest()))

    def _step(
        self, decisions: Sequence[Decision], at: datetime, done: tuple[int, ...] = (), fate: Fate = Fate.HELD
    ) -> Step:
        for decision in decisions:
            self._uninspected.see(decision.part, at)
        offsets = (offset for decision in decisions for offset in decision.offsets)
        parts = tuple(decision.part for decision in decisions)
        return Step(parts, tuple(self._book.due(at)), (*done, *offsets), fate)


def _triggers(book: AlarmBook, before: Before, alarms: Sequence[AlarmRaised], first: int) -> Triggers:
    """The cameras as they stood at offset `first`: what comes again from there leads to the same alarms again."""
    views = sorted(
        (view.verdict_offset, f"{part.plant}/{part.line}/{part.station}/{view.camera}", view.trigger_seq)
        for part in before.parts
        for view in part.views
        if view.verdict_offset < first
    )
    rehearsal = Triggers(AlarmBook())
    for _, subject, number in views:
        rehearsal.start_at(subject, number)
    for seen in before.verdicts:
        rehearsal.see(seen.verdict, seen.at)
    rehearsal.go_live(book, alarms)
    return rehearsal


def _firsts(parts: Sequence[PartDecided]) -> list[PartDecided]:
    """Without later copies of a decision."""
    firsts: dict[UUID, PartDecided] = {}
    for part in parts:
        firsts.setdefault(part.decision_id, part)
    return list(firsts.values())
