"""What people found lately about a station, as estimates of escape and overkill for one of its windows. Pure.

Fed with everything on `outcomes` and `samples` in log order, which are kept for ever: the newest
of each station are remembered here. Estimates inform; no count depends on them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime
from uuid import UUID

from schemas.records import Estimate, ReworkOutcome, SampleSelected, Strategy
from streams.downstream.sampling.estimates import Audit, effective, escape_estimate, is_bad, overkill_estimate
from streams.downstream.statistics.past import HORIZON, REJECTED, StationPast
from streams.downstream.statistics.windows import Station, to_ms

MOST = 5_000
"""Decisions, and audits, remembered of one station: more than people make in the HORIZON, and days beyond it."""


class Findings:
    """Decisions and pass audits of all stations. Only first reviews decide."""

    def __init__(self) -> None:
        self._outcomes: dict[Station, deque[ReworkOutcome]] = defaultdict(lambda: deque(maxlen=MOST))
        self._audits: dict[Station, dict[UUID, SampleSelected]] = defaultdict(dict)
        self._decisions: dict[Station, dict[UUID, ReworkOutcome]] = {}

    def outcome(self, outcome: ReworkOutcome) -> Station:
        """One decision of a person; the station it is about."""
        station = (outcome.plant, outcome.line, outcome.station)
        self._outcomes[station].append(outcome)
        self._decisions.pop(station, None)
        return station

    def sample(self, sample: SampleSelected) -> Station:
        """One chosen frame; only audits of passed frames say anything here."""
        station = (sample.plant, sample.line, sample.station)
        if sample.strategy is Strategy.PASS_AUDIT and 0 < sample.inclusion_probability <= 1:
            audits = self._audits[station]
            audits.setdefault(sample.verdict_id, sample)
            if len(audits) > MOST:
                del audits[next(iter(audits))]
        return station

    def estimates(self, station: Station, end: datetime, past: StationPast) -> tuple[Estimate, Estimate]:
        """Escape and overkill of the frames triggered in the HORIZON before `end`."""
        decided = {
            verdict_id: outcome
            for verdict_id, outcome in self._decided(station).items()
            if end - HORIZON <= outcome.inspected_at < end
        }
        audits = [
            Audit(sample.inclusion_probability, bad)
            for verdict_id, sample in self._audits.get(station, {}).items()
            if verdict_id in decided and (bad := is_bad(decided[verdict_id])) is not None
        ]
        of_rejects = [is_bad(outcome) for outcome in decided.values() if outcome.verdict_outcome in REJECTED]
        frames, rejects = past.frames_and_rejects(to_ms(end) // past.width_ms)
        return escape_estimate(audits), overkill_estimate(
            of_rejects.count(True), of_rejects.count(False), rejects, frames
        )

    def _decided(self, station: Station) -> dict[UUID, ReworkOutcome]:
        if station not in self._decisions:
            self._decisions[station] = effective(self._outcomes.get(station, ()))
        return self._decisions[station]
