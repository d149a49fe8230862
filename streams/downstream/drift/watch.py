"""All cameras under watch: verdicts in, states of alarms and learned references out. The core of drift, pure.

Place in the flow: `service.py` brings verdicts, references, models, recipes and the alarms that stand, and publishes
what comes out. A replay says nothing of a camera, nor does a frame that was sent again. There is one alarm of each kind
for a camera and SKU (of a camera that is stuck: for the camera), under the same id each time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeVar
from uuid import UUID, uuid5

from models.reference import Told
from schemas.records import (
    AlarmKind,
    AlarmRaised,
    CameraReference,
    Outcome,
    Reason,
    Severity,
    VerdictIssued,
)
from streams.downstream.drift.camera import SERVICE, Camera, Scope, Taught, reference, taught_by
from streams.downstream.drift.figures import PICTURE, limits_of
from streams.downstream.drift.product import EVIDENCE, Learned, Moved, Product
from streams.downstream.drift.stuck import RUNNING, Stuck
from streams.downstream.sampling.strategies import is_judged, one_line
from streams.inspection.decide import LIVE
from streams.inspection.fallback import is_fallback
from streams.inspection.limits import DETAIL_MAX_CHARS
from streams.inspection.recipes import RecipeBook

NAMESPACE = UUID("d1a7f6b2-3f0e-5c7a-9a54-0c6b7b6f4e21")  # never changes: alarms that stand are known by their ids
LESSON = 500  # frames that a reference is learned from
NO_REJECTS = timedelta(hours=1)
MOST = 2048  # cameras and SKUs watched at once: those seen last
DRIFTS = (AlarmKind.PICTURE_DRIFT, AlarmKind.SCORE_DRIFT)
KINDS = (*DRIFTS, AlarmKind.CAMERA_STUCK, AlarmKind.NO_REJECTS)
EVER = datetime.min.replace(tzinfo=UTC)
K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class State:
    """An alarm's new state, and the verdicts of the frames whose pictures show it; none where it is over."""

    alarm: AlarmRaised
    shown: tuple[VerdictIssued, ...] = ()


Notice = State | CameraReference
"""What is to be published."""


@dataclass(slots=True)
class _Seen:
    """Of one camera."""

    stuck: Stuck = field(default_factory=Stuck)
    newest: deque[VerdictIssued] = field(default_factory=lambda: deque(maxlen=EVIDENCE))


class Watch:
    """See the module. Recipes are read from `recipes`, which somebody else fills."""

    def __init__(self, recipes: RecipeBook, lesson: int = LESSON, no_rejects: timedelta = NO_REJECTS) -> None:
        self._recipes, self._lesson, self._no_rejects = recipes, lesson, no_rejects
        self._models: dict[str, Told] = {}
        self._taught: dict[Scope, Taught] = {}
        self._states: dict[UUID, AlarmRaised] = {}
        self._seen: OrderedDict[Camera, _Seen] = OrderedDict()
        self._products: OrderedDict[Scope, Product] = OrderedDict()
        self.nameless = 0  # verdicts whose names no alarm could carry

    # --- what is known before, and comes in between ---

    def teach(self, record: CameraReference) -> None:
        """A reference from the topic, ours too; ValueError for what can't be one."""
        scope, taught = Scope(Camera.of(record), record.sku), taught_by(record)
        before = self._taught.get(scope)
        if before is not None and before.record == record:
            return
        self._taught[scope] = taught
        if scope in self._products:
            self._products[scope].teach(taught)

    def know(self, told: Told) -> None:
        """What a model's manifest tells."""
        self._models[told.model_id] = told

    def stand(self, alarm: AlarmRaised) -> None:
        """A state on the topic, ours too."""
        known = self._states.get(alarm.alarm_id)
        if alarm.kind in KINDS and (known is None or known.at <= alarm.at):
            self._states[alarm.alarm_id] = alarm

    @property
    def products(self) -> Iterable[tuple[Scope, Product]]:
        return self._products.items()

    def taught(self, scope: Scope) -> CameraReference | None:
        found = self._taught.get(scope)
        return None if found is None else found.record

    def standing(self, scope: Scope) -> list[AlarmRaised]:
        """The alarms that stand of a camera and SKU."""
        states = (self._states.get(_alarm_id(kind, scope)) for kind in KINDS)
        return [alarm for alarm in states if alarm is not None and alarm.cleared is None]

    # --- frames ---

    def take(self, verdict: VerdictIssued, now: datetime) -> list[Notice]:
        """One verdict; what is to be published for it."""
        if (scope := self._scope(verdict)) is None:
            return []
        product, learned, is_new = self._frame(scope, verdict)
        notices: list[Notice] = [self._learned(scope, product, learned, now)] if learned else []
        notices += self._stuck(scope, self._seen[scope.camera], now)
        notices += self._moved(scope, product, is_new, now)
        notices += self._rejects(scope, product, verdict.source_timestamp, now)
        return notices

    def remember(self, verdict: VerdictIssued, now: datetime, also_over: bool = False) -> list[CameraReference]:
        """One that was looked at before the last end: it raises and clears nothing, and what was over by then stays so.

        Ask once references and alarms were read. `also_over`: what is over counts too, to be shown.
        """
        scope = self._scope(verdict)
        if scope is None or verdict.source_timestamp < self._begins(scope, also_over):
            return []
        product, learned, _ = self._frame(scope, verdict)
        return [self._learned(scope, product, learned, now)] if learned else []

    def _begins(self, scope: Scope, also_over: bool) -> datetime:
        """The time before which frames say nothing any more: they are of another lamp, or an alarm about them ended."""
        taught, states = self.taught(scope), [self._states.get(_alarm_id(kind, scope)) for kind in DRIFTS]
        over = [state.cleared for state in states if state is not None and state.cleared is not None and not also_over]
        return max([*over, EVER if taught is None else taught.first_at])

    def _scope(self, verdict: VerdictIssued) -> Scope | None:
        """Whose frame it is; None for one that tells nothing of a camera."""
        if verdict.simulated or verdict.run != LIVE or verdict.attempt > 1 or is_fallback(verdict.reason):
            return None
        try:
            return Scope(Camera.of(verdict), verdict.sku)
        except ValueError:
            self.nameless += 1
            return None

    def _product(self, scope: Scope) -> Product:
        product = Product(self._lesson, self._no_rejects)
        if scope in self._taught:
            product.begin_with(self._taught[scope])
        return product

    def _frame(self, scope: Scope, verdict: VerdictIssued) -> tuple[Product, Learned | None, bool]:
        """Its product, what it has learned, and whether the picture was a new one."""
        seen = _newest(self._seen, scope.camera, _Seen)
        product = _newest(self._products, scope, lambda: self._product(scope))
        is_new = seen.stuck.take(verdict)
        seen.newest.append(verdict)
        if is_judged(verdict):
            product.rejects.take(verdict.outcome is Outcome.NG, verdict.source_timestamp)
        if verdict.picture is None or not is_new:
            return product, None, False
        told = self._models.get(verdict.model_id or "")
        recipe = self._recipes.of_frame(verdict, verdict.source_timestamp)
        limit, defects = limits_of(verdict, told, recipe)
        product.judged_by(verdict.model_id, told, limit)
        return product, product.take(verdict, defects if verdict.reason is Reason.SCORE else None), True

    def _learned(self, scope: Scope, product: Product, learned: Learned, now: datetime) -> CameraReference:
        """The camera's reference with what was learned: all of it, or what a model says beside its pictures."""
        if (before := self.taught(scope)) is None:
            lesson = learned
            by, reason = SERVICE, f"its first {learned.frames} frames"
        else:
            of_pictures = tuple(figure for figure in before.figures if figure.name in PICTURE)
            span = (before.first_at, before.last_at)
            lesson = Learned((*of_pictures, *learned.figures), before.frames, span)
            by, reason = before.taught_by, before.reason
        record = reference(scope, lesson.figures, lesson.frames, lesson.span, by, reason, now)
        self._taught[scope] = taught_by(record)
        product.learned(self._taught[scope])
        return record

    # --- conditions ---

    def _stuck(self, scope: Scope, seen: _Seen, now: datetime) -> Iterator[State]:
        scope, told = Scope(scope.camera, ""), seen.stuck.told
        if told is not None:
            value = seen.stuck.running if seen.stuck.is_stuck else seen.stuck.repeated
            yield from self._raise(AlarmKind.CAMERA_STUCK, scope, (value, RUNNING, told), seen.newest, now)
        elif seen.stuck.is_well:
            yield from self._clear(AlarmKind.CAMERA_STUCK, scope, now)

    def _moved(self, scope: Scope, product: Product, is_new: bool, now: datetime) -> Iterator[State]:
        if not is_new:
            return
        found: dict[AlarmKind, Moved] = {moved.kind: moved for moved in product.look()}
        for kind in DRIFTS:
            stands = self._open(kind, scope)
            if stands is None and (moved := found.get(kind)):
                what = (moved.effect, moved.limit, f"{one_line(scope.sku)}: {moved.detail}")
                yield from self._raise(kind, scope, what, product.newest, now)
            elif stands is not None and product.is_well(kind, stands.value):
                yield from self._clear(kind, scope, now)

    def _rejects(self, scope: Scope, product: Product, at: datetime, now: datetime) -> Iterator[State]:
        rejects = product.rejects
        if rejects.are_missing(at):
            what = (rejects.since, None, f"{one_line(scope.sku)}: {rejects.told}")
            yield from self._raise(AlarmKind.NO_REJECTS, scope, what, product.newest, now)
        elif product.is_accepted or (rejects.bouts and not rejects.since):
            product.is_accepted = False
            yield from self._clear(AlarmKind.NO_REJECTS, scope, now)

    # --- alarms ---

    def _open(self, kind: AlarmKind, scope: Scope) -> AlarmRaised | None:
        state = self._states.get(_alarm_id(kind, scope))
        return state if state is not None and state.cleared is None else None

    def _raise(
        self,
        kind: AlarmKind,
        scope: Scope,
        what: tuple[float, float | None, str],
        shown: Iterable[VerdictIssued],
        now: datetime,
    ) -> Iterator[State]:
        """`what`: value, limit and detail. An alarm that stands is not raised again."""
        if self._open(kind, scope):
            return
        value, limit, detail = what
        alarm = AlarmRaised(
            alarm_id=_alarm_id(kind, scope),
            kind=kind,
            severity=Severity.CRITICAL if kind is AlarmKind.CAMERA_STUCK else Severity.WARNING,
            subject=scope.camera.subject,
            value=float(value),
            limit=limit,
            since=now,
            at=now,
            detail=detail[:DETAIL_MAX_CHARS],
        )
        self._states[alarm.alarm_id] = alarm
        different = {verdict.image_sha256: verdict for verdict in shown}
        yield State(alarm, tuple(different.values()))

    def _clear(self, kind: AlarmKind, scope: Scope, now: datetime) -> Iterator[State]:
        stands = self._open(kind, scope)
        if stands is not None:
            over = replace(stands, at=max(now, stands.at + timedelta(milliseconds=1)), cleared=now)
            self._states[over.alarm_id] = over
            yield State(over)


@lru_cache(maxsize=len(KINDS) * MOST)
def _alarm_id(kind: AlarmKind, scope: Scope) -> UUID:
    sku = "" if kind is AlarmKind.CAMERA_STUCK else scope.sku
    return uuid5(NAMESPACE, f"{kind}/{scope.camera.subject}/{sku}")


def _newest(known: OrderedDict[K, T], key: K, make: Callable[[], T]) -> T:
    """The entry of a key, made where there is none; of more than MOST the one that was not asked for longest goes."""
    found = known.get(key)
    if found is None:
        found = known[key] = make()
        if len(known) > MOST:
            known.popitem(last=False)
    known.move_to_end(key)
    return found
