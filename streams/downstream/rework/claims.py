"""Who has which case open: the topic `claims` as a fold. Pure.

A claim counts if nobody else held the case at its append time; so of overlapping ones the earliest offset wins, and
one that lost stays lost: who still wants the case asks again. The holder's own next claim extends the hold.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from schemas.records import StationClaim
from streams.downstream.rework.cases import CaseKey, Read

TTL_MAX_MS = 3_600_000  # nobody keeps a case for longer with one claim, whatever a record says


def same_holder(one: StationClaim, other: StationClaim) -> bool:
    return (one.operator, one.rework_station) == (other.operator, other.rework_station)


class Claims:
    """The claim that holds each case, each partition of the topic given in its order."""

    def __init__(self) -> None:
        self._holds: dict[CaseKey, tuple[StationClaim, datetime]] = {}  # with the end of the hold

    def add(self, read: Read[StationClaim]) -> None:
        claim = read.record
        key = CaseKey(claim.verdict_id, claim.review)
        present = self.holder(key, read.timestamp)
        if claim.released:
            if present is not None and present.claim_id == claim.claim_id and same_holder(present, claim):
                del self._holds[key]
        elif present is None or same_holder(present, claim):
            ends = read.timestamp + timedelta(milliseconds=min(max(claim.ttl_ms, 0), TTL_MAX_MS))
            self._holds[key] = claim, ends

    def holder(self, key: CaseKey, now: datetime) -> StationClaim | None:
        """The claim under which a case is held at `now`, by the broker's clock."""
        held = self._holds.get(key)
        return held[0] if held is not None and now < held[1] else None

    def forget(self, before: datetime) -> None:
        """Drop what ended before this time."""
        self._holds = {key: held for key, held in self._holds.items() if held[1] >= before}
