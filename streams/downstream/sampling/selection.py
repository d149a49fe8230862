"""★ Which of a shortlist's candidates become samples: never two with equal pixels, and as different as can be. Pure.

Audits are what the draw says. A correction is never left out for being like another picture: parts in a fixture all
are, and what is corrected is the small difference. Of the other strategies' candidates greedy k-center (Gonzalez 1985;
for active learning Sener and Savarese 2018) takes the one farthest from all that the line's day has chosen, again and
again. Knows no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from schemas.records import Strategy
from streams.downstream.sampling.line import Shortlist
from streams.downstream.sampling.pools import Candidate

F32 = np.ndarray[Any, np.dtype[np.float32]]
NEVER_NEAR = -1  # bits: of what a person has corrected, only equal pixels are the same picture


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen in a picture. `near_hash` has 64 bits; `embedding` is float32 [d], d the same for all."""

    pixel_sha256: str
    near_hash: int
    embedding: F32


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    candidate: Candidate
    look: Look


@dataclass(slots=True)
class Choice:
    """What was chosen, and how many candidates were left out because their picture is known."""

    picks: list[Pick] = field(default_factory=list)
    equal: int = 0
    near: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What a choice is compared with: pixels of all samples so far, and looks at those of this line's day."""

    pixels: Set[str]
    today: Sequence[Look]


def choose(shortlist: Shortlist, looks: Mapping[UUID, Look], known: Known, near_bits: int) -> Choice:
    """The picks of one shortlist. Candidates without a look are passed over: their picture is gone."""
    seen = [(c, looks[c.verdict.verdict_id]) for c in shortlist.candidates if c.verdict.verdict_id in looks]
    choice, fresh = Choice(), list[Pick]()
    pixels, is_audit = set[str](), shortlist.strategy is Strategy.PASS_AUDIT
    near_bits = NEVER_NEAR if shortlist.strategy is Strategy.CORRECTED else near_bits
    for candidate, look in seen:
        if look.pixel_sha256 in pixels or look.pixel_sha256 in known.pixels:
            choice.equal += 1
        elif not is_audit and _is_near(look, known.today, near_bits):
            choice.near += 1
        else:
            pixels.add(look.pixel_sha256)
            fresh.append(Pick(candidate, look))
    if is_audit:
        choice.picks = fresh[: shortlist.most]
    else:
        _k_center(choice, fresh, shortlist.most, known.today, near_bits)
    return choice


def _k_center(choice: Choice, fresh: Sequence[Pick], most: int, centres: Sequence[Look], near_bits: int) -> None:
    """Fills the choice. Without centres the best candidate begins; of equally far ones the better goes first."""
    places = [_unit(pick.look) for pick in fresh]
    distances = [min((_distance(place, _unit(centre)) for centre in centres), default=np.inf) for place in places]
    left = dict.fromkeys(range(len(fresh)))
    while left and len(choice.picks) < most:
        farthest = max(left, key=lambda index: (distances[index], -index))
        del left[farthest]
        pick = fresh[farthest]
        if _is_near(pick.look, (chosen.look for chosen in choice.picks), near_bits):
            choice.near += 1
            continue
        choice.picks.append(pick)
        for index in left:
            distances[index] = min(distances[index], _distance(places[index], places[farthest]))


def _is_near(look: Look, others: Iterable[Look], near_bits: int) -> bool:
    return any((look.near_hash ^ other.near_hash).bit_count() <= near_bits for other in others)


def _unit(look: Look) -> F32:
    length = float(np.linalg.norm(look.embedding))
    return look.embedding / np.float32(length) if length else look.embedding


def _distance(one: F32, other: F32) -> float:
    return float(np.linalg.norm(one - other))
