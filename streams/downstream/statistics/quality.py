"""What people found lately about a station, as estimates of escape and overkill for one of its windows. Pure.

Fed with everything on `outcomes` and `samples` in log order, which are kept for ever: the newest
of each station are remembered here. Estimates inform; no count depends on them.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from schemas.records import Estimate, ReworkFinding, ReworkOutcome, SampleSelected, Strategy
from streams.downstream.rework.review import FIRST
from streams.downstream.sampling.estimates import Audit, escape_estimate, is_bad, overkill_estimate, succeeds
from streams.downstream.statistics.past import HORIZON, REJECTED, StationPast
from streams.downstream.statistics.windows import Station, to_ms

MOST = 5_000
"""Verdicts decided, and audits, remembered of one station: more than people make in the HORIZON, and days beyond it."""


class Findings:
    """Decisions and pass audits of all stations. Only first reviews decide."""

    def __init__(self) -> None:
        self._heads: dict[Station, dict[UUID, ReworkOutcome]] = defaultdict(dict)
        self._audits: dict[Station, dict[UUID, SampleSelected]] = defaultdict(dict)

    def outcome(self, outcome: ReworkOutcome) -> Station:
        """One decision of a person; the station it is about."""
        station = (outcome.plant, outcome.line, outcome.station)
        heads = self._heads[station]
        if outcome.review == FIRST and succeeds(heads.get(outcome.verdict_id), outcome):
            heads[outcome.verdict_id] = outcome
            if len(heads) > MOST:
                del heads[next(iter(heads))]
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
            for verdict_id, outcome in self._heads.get(station, {}).items()
            if end - HORIZON <= outcome.inspected_at < end and outcome.finding is not ReworkFinding.WITHDRAWN
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
