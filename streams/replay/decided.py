"""What a run decided, frame by frame, and two runs paired. Pure.

A frame is known by its id and attempt. Verdicts that no model made (the picture was not there, the frame was late or
nobody might decide) are no decisions: they are counted apart, by reason. A picture that could not be read is ERROR
here, whatever its recipe's error_action made of it: two runs may have other recipes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models.views import any_wrong
from schemas.records import Outcome, Reason
from streams.errors import CallerError
from streams.inspection.fallback import is_unreadable

NO_DECISION = frozenset(
    {Reason.IMAGE_UNAVAILABLE, Reason.PICTURE_NOT_KEPT, Reason.PICTURE_DAMAGED, Reason.LATE, Reason.UNQUALIFIED}
)
Key = tuple[str, int]  # frame_id, attempt


@dataclass(frozen=True, slots=True)
class Decision:
    """One verdict as comparisons need it. `facts` are its columns as text; `score`: the sum of its defects' scores."""

    key: Key
    outcome: Outcome
    scores: Mapping[str, float]
    score: float | None
    label: str | None  # known truth
    predicted: str
    facts: Mapping[str, Any]

    @property
    def novelty(self) -> float | None:
        value = self.facts.get("novelty")
        return None if value is None else float(value)

    @property
    def model(self) -> str | None:
        """The sha256 of the model that decided."""
        return self.facts.get("model_sha256")

    @property
    def was_novel(self) -> bool:
        """Whether it was UNSURE for its novelty: `decide.judge` says so in words, and nothing where a limit is near."""
        return self.outcome is Outcome.UNSURE and self.novelty is not None and bool(self.facts.get("detail"))

    @property
    def passes(self) -> bool:
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Decisions:
    """A run's decisions by frame, and how many verdicts were none, by reason."""

    run: str
    by_frame: Mapping[Key, Decision]
    left_out: Mapping[str, int]
    seen: frozenset[Key]  # all frames of the run, decided or not


def decisions_of(run: str, verdicts: pa.Table, classes: Mapping[str, str]) -> Decisions:
    """`verdicts` as `Run.to_arrow()` gives them, `classes` by role: "good" or "defect"."""
    found: dict[Key, Decision] = {}
    left_out: Counter[str] = Counter()
    seen: set[Key] = set()
    for row in verdicts.to_pylist():
        key = (row["frame_id"], row["attempt"])
        seen.add(key)
        if Reason(row["reason"]) in NO_DECISION:
            left_out[row["reason"]] += 1
        else:
            found.setdefault(key, _decision(key, row, classes))
    return Decisions(run, found, dict(sorted(left_out.items())), frozenset(seen))


def _decision(key: Key, row: Mapping[str, Any], classes: Mapping[str, str]) -> Decision:
    scores: dict[str, float] = json.loads(row["scores"] or "{}")
    defects = [score for name, score in scores.items() if classes.get(name) != "good"]
    goods = [score for name, score in scores.items() if classes.get(name) == "good"]
    findings = json.loads(row["findings"] or "[]")
    surest = max(findings, key=lambda finding: float(finding["score"]), default={"label": "none"})
    facts = {**row, "day": f"{row['source_timestamp']:%Y-%m-%d}", "line": f"{row['plant']}/{row['line']}"}
    return Decision(
        key=key,
        outcome=Outcome.ERROR if is_unreadable(Reason(row["reason"])) else Outcome(row["outcome"]),
        scores=scores,
        score=any_wrong(defects, goods) if scores else None,
        label=row["label"],
        predicted=str(surest["label"]),
        facts=facts,
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """One frame as both runs decided it."""

    a: Decision
    b: Decision

    @property
    def kind(self) -> str:
        """The defect or good label that is known of it, else what A saw."""
        return self.a.label or self.b.label or f"seen as {self.a.predicted}"

    @property
    def flips(self) -> bool:
        return self.a.outcome is not self.b.outcome


def paired(a: Decisions, b: Decisions, intersect: bool) -> list[Pair]:
    """The frames that both decided, in A's order. CallerError for runs over different frames without `intersect`."""
    only_a, only_b = len(a.seen - b.seen), len(b.seen - a.seen)
    if (only_a or only_b) and not intersect:
        raise CallerError(
            f"the runs are about different frames: {only_a} only in {a.run}, {only_b} only in {b.run}, "
            f"{len(a.seen & b.seen)} in both; compare those alone with --intersect"
        )
    pairs = [Pair(decision, b.by_frame[key]) for key, decision in a.by_frame.items() if key in b.by_frame]
    if not pairs:
        raise CallerError(
            f"{a.run} and {b.run} have no frame that both decided: left out were {a.left_out}, {b.left_out}"
        )
    return pairs
