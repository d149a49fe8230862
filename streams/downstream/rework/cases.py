"""A case: one inspected frame that a person shall look at. Pure.

Cases come from `defects` (rejected or unsure frames) and from `samples` (passed frames chosen for a pass audit, and
frames that were only collected). A sample carries no whole verdict, so a case has the plain fields that both have, and
`verdict`, `defect` or `sample` beside them. Knows nothing of who holds or decided a case.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from schemas.records import DefectDetected, Encoding, Event, Outcome, SampleSelected, VerdictIssued
from streams.topics import station_key

E_co = TypeVar("E_co", bound=Event, covariant=True)


class Read(Protocol[E_co]):
    """One event and where it lay, as the subscriber hands it out; `timestamp` is the broker's append time."""

    @property
    def record(self) -> E_co: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> datetime: ...


class CaseKey(NamedTuple):
    """Names a case: 1 is the decision about a verdict, 2 a blind review of it."""

    verdict_id: UUID
    review: int = 1


class OfStation(Protocol):
    """Anything that belongs to a station."""

    @property
    def plant(self) -> str: ...
    @property
    def line(self) -> str: ...
    @property
    def station(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Which stations' parts a rework station sees; None stands for all."""

    plant: str | None = None
    line: str | None = None
    station: str | None = None

    def covers(self, item: OfStation) -> bool:
        wanted = ((self.plant, item.plant), (self.line, item.line), (self.station, item.station))
        return all(want is None or want == came for want, came in wanted)


class Kind(StrEnum):
    """Why a frame is looked at."""

    REJECT = "REJECT"
    AUDIT = "AUDIT"
    REVIEW = "REVIEW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One frame to be looked at. `label`, `score` and `threshold` are the model's surest finding, None without one."""

    verdict_id: UUID
    frame_id: UUID
    plant: str
    line: str
    station: str
    camera: str
    sku: str
    part_id: str | None
    pass_no: int
    view: int
    """1 where a sample does not say."""
    views: int
    trigger_seq: int | None
    """None for a sample."""
    inspected_at: datetime
    """Trigger of the frame, by the broker's clock less gateway_ms."""
    label: str | None
    score: float | None
    threshold: float | None
    outcome: Outcome
    model_id: str | None
    recipe_version: int | None
    image_ref: str
    image_sha256: str
    encoding: Encoding
    width: int
    height: int
    stride: int | None
    bits: int | None
    partition: int
    """Of the defect or sample; claims and outcomes go to the same number."""
    offset: int
    appended_at: datetime
    verdict: VerdictIssued | None = None
    defect: DefectDetected | None = None
    sample: SampleSelected | None = None
    review: int = 1

    @property
    def key(self) -> CaseKey:
        return CaseKey(self.verdict_id, self.review)

    @property
    def kind(self) -> Kind:
        if self.review > 1:
            return Kind.REVIEW
        return Kind.REJECT if self.sample is None else Kind.AUDIT

    @property
    def blind(self) -> bool:
        """Whether the person must not see what model and others thought: a review, or a look at a sample."""
        return self.kind is not Kind.REJECT

    @property
    def station_key(self) -> bytes:
        """The key of all that derives from this case."""
        return station_key(self.plant, self.line, self.station)

    def for_review(self, review: int) -> Case:
        return self if review == self.review else dataclasses.replace(self, review=review)


_OF_BOTH = ("verdict_id", "frame_id", "plant", "line", "station", "camera", "sku", "part_id", "pass_no")
_OF_PICTURE = ("image_ref", "encoding", "width", "height")


def case_of_defect(read: Read[DefectDetected]) -> Case:
    """The case of a rejected or unsure frame; ValueError where its station is no key."""
    defect, verdict = read.record, read.record.verdict
    surest = max(verdict.findings, key=lambda finding: finding.score, default=None)
    case = Case(
        **{name: getattr(verdict, name) for name in (*_OF_BOTH, "view", "views", "trigger_seq", "outcome")},
        **{name: getattr(defect, name) for name in (*_OF_PICTURE, "stride", "bits")},
        inspected_at=_inspected_at(verdict),
        label=surest.label if surest else None,
        score=surest.score if surest else None,
        threshold=surest.threshold if surest else None,
        model_id=verdict.model_id,
        recipe_version=verdict.recipe_version,
        image_sha256=verdict.image_sha256,
        partition=read.partition,
        offset=read.offset,
        appended_at=read.timestamp,
        verdict=verdict,
        defect=defect,
    )
    assert case.station_key
    return case


def case_of_sample(read: Read[SampleSelected]) -> Case:
    """The look at a sampled frame; ValueError where its station is no key."""
    sample = read.record
    case = Case(
        **{name: getattr(sample, name) for name in (*_OF_BOTH, *_OF_PICTURE)},
        **{name: getattr(sample, name) for name in ("inspected_at", "score", "model_id", "recipe_version")},
        view=1,
        views=1,
        trigger_seq=None,
        label=sample.predicted_label,
        threshold=None,
        outcome=sample.verdict_outcome,
        image_sha256=sample.image_sha256,
        stride=None,
        bits=None,
        partition=read.partition,
        offset=read.offset,
        appended_at=read.timestamp,
        sample=sample,
    )
    assert case.station_key
    return case


def _inspected_at(verdict: VerdictIssued) -> datetime:
    try:
        return verdict.source_timestamp - timedelta(milliseconds=verdict.gateway_ms or 0)
    except OverflowError:
        raise ValueError(f"gateway_ms must be milliseconds since the trigger; came {verdict.gateway_ms}") from None
