"""One camera and SKU under watch: what is usual of its frames, and how the newest differ from it. Pure.

Place in the flow: fed with every frame of its own by `watch.py`, which makes alarms of what is found here. While there
is no reference the first frames become one; what a model says is held against the model's own reference where the
artifact has one, else against that model's first frames here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from models.reference import Told
from schemas.records import AlarmKind, FigureReference, VerdictIssued
from streams.downstream.drift.camera import Taught, references_of
from streams.downstream.drift.comparison import (
    LEAST_EFFECT,
    QUIET_EFFECT,
    Shift,
    Usual,
    compare,
    least_sure_effect,
    sure,
)
from streams.downstream.drift.figures import (
    NAMES,
    OF_MODEL,
    PICTURE,
    SCORE,
    UNKNOWN,
    figures_of,
    kind_of,
    matters,
    told,
)
from streams.downstream.drift.rejects import Rejects
from streams.downstream.drift.window import LOOKS, SIZES, Window

CHANCE = 1e-6  # false alarms a frame, over all figures, windows and looks, were frames independent
WELL_CHANCE = 0.01  # of one that is well, that its alarm does not end at this look
LEAST_REFERENCE = 50  # good parts of an artifact, else the camera's own frames are the better reference
LEAST_FRAMES = 25  # of a window, that have the figure
EVIDENCE = 4  # newest frames whose pictures show it


@dataclass(frozen=True, slots=True)
class Moved:
    """What is otherwise, of one kind: `effect` of the surest, against `limit`, in words."""

    kind: AlarmKind
    effect: float
    limit: float
    said: dict[str, str]

    @property
    def detail(self) -> str:
        return "; ".join(self.said.values())


@dataclass(frozen=True, slots=True)
class Learned:
    figures: tuple[FigureReference, ...]
    frames: int
    span: tuple[datetime, datetime]


class _Lesson:
    """The frames that a reference is made of."""

    def __init__(self, frames: int, names: tuple[str, ...]) -> None:
        self._frames, self._names = frames, names
        self._rows: list[Sequence[float]] = []
        self._times: list[datetime] = []

    def take(self, figures: Sequence[float], at: datetime, model_id: str | None) -> Learned | None:
        """What is learned, with the last frame that was missing."""
        self._rows.append(figures)
        self._times.append(at)
        if len(self._rows) < self._frames:
            return None
        found = references_of(np.asarray(self._rows, np.float64), self._names, model_id)
        return Learned(found, self._frames, (min(self._times), max(self._times)))


class Product:
    """See the module. `lesson`: frames that a reference is made of."""

    def __init__(self, lesson: int, no_rejects: timedelta) -> None:
        self.window, self.rejects = Window(), Rejects(no_rejects)
        self.newest: deque[VerdictIssued] = deque(maxlen=EVIDENCE)
        self.model_id: str | None = None
        self.is_accepted = False  # somebody taught it anew: what was missed before is missed no more
        self._lesson, self._no_rejects = lesson, no_rejects
        self._of_pictures: _Lesson | None = _Lesson(lesson, PICTURE)
        self._of_model: _Lesson | None = None
        self._taught: Taught | None = None
        self._told: Told | None = None
        self._limit = np.inf

    def teach(self, taught: Taught) -> None:
        """Another reference: frames of before it say nothing any more."""
        self._taught, self._of_pictures, self._of_model = taught, None, None
        self.window, self.rejects, self.is_accepted = Window(), Rejects(self._no_rejects), True

    def begin_with(self, taught: Taught) -> None:
        """The reference that was there before the first frame."""
        self._taught, self._of_pictures = taught, None

    def learned(self, taught: Taught) -> None:
        """What it has just learned by itself."""
        self._taught = taught

    def judged_by(self, model_id: str | None, told: Told | None, limit: float) -> None:
        """`limit`: of the score of all defects together, below which a frame is surely OK."""
        if model_id != self.model_id:
            self.window.forget_model()
            self._of_model = None
        self.model_id, self._told, self._limit = model_id, told, limit

    def take(self, verdict: VerdictIssued, defects: frozenset[str] | None) -> Learned | None:
        """A frame whose picture was looked at; what is learned with it."""
        figures = list(figures_of(verdict, defects))
        if figures[NAMES.index(SCORE)] >= self._limit:  # so are those of the reference left out
            figures[NAMES.index(SCORE)] = UNKNOWN
        self.newest.append(verdict)
        self.window.add(figures)
        return self._learn(figures, verdict.source_timestamp)

    def _learn(self, figures: Sequence[float], at: datetime) -> Learned | None:
        if self._of_pictures is not None:
            if (found := self._of_pictures.take(figures, at, None)) is not None:
                self._of_pictures = None
            return found
        if not self._lacks_model(figures):
            return None
        self._of_model = self._of_model or _Lesson(self._lesson, OF_MODEL)
        if (found := self._of_model.take(figures, at, self.model_id)) is not None:
            self._of_model = None
        return found

    def _lacks_model(self, figures: Sequence[float]) -> bool:
        known = [name for name in OF_MODEL if figures[NAMES.index(name)] == figures[NAMES.index(name)]]
        return any(self.usual(name) is None for name in known)

    def usual(self, name: str) -> Usual | None:
        """What a figure is held against; None where that is not known yet."""
        if name in PICTURE:
            return self._taught.usual.get(name) if self._taught else None
        for found in (self._artifacts(name), self._taught and self._taught.of_model(name, self.model_id)):
            usual = found.below(self._limit) if found and name == SCORE else found
            if usual and usual.quantiles:
                return usual
        return None

    def _artifacts(self, name: str) -> Usual | None:
        kept = self._told.reference if self._told else None
        return Usual(getattr(kept, name), kept.good) if kept and kept.good >= LEAST_REFERENCE else None

    def shifts(self, size: int, names: Sequence[str] = NAMES) -> dict[str, tuple[Shift, Usual]]:
        """Of the newest frames, by figure, where it is known what is usual."""
        rows, found = self.window.newest(size), {}
        for name in names:
            values = rows[:, NAMES.index(name)]
            values = values[values == values]
            if len(values) >= LEAST_FRAMES and (usual := self.usual(name)) is not None:
                found[name] = compare(values, usual), usual
        return found

    def look(self) -> list[Moved]:
        """What the windows that are due now show, the surest kind first."""
        found: dict[AlarmKind, Moved] = {}
        for size in self.window.due():
            shifts = self.shifts(size)
            for name in sure({name: shift for name, (shift, _) in shifts.items()}, alpha_of(size)):
                shift, usual = shifts[name]
                if shift.effect >= LEAST_EFFECT and matters(name, shift, usual):
                    limit = max(LEAST_EFFECT, least_sure_effect(size, usual.frames, alpha_of(size) / len(shifts)))
                    new = Moved(kind_of(name), shift.effect, limit, {name: told(name, shift, usual)})
                    found[new.kind] = _both(found.get(new.kind), new)
        return list(found.values())

    def is_well(self, kind: AlarmKind, effect: float) -> bool:
        """Whether what an alarm was raised about is over, by the smallest window that could show it at all."""
        if not self.window.due():
            return False
        names = OF_MODEL if kind is AlarmKind.SCORE_DRIFT else PICTURE
        frames = [usual.frames for name in names if (usual := self.usual(name)) is not None]
        size = window_for(effect, min(frames, default=self._lesson))
        shifts = self.shifts(size, names)
        if len(self.window) < size or not shifts:
            return False
        for name, (shift, usual) in shifts.items():
            is_sure = shift.p < WELL_CHANCE / len(shifts)
            if is_sure and shift.effect >= QUIET_EFFECT and matters(name, shift, usual):
                return False
        self.window.keep(size)
        return True


def alpha_of(size: int) -> float:
    """The chance of a false alarm at one look at a window of this size, so that all looks come to CHANCE a frame."""
    return CHANCE * (size // LOOKS) / len(SIZES)


def window_for(effect: float, reference: int) -> int:
    """The smallest window in which an effect is sure."""
    sizes = [size for size in SIZES if least_sure_effect(size, reference, alpha_of(size) / len(NAMES)) <= effect]
    return sizes[0] if sizes else SIZES[-1]


def _both(before: Moved | None, new: Moved) -> Moved:
    """What was said first, by the smaller window or the surer figure, stays."""
    if before is None:
        return new
    return Moved(new.kind, max(before.effect, new.effect), before.limit, {**new.said, **before.said})
