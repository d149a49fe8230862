"""★ Where a verdict is made: the pure core of inspection.

Place in the flow: called with the scores of one frame, the recipe in force and the facts around them; gives the
`VerdictIssued` that will be published. It knows nothing of Kafka, engines, pictures or clocks: time is an argument.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from models.views import View, any_wrong
from schemas.records import (
    Box,
    Finding,
    FrameCaptured,
    Mode,
    Outcome,
    PictureFigures,
    Precision,
    Reason,
    Recipe,
    VerdictIssued,
)
from streams.inspection.fallback import is_fallback, is_unreadable, outcome_of
from streams.inspection.limits import DETAIL_MAX_CHARS

VERDICT_NAMESPACE = uuid.UUID("5b0c5a3e-8f0e-4a77-9c55-6d8f3a1f2b90")
LIVE = "live"
ANY_DEFECT = "*"  # key of a recipe's thresholds for all defect classes together
TO_BE_LOOKED_AT = (Outcome.NG, Outcome.UNSURE)


class Judged(Protocol):
    """What was decided about a frame: a judgement, a verdict, or a part's view."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def reason(self) -> Reason: ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided about a frame and why."""

    outcome: Outcome
    reason: Reason
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    novelty: float | None = None

    @property
    def is_defect(self) -> bool:
        """True where people shall look at the frame: NG or UNSURE, in time and readable."""
        return self.outcome in TO_BE_LOOKED_AT and not is_fallback(self.reason)

    @property
    def is_unreadable(self) -> bool:
        """True where the event becomes a dead letter beside its verdict: it could not be inspected at all."""
        return is_unreadable(self.reason)


@dataclass(frozen=True, slots=True)
class ClassRoles:
    """A model's classes by role, in the order of its head.

    `novel_above`: a picture of a higher novelty is like no good part; None where the model's engine tells of none.
    """

    names: tuple[str, ...]
    defects: frozenset[str]
    novel_above: float | None = None

    @property
    def width(self) -> int:
        """How many numbers the engine gives for a picture: its classes' probabilities, and the novelty, if any."""
        return len(self.names) + (self.novel_above is not None)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a score was computed with, and how the picture was taken; all empty where no engine was asked."""

    model_id: str | None = None
    model_sha256: str | None = None
    preprocess_sha256: str | None = None
    device: str | None = None
    precision: Precision = Precision.UNKNOWN
    batch_size: int = 0
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    infer_ms: float = 0.0
    picture: PictureFigures | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where in Kafka the frame stands; `timestamp` is the broker's append time."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime


Places = Mapping[str, View]
"""By a finding's label, the view that says most of it; empty where the model looks at the picture as a whole."""
NO_PLACES: Places = MappingProxyType({})

VerdictAt = tuple[int, uuid.UUID]
"""Where one verdict belongs: its frame's offset in a partition of the frames topic, and its verdict_id."""


def verdict_id(frame_id: uuid.UUID, attempt: int, run: str = LIVE) -> uuid.UUID:
    """The id of the one verdict of a frame, attempt and run: the same on every worker and every redelivery."""
    return uuid.uuid5(VERDICT_NAMESPACE, f"{frame_id}/{attempt}/{run}")


def remaining_ms(frame: FrameCaptured, appended_at: datetime, now: datetime) -> float:
    """Milliseconds until the frame's deadline; infinite without one, negative when late.

    The age of a frame is gateway_ms plus what the worker's clock says since the broker's append time, never less than
    zero: camera and gateway clocks have no say. A redriven frame (attempt above 1) has no deadline.
    """
    if frame.deadline_ms is None or frame.attempt > 1:
        return math.inf
    since_append_ms = max(0.0, (now - appended_at).total_seconds() * 1000)
    return frame.deadline_ms - (frame.gateway_ms + since_append_ms)


def judge(scores: Sequence[float], classes: ClassRoles, recipe: Recipe, places: Places = NO_PLACES) -> Judgement:
    """The judgement of an inspected frame.

    `scores` are probabilities in the order of `classes.names`, then the novelty of models that know what good parts
    look like. NG where a defect reaches its threshold, UNSURE where one comes within `unsure_band` below it or the
    picture is novel, else OK; findings say in which of `places` they are. A defect class without a finite threshold, or
    a band that is no number, can't be decided: UNQUALIFIED. A recipe that only collects decides nothing at all.
    """
    novelty = None if classes.novel_above is None else float(scores[-1])
    probabilities = scores if novelty is None else scores[:-1]
    by_class = {name: float(score) for name, score in zip(classes.names, probabilities, strict=True)}
    if not all(math.isfinite(score) for score in (*by_class.values(), novelty or 0.0)):
        told = f"the model gave {by_class}, novelty {novelty}"
        return rejected(Reason.NON_FINITE, told, recipe)
    if recipe.mode is Mode.COLLECT:
        return replace(unqualified(f"recipe version {recipe.version} only collects", by_class, recipe), novelty=novelty)
    judgement = _by_scores(by_class, classes, recipe, novelty)
    findings = tuple(_placed(finding, places.get(finding.label)) for finding in judgement.findings)
    return replace(judgement, novelty=novelty, findings=findings)


def _placed(finding: Finding, view: View | None) -> Finding:
    if view is None or view.name is None:  # it was the picture as a whole that said so
        return finding
    return replace(finding, region=view.name, box=Box(x=view.x, y=view.y, width=view.width, height=view.height))


def _by_scores(by_class: Mapping[str, float], classes: ClassRoles, recipe: Recipe, novelty: float | None) -> Judgement:
    scores_by_defect = _defect_scores(by_class, classes, recipe)
    if unset := [label for label in scores_by_defect if not math.isfinite(recipe.thresholds.get(label, math.nan))]:
        return unqualified(f"recipe version {recipe.version} has no threshold for {', '.join(unset)}", by_class)
    if not math.isfinite(recipe.unsure_band):
        return unqualified(f"recipe version {recipe.version} has the unsure band {recipe.unsure_band}", by_class)
    found, near = [], False
    for label, score in scores_by_defect.items():
        threshold = recipe.thresholds[label]
        near = near or score >= threshold - recipe.unsure_band
        if score >= threshold:
            found.append(Finding(label=label, score=score, threshold=threshold))
    if found:
        found.sort(key=lambda finding: finding.score, reverse=True)
        return Judgement(Outcome.NG, Reason.SCORE, findings=tuple(found), scores=by_class)
    if near or novelty is None or classes.novel_above is None or novelty <= classes.novel_above:
        return Judgement(Outcome.UNSURE if near else Outcome.OK, Reason.SCORE, scores=by_class)
    detail = f"novelty {novelty:.4f} is above {classes.novel_above:.4f}: like no good part seen"
    return Judgement(Outcome.UNSURE, Reason.SCORE, detail, scores=by_class)


def _defect_scores(by_class: Mapping[str, float], classes: ClassRoles, recipe: Recipe) -> dict[str, float]:
    """Score by defect class, and of all together as ANY_DEFECT where the recipe sets a limit for it."""
    scores = {name: by_class[name] for name in classes.names if name in classes.defects}
    if ANY_DEFECT in recipe.thresholds:
        goods = (score for name, score in by_class.items() if name not in classes.defects)
        scores[ANY_DEFECT] = any_wrong(scores.values(), goods)
    return scores


def unqualified(detail: str, scores: Mapping[str, float] | None = None, recipe: Recipe | None = None) -> Judgement:
    """No recipe or no model may decide about this frame: a person must.

    Where the recipe only collects, nobody was asked to decide: the frame is no defect, and its part is not inspected.
    """
    outcome = Outcome.ERROR if recipe and recipe.mode is Mode.COLLECT else Outcome.UNSURE
    return Judgement(outcome, Reason.UNQUALIFIED, detail[:DETAIL_MAX_CHARS], scores=scores or {})


def is_collected(of: Judged) -> bool:
    """Whether a frame was not to be decided about, because its recipe only collects."""
    return of.outcome is Outcome.ERROR and of.reason is Reason.UNQUALIFIED


def late(recipe: Recipe | None, overdue_ms: float) -> Judgement:
    """A frame past its deadline gets the recipe's late_action, or none where it only collects; it is never OK."""
    return Judgement(outcome_of(Reason.LATE, recipe), Reason.LATE, f"{overdue_ms:.0f} ms past its deadline")


def rejected(reason: Reason, detail: str, recipe: Recipe | None = None) -> Judgement:
    """A frame whose picture can't be inspected gets the recipe's error_action, as a late one its late_action."""
    return Judgement(outcome_of(reason, recipe), reason, detail[:DETAIL_MAX_CHARS])


def copied(first: VerdictIssued, source: Source) -> VerdictIssued:
    """The verdict of a frame that stands at `source` once more: what the first one got, where this one stands."""
    return replace(
        first,
        source_topic=source.topic,
        source_partition=source.partition,
        source_offset=source.offset,
        source_timestamp=source.timestamp,
    )


def issue(
    frame: FrameCaptured,
    judgement: Judgement,
    source: Source,
    *,
    recipe: Recipe | None,
    provenance: Provenance,
    received_at: datetime,
    decided_at: datetime,
    run: str = LIVE,
) -> VerdictIssued:
    """The verdict as it is published."""
    return VerdictIssued(
        verdict_id=verdict_id(frame.frame_id, frame.attempt, run),
        run=run,
        frame_id=frame.frame_id,
        plant=frame.plant,
        line=frame.line,
        station=frame.station,
        camera=frame.camera,
        sku=frame.sku,
        part_id=frame.part_id,
        lot_id=frame.lot_id,
        order_id=frame.order_id,
        pass_no=frame.pass_no,
        view=frame.view,
        views=frame.views,
        trigger_seq=frame.trigger_seq,
        captured_at=frame.captured_at,
        attempt=frame.attempt,
        outcome=judgement.outcome,
        reason=judgement.reason,
        detail=judgement.detail,
        findings=judgement.findings,
        scores=judgement.scores,
        novelty=judgement.novelty,
        mode=recipe.mode if recipe else Mode.UNKNOWN,
        recipe_version=recipe.version if recipe else None,
        model_id=provenance.model_id or (recipe.model_id if recipe else None),
        model_sha256=provenance.model_sha256,
        preprocess_sha256=provenance.preprocess_sha256,
        device=provenance.device,
        precision=provenance.precision,
        batch_size=provenance.batch_size,
        received_at=received_at,
        decided_at=decided_at,
        queue_ms=provenance.queue_ms,
        decode_ms=provenance.decode_ms,
        infer_ms=provenance.infer_ms,
        deadline_met=remaining_ms(frame, source.timestamp, decided_at) >= 0,
        image_sha256=frame.image_sha256,
        label=frame.label,
        source_topic=source.topic,
        source_partition=source.partition,
        source_offset=source.offset,
        source_timestamp=source.timestamp,
        gateway_ms=frame.gateway_ms,
        simulated=run != LIVE,
        picture=provenance.picture,
    )
