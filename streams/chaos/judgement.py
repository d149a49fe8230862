"""What a fault came to, as one row of figures and a pass or a fail. Pure.

Place in the flow: after the load has ended and every frame had its time, over the ledger. Knows no Kafka.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from streams.bus.publisher import Delivery
from streams.chaos.fault import Limits
from streams.chaos.ledger import Mark, Results, Sample


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of one fault, beside the topics."""

    samples: Sequence[Sample] = ()
    marks: Sequence[Mark] = ()
    confirmed: Mapping[UUID, Delivery] = field(default_factory=dict)
    problems: Sequence[str] = ()  # what the fault itself or the downstream checks found wrong
    notes: Sequence[str] = ()
    restarts: int = 0  # of workers, by their supervisors
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row. `recovery_s` is None where nothing was stopped, infinite where something never came back."""

    fault: str
    frames: int
    lost: int
    duplicates: int
    contradictions: int
    order_breaks: int
    promise_1_breaks: int
    recovery_s: float | None
    longest_wait_s: float
    restarts: int
    took_s: float
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        recovery_s = None if self.recovery_s is None or math.isinf(self.recovery_s) else round(self.recovery_s, 2)
        never = self.recovery_s is not None and math.isinf(self.recovery_s)
        return asdict(self) | {
            "recovery_s": recovery_s,
            "never_recovered": never,
            "longest_wait_s": round(self.longest_wait_s, 2),
            "took_s": round(self.took_s, 1),
            "passed": self.passed,
        }


def judge(name: str, limits: Limits, found: Results, evidence: Evidence) -> Outcome:
    """Every promise against what was found; each that is broken is a problem in words."""
    unkept = [frame for frame, at in evidence.confirmed.items() if found.frames[at.partition].get(at.offset) != frame]
    recovery_s = max((found.recovery_s(mark) for mark in evidence.marks), default=None)
    outcome = Outcome(
        fault=name,
        frames=found.frame_count,
        lost=len(found.lost()) + len(unkept),
        duplicates=found.duplicates(),
        contradictions=len(found.contradictions()),
        order_breaks=found.order_breaks() + found.defect_order_breaks() + found.part_order_breaks(),
        promise_1_breaks=len(found.uncovered(list(evidence.samples))),
        recovery_s=recovery_s,
        longest_wait_s=found.longest_wait_s(),
        restarts=evidence.restarts,
        took_s=evidence.took_s,
        problems=(),
        notes=tuple(evidence.notes),
    )
    problems = (*_broken(outcome, limits), *_unsound(found, unkept), *evidence.problems)
    return Outcome(**{**asdict(outcome), "problems": problems})


def _broken(outcome: Outcome, limits: Limits) -> list[str]:
    problems = []
    if outcome.frames == 0:
        problems.append("no frame was on the topic: nothing was shown")
    for count, what in (
        (outcome.lost, "frames were lost"),
        (outcome.contradictions, "verdicts contradict one another"),
        (outcome.order_breaks, "events left their station's order"),
        (
            outcome.promise_1_breaks if limits.promise_1 else 0,
            "offsets were committed before their result could be read",
        ),
    ):
        if count:
            problems.append(f"{count} {what}")
    if limits.duplicates is not None and outcome.duplicates > limits.duplicates:
        problems.append(f"{outcome.duplicates} copies of verdicts; expected at most {limits.duplicates}")
    if outcome.recovery_s is not None and outcome.recovery_s > limits.recovery_s:
        came = "never" if math.isinf(outcome.recovery_s) else f"after {outcome.recovery_s:.1f} s"
        problems.append(f"a partition came back {came}; expected within {limits.recovery_s:g} s")
    if limits.wait_s is not None and outcome.longest_wait_s > limits.wait_s:
        problems.append(f"a frame waited {outcome.longest_wait_s:.1f} s; expected at most {limits.wait_s:g} s")
    return problems


def _unsound(found: Results, unkept: Sequence[UUID]) -> list[str]:
    problems = []
    if unkept:
        problems.append(f"{len(unkept)} frames that Kafka had confirmed are not on the topic")
    if phantoms := found.phantoms():
        problems.append(f"{len(phantoms)} results are about frames that are none, such as {phantoms[0]}")
    if missing := found.missing_defects():
        problems.append(f"{len(missing)} defects never came, such as the one of verdict {missing[0]}")
    return problems
