"""Who gets a blind second review: a share of the decided verdicts, drawn once and for all. Pure.

Every rework station draws the same, since the draw is a hash of the verdict_id and needs no memory.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from schemas.records import ReworkFinding, ReworkOutcome

FIRST, SECOND = REVIEWS = (1, 2)
_SEED = b"lineside second review 1"


def drawn(verdict_id: UUID, share: float) -> bool:
    """Whether a verdict belongs to the `share` (0 to 1) that is looked at twice; larger shares include smaller ones."""
    draw = int.from_bytes(sha256(_SEED + verdict_id.bytes).digest()[:8])
    return draw < share * 2.0**64


def needs_second(first: ReworkOutcome | None, share: float) -> bool:
    """Whether the standing first decision of a verdict shall be reviewed; a part that nobody found can't be."""
    return first is not None and first.finding is not ReworkFinding.NOT_FOUND and drawn(first.verdict_id, share)
