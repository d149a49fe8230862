"""Whose figures they are: a camera, and one of its products. Pure.

Place in the flow: from events, which anybody may send, to names that alarms and references can carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.reference import are_quantiles, quantiles_of
from schemas.records import CameraReference, FigureReference, VerdictIssued
from streams.downstream.drift.comparison import F64, Usual
from streams.downstream.drift.figures import NAMES, OF_MODEL
from streams.topics import KEY_PART, station_key

SERVICE = "drift"  # who taught a reference that nobody taught
_OF = " of "  # `score of flange-41`: what a model says is no figure of another one


@dataclass(frozen=True, slots=True, order=True)
class Camera:
    plant: str
    line: str
    station: str
    name: str

    @classmethod
    def of(cls, record: VerdictIssued | CameraReference) -> Camera:
        """ValueError for names that no subject of an alarm can carry."""
        station_key(record.plant, record.line, record.station)
        if not KEY_PART.fullmatch(record.camera):
            raise ValueError(f"a camera's name must match {KEY_PART.pattern}; came {record.camera!r:.80}")
        return cls(record.plant, record.line, record.station, record.camera)

    @property
    def subject(self) -> str:
        return f"{self.plant}/{self.line}/{self.station}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What has a reference of its own."""

    camera: Camera
    sku: str


@dataclass(frozen=True, slots=True)
class Taught:
    """What is usual, by figure; what a model says by the name of the model too."""

    usual: dict[str, Usual]
    record: CameraReference

    def of_model(self, name: str, model_id: str | None) -> Usual | None:
        return self.usual.get(f"{name}{_OF}{model_id}")


def taught_by(record: CameraReference) -> Taught:
    """A reference as it came from the topic; ValueError for what can't be one."""
    usual: dict[str, Usual] = {}
    for figure in record.figures:
        if figure.name.partition(_OF)[0] not in NAMES or not figure.quantiles or not are_quantiles(figure.quantiles):
            raise ValueError(f"{figure.name!r:.80} of a camera's reference is no figure with ascending quantiles")
        usual[figure.name] = Usual(figure.quantiles, record.frames)
    if record.frames < 1:
        raise ValueError(f"a camera's reference is of 1 frame or more; came {record.frames}")
    return Taught(usual, record)


def references_of(rows: F64, names: tuple[str, ...], model_id: str | None) -> tuple[FigureReference, ...]:
    """By the frames [n, figures] that are learned from: those of `names` that most of them have."""
    found = []
    for name in names:
        known = rows[:, NAMES.index(name)]
        known = known[known == known]  # NaN is not known
        if 2 * len(known) >= len(rows) and len(known):
            full = f"{name}{_OF}{model_id}" if name in OF_MODEL else name
            found.append(FigureReference(name=full, quantiles=quantiles_of(known)))
    return tuple(found)


def reference(
    scope: Scope,
    figures: tuple[FigureReference, ...],
    frames: int,
    span: tuple[datetime, datetime],
    by: str,
    reason: str,
    at: datetime,
) -> CameraReference:
    """The event."""
    camera = scope.camera
    return CameraReference(
        plant=camera.plant,
        line=camera.line,
        station=camera.station,
        camera=camera.name,
        sku=scope.sku,
        frames=frames,
        figures=figures,
        first_at=span[0],
        last_at=span[1],
        taught_by=by,
        reason=reason,
        taught_at=at,
    )
