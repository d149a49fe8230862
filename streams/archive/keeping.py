"""Which pictures of passed frames are kept, and with which probability each would have been. Pure.

Of a line's passed frames of one period, and those that were only collected, a simple random sample is kept, drawn by
the frames' own digests: the same frames give the same sample on every try. Its size follows from a share and a byte
budget, both fixed beforehand, so each frame's inclusion probability is exact (sampling without replacement; Cochran
1977, Sampling Techniques, ch. 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.records import Outcome

KEPT_ALWAYS = (Outcome.NG, Outcome.UNSURE, Outcome.ERROR)
UNDECIDED = "UNDECIDED"  # no verdict was found: the picture may show anything
SHARE = "SHARE"
CORRECTED = "CORRECTED"


@dataclass(frozen=True, slots=True)
class Allowance:
    """The share of passed frames to keep, and the bytes that those of one line and period may take at most."""

    share: float
    nbytes: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A passed frame: where it lies, and the bytes of its picture."""

    partition: int
    offset: int
    frame_id: UUID
    nbytes: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is kept, in the order of the log, and the probability that each of the frames had."""

    frames: tuple[Passed, ...]
    probability: float


def kept_for(outcome: Outcome | None, collected: bool = False) -> str | None:
    """Why a frame's picture is kept by its live outcome alone; None for one that passed or was only collected: a line
    may collect for weeks, and its pictures are as many as it makes parts."""
    if collected:
        return None
    if outcome is None or outcome is Outcome.UNKNOWN:
        return UNDECIDED
    return outcome.value if outcome in KEPT_ALWAYS else None


def choose(passed: Sequence[Passed], allowance: Allowance, seed: str) -> Chosen:
    """A simple random sample of a line's passed frames of one period.

    Its expected size is the share, or what certainly fits into the budget: as many of the largest picture. A size that
    is not whole is rounded up or down at random, with the seed. Never takes more bytes than allowed.
    """
    if not passed:
        return Chosen((), 0.0)
    fits = allowance.nbytes // max(1, max(frame.nbytes for frame in passed))
    size = min(allowance.share * len(passed), float(fits))
    drawn = int(size) + (_uniform(seed) < size - int(size))
    order = sorted(passed, key=lambda frame: _draw(seed, frame.frame_id, frame.partition, frame.offset))
    chosen = sorted(order[:drawn], key=lambda frame: (frame.partition, frame.offset))
    return Chosen(tuple(chosen), size / len(passed))


def _draw(seed: str, frame_id: UUID, partition: int, offset: int) -> bytes:
    return hashlib.sha256(f"{seed}/{frame_id}/{partition}/{offset}".encode()).digest()


def _uniform(seed: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed}/size".encode()).digest()[:7], "big") / 2**56
