"""What the pairs of a shadow say of it, and whether that is enough to put it in force. Pure.

Place in the flow: `lineside recipe compare` shows it, `lineside recipe promote` asks it. What is known of a part is its
label where the frame carries one, else what people decided about its live verdict. Knows no Kafka.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from models.measures import mcnemar
from schemas.records import Outcome, ReworkOutcome, ShadowCompared, VerdictIssued
from streams.downstream.sampling.estimates import is_bad
from streams.inspection.fallback import is_unreadable

LEAST_PAIRS = 300
MOST_MORE_REJECTS = 0.01  # share of the pairs that the shadow alone may reject, as far as nobody has found them bad


@dataclass(frozen=True, slots=True)
class Split:
    """Frames that one of the two alone gets wrong, and McNemar's exact p of so uneven a split."""

    live_only: int
    shadow_only: int

    @property
    def p(self) -> float | None:
        return mcnemar(self.live_only, self.shadow_only)

    def to_json(self) -> dict[str, float | int | None]:
        return {"live_only": self.live_only, "shadow_only": self.shadow_only, "p": self.p}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The pairs of one shadow. `matrix`: frames by live and shadow outcome.

    `escapes` are bad parts that pass, `overkills` good ones that are rejected, as far as is known of the parts.
    """

    model_id: str
    beside: tuple[str, ...]
    pairs: int
    matrix: Mapping[tuple[Outcome, Outcome], int]
    known: int
    escapes: Split
    overkills: Split
    freed: int = 0
    """Frames that were rejected, would pass, and of which nobody knows what they were."""
    unread: int = 0
    """Frames that the shadow alone could not read or decide about."""
    more_rejected: int = 0
    """Frames that passed, would be rejected, and that nobody found bad."""
    examples: tuple[UUID, ...] = field(default=())
    """Frames behind `freed`, some."""

    @property
    def alike(self) -> int:
        return sum(count for (live, shadow), count in self.matrix.items() if live == shadow)

    def to_json(self) -> dict[str, Any]:
        return {
            "model_id": self.model_id,
            "beside": list(self.beside),
            "pairs": self.pairs,
            "alike": self.alike,
            "matrix": {f"{live}>{shadow}": count for (live, shadow), count in sorted(self.matrix.items())},
            "known": self.known,
            "escapes": self.escapes.to_json(),
            "overkills": self.overkills.to_json(),
            "freed": self.freed,
            "more_rejected": self.more_rejected,
            "unread": self.unread,
            "examples": [str(example) for example in self.examples],
        }


def evidence(
    pairs: Iterable[ShadowCompared], decisions: Mapping[UUID, ReworkOutcome], good: frozenset[str], model_id: str
) -> Evidence:
    """Of all pairs of one shadow. `decisions`: people's, by live verdict_id; `good`: labels of good parts."""
    matrix, known = Counter[tuple[Outcome, Outcome]](), 0
    wrong, beside, freed, more, unread = Counter[tuple[str, bool]](), dict[str, None](), list[UUID](), 0, 0
    for pair in pairs:
        live, shadow = pair.live, pair.shadow
        if shadow.model_id != model_id:
            continue
        matrix[live.outcome, shadow.outcome] += 1
        beside[live.model_id or "none"] = None
        unread += is_unreadable(shadow.reason)
        bad = truth_of(live, decisions, good)
        known += bad is not None
        passes = [verdict.outcome is Outcome.OK for verdict in (live, shadow)]
        rejects = [verdict.outcome is Outcome.NG for verdict in (live, shadow)]
        if bad and passes[0] != passes[1]:
            wrong["escape", passes[1]] += 1
        if bad is False and rejects[0] != rejects[1]:
            wrong["overkill", rejects[1]] += 1
        if bad is None and rejects[0] and passes[1]:
            freed.append(live.frame_id)
        more += not bad and passes[0] and rejects[1]
    return Evidence(
        model_id=model_id,
        beside=tuple(beside),
        pairs=matrix.total(),
        matrix=matrix,
        known=known,
        escapes=Split(wrong["escape", False], wrong["escape", True]),
        overkills=Split(wrong["overkill", False], wrong["overkill", True]),
        freed=len(freed),
        unread=unread,
        more_rejected=more,
        examples=tuple(freed[:20]),
    )


def truth_of(live: VerdictIssued, decisions: Mapping[UUID, ReworkOutcome], good: frozenset[str]) -> bool | None:
    """Whether the part is bad; None where nobody knows."""
    if live.label is not None:
        return live.label not in good
    decided = decisions.get(live.verdict_id)
    return None if decided is None else is_bad(decided)


def lacking(found: Evidence, least_pairs: int = LEAST_PAIRS, most_more: float = MOST_MORE_REJECTS) -> list[str]:
    """Why this is not enough to put the shadow in force, a sentence each; empty where it is."""
    why: list[str] = []
    if found.pairs < least_pairs:
        why.append(f"{found.pairs} frames were compared, {least_pairs} are needed")
    if found.escapes.shadow_only > found.escapes.live_only:
        why.append(
            f"it alone passes {found.escapes.shadow_only} bad parts, what is in force alone {found.escapes.live_only}"
        )
    if found.freed:
        why.append(
            f"{found.freed} frames that were rejected would pass, and nobody has decided about them: "
            "rework stations and labels tell"
        )
    if found.more_rejected > most_more * found.pairs:
        why.append(
            f"it rejects {found.more_rejected} of {found.pairs} frames that passed and that nobody found bad, "
            f"more than {100 * most_more:g} %"
        )
    if found.unread:
        why.append(f"it could not read or decide about {found.unread} frames")
    return why
