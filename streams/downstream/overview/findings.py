"""What people found, and what waits for them, by station: a fold of `defects`, `samples` and `outcomes`. Pure.

Records may come in any order of topics; of one partition of `outcomes` the order is that of the offsets, also where
older ones are read later. Knows nothing of windows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from uuid import UUID

from schemas.records import DefectDetected, Estimate, Outcome, ReworkOutcome, SampleSelected, Strategy
from streams.downstream.overview.rows import Station
from streams.downstream.overview.view import Span, What
from streams.downstream.rework.agreement import Agreement, agreement
from streams.downstream.rework.cases import OfStation, Read, case_of_defect
from streams.downstream.sampling.estimates import Audit, effective, escape_estimate, is_bad, overkill_estimate
from streams.downstream.statistics.past import REJECTED
from streams.topics import station_key


class _OfStation:
    """Everything of one station; sums are made anew when something came."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[int, int], ReworkOutcome] = {}  # by partition and offset
        self.audits: dict[UUID, tuple[float, datetime]] = {}  # inclusion probability, inspected at
        self.defects: dict[UUID, datetime] = {}
        self._decided: dict[UUID, ReworkOutcome] | None = None
        self._waiting: tuple[int, int] | None = None

    def changed(self, *, decisions: bool = False) -> None:
        self._waiting = None
        if decisions:
            self._decided = None

    def in_order(self) -> list[ReworkOutcome]:
        return [self.outcomes[at] for at in sorted(self.outcomes)]

    def decided(self) -> dict[UUID, ReworkOutcome]:
        if self._decided is None:
            self._decided = effective(self.in_order())
        return self._decided

    def waiting(self) -> tuple[int, int]:
        """Defects and pass audits without a decision."""
        if self._waiting is None:
            decided = self.decided()
            self._waiting = len(self.defects.keys() - decided.keys()), len(self.audits.keys() - decided.keys())
        return self._waiting


class Findings:
    """Decisions, audits and open cases of all stations."""

    def __init__(self) -> None:
        self._stations: defaultdict[Station, _OfStation] = defaultdict(_OfStation)

    def defect(self, read: Read[DefectDetected]) -> None:
        """Takes a rejected or unsure frame in; ValueError where it can be no case."""
        verdict = read.record.verdict
        if not verdict.simulated:
            case = case_of_defect(read)
            of = self._stations[_station(verdict)]
            of.defects.setdefault(case.verdict_id, case.inspected_at)
            of.changed()

    def sample(self, read: Read[SampleSelected]) -> None:
        """Takes a pass audit in; samples of other strategies ask for no look."""
        sample = read.record
        if sample.strategy is Strategy.PASS_AUDIT and 0 < sample.inclusion_probability <= 1:
            of = self._stations[_station(sample)]
            of.audits.setdefault(sample.verdict_id, (sample.inclusion_probability, sample.inspected_at))
            of.changed()

    def outcome(self, read: Read[ReworkOutcome]) -> None:
        of = self._stations[_station(read.record)]
        at = (read.partition, read.offset)
        if at in of.outcomes:
            return
        of.outcomes[at] = read.record
        of.changed(decisions=True)

    @property
    def stations(self) -> Collection[Station]:
        return self._stations.keys()

    def open_rework(self, station: Station) -> int:
        """Defects without a decision."""
        return self._stations[station].waiting()[0] if station in self._stations else 0

    def audits_waiting(self, stations: Collection[Station]) -> int:
        return sum(of.waiting()[1] for of in self._of(stations))

    def escape(self, stations: Collection[Station], span: Span) -> Estimate:
        """From decided audits of frames triggered within the span."""
        audits = [
            Audit(inclusion, bad)
            for of in self._of(stations)
            for verdict_id, (inclusion, at) in of.audits.items()
            if span.start <= at < span.end
            and (outcome := of.decided().get(verdict_id)) is not None
            and (bad := is_bad(outcome)) is not None
        ]
        return escape_estimate(audits)

    def overkill(self, stations: Collection[Station], span: Span, rejects: int, frames: int) -> Estimate:
        """From decisions about rejected frames triggered within the span; `rejects` and `frames` are the span's."""
        found = [is_bad(o) for o in self._decisions(stations, span) if o.verdict_outcome in REJECTED]
        return overkill_estimate(found.count(True), found.count(False), rejects, frames)

    def agreement(self, stations: Collection[Station], span: Span) -> Agreement:
        """Of all looks at frames triggered within the span."""
        looks = (o for of in self._of(stations) for o in of.in_order() if span.start <= o.inspected_at < span.end)
        return agreement(looks)

    def finding(self, station: Station, verdict_id: UUID) -> ReworkOutcome | None:
        """The decision about a frame that stands."""
        of = self._stations.get(station)
        return of.decided().get(verdict_id) if of else None

    def judged(self, stations: Collection[Station], span: Span, what: What) -> list[tuple[int, ReworkOutcome]]:
        """Escapes or overkill among frames triggered within the span, newest first, with their partitions."""
        return sorted(
            (
                (partition, outcome)
                for of in self._of(stations)
                for (partition, _), outcome in of.outcomes.items()
                if outcome is of.decided().get(outcome.verdict_id)
                and span.start <= outcome.inspected_at < span.end
                and _is(outcome, what)
            ),
            key=lambda found: (found[1].inspected_at, found[1].verdict_id),
            reverse=True,
        )

    def forget(self, before: datetime, open_before: datetime) -> None:
        """Drop decided cases, and all looks, of frames triggered before `before`; open cases before `open_before`."""
        for of in self._stations.values():
            decided = of.decided()

            def stays(verdict_id: UUID, at: datetime, decided: Collection[UUID] = decided) -> bool:
                return at >= (before if verdict_id in decided else open_before)

            of.defects = {v: at for v, at in of.defects.items() if stays(v, at)}
            of.audits = {v: found for v, found in of.audits.items() if stays(v, found[1])}
            of.outcomes = {at: o for at, o in of.outcomes.items() if o.inspected_at >= before}
            of.changed(decisions=True)

    def _decisions(self, stations: Collection[Station], span: Span) -> Iterator[ReworkOutcome]:
        for of in self._of(stations):
            yield from (o for o in of.decided().values() if span.start <= o.inspected_at < span.end)

    def _of(self, stations: Iterable[Station]) -> Iterator[_OfStation]:
        return (self._stations[station] for station in stations if station in self._stations)


def _station(record: OfStation) -> Station:
    station_key(record.plant, record.line, record.station)
    return record.plant, record.line, record.station


def _is(outcome: ReworkOutcome, what: What) -> bool:
    if what is What.ESCAPES:
        return outcome.verdict_outcome is Outcome.OK and is_bad(outcome) is True
    return outcome.verdict_outcome in REJECTED and is_bad(outcome) is False
