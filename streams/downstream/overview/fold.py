"""The overview as a fold: records in, views by scope and span out. Pure.

Place in the flow: `feed.py` hands it the records of seven topics, in any order of topics, and pages the views. A view
is made once for any number of pages, and kept until anything in it may have changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.records import (
    AlarmRaised,
    DefectDetected,
    LineWindow,
    Mode,
    PartDecided,
    Recipe,
    ReworkOutcome,
    SampleSelected,
)
from streams.downstream.overview.alarms import Alarms
from streams.downstream.overview.findings import Findings
from streams.downstream.overview.rows import Row, Station
from streams.downstream.overview.series import Axis, axis_of, chart, series
from streams.downstream.overview.tiles import Source, parts_per_min, tiles
from streams.downstream.overview.uninspected import Uninspected
from streams.downstream.overview.view import InForce, Latency, Missing, ParetoBar, Span, View
from streams.downstream.overview.windows import Windows
from streams.downstream.rework.cases import Read, Scope
from streams.downstream.statistics.past import REJECTED
from streams.downstream.statistics.totals import Totals, first_pass_yield
from streams.downstream.statistics.windows import from_ms, to_ms
from streams.inspection.recipes import RecipeBook

KEPT_VIEWS = 64
AT_ONCE = 60_000  # windows; some 50 ms of work
WINDOWS_PER_S = 100_000  # that are summed up for one scope and span


class _Place(NamedTuple):
    plant: str
    line: str
    station: str


class Fold:
    """Everything that is held. `planned` is parts a minute by line; `width_ms` of windows, before any came."""

    def __init__(self, planned: Mapping[str, float], width_ms: int) -> None:
        self.version = 0
        self.windows = Windows()
        self.findings = Findings()
        self._alarms = Alarms()
        self._uninspected = Uninspected()
        self._recipes = RecipeBook()
        self._skus: dict[tuple[str, str], set[str]] = {}
        self._modes: dict[tuple[str, str, int], Mode] = {}
        self._waiting: int | None = None
        self._planned = planned
        self._width_ms = width_ms
        self._views: OrderedDict[tuple[Scope, Span, int], View] = OrderedDict()

    def window(self, read: Read[LineWindow]) -> None:
        self._changed(self.windows.take(read.record))

    def part(self, read: Read[PartDecided]) -> None:
        self._changed(self._uninspected.take(read.record))

    def older_parts(self, found: Uninspected) -> None:
        """Blocks among parts that lie before all that were handed over."""
        self._uninspected.older(found)
        self._changed()

    def defect(self, read: Read[DefectDetected]) -> None:
        self.findings.defect(read)
        self._changed()

    def sample(self, read: Read[SampleSelected]) -> None:
        self.findings.sample(read)
        self._changed()

    def outcome(self, read: Read[ReworkOutcome]) -> None:
        self.findings.outcome(read)
        self._changed()

    def alarm(self, read: Read[AlarmRaised]) -> None:
        self._changed(self._alarms.take(read.record))

    def recipe(self, read: Read[Recipe]) -> None:
        recipe = read.record
        if self._recipes.add(recipe, read.timestamp):
            self._skus.setdefault((recipe.plant, recipe.line), set()).add(recipe.sku)
            self._modes[recipe.plant, recipe.line, recipe.version] = recipe.mode
            self._changed()

    def waiting(self, frames: int | None) -> None:
        """How many frames inspection has not committed; None where that can't be told."""
        changed, self._waiting = frames != self._waiting, frames
        self._changed(changed)

    def forget(self, before: datetime, open_before: datetime) -> None:
        """Drop what is over since before `before`, and open cases of before `open_before`; open alarms stay."""
        self.windows.forget(to_ms(before))
        self.findings.forget(before, open_before)
        self._alarms.forget(before)
        self._uninspected.forget(before)
        self._changed()

    @property
    def width_ms(self) -> int:
        return self.windows.width_ms or self._width_ms

    def view(self, scope: Scope, span: Span, now: datetime) -> View:
        """What a scope shows of a span. It is made anew after a change, and at least once a window.

        Where a span has more than AT_ONCE windows of all stations, a change may wait for some seconds.
        """
        key = (scope, span, to_ms(now) // self.width_ms)
        kept = self._views.get(key)
        if kept is None or (kept.version != self.version and now - kept.made_at >= self._rest(kept.span)):
            kept = self._views[key] = self._made(scope, span, now)
        self._views.move_to_end(key)
        if len(self._views) > KEPT_VIEWS:
            self._views.popitem(last=False)
        return kept

    def _rest(self, span: Span) -> timedelta:
        """How long a view of many windows serves before it is made anew, so that views never take all of a core."""
        windows = (span.length // timedelta(milliseconds=self.width_ms)) * len(self.windows.stations)
        return timedelta(seconds=max(0, windows - AT_ONCE) / WINDOWS_PER_S)

    def covered(self, scope: Scope) -> frozenset[Station]:
        """All stations of a scope that are known."""
        return _covered(self._stations(), scope)

    def _made(self, scope: Scope, span: Span, now: datetime) -> View:
        axis = axis_of(span, self.width_ms)
        shown = Span(from_ms(axis.start_ms), from_ms(axis.end_ms), span.live)
        known = self._stations()
        stations = _covered(known, scope)
        in_plant = _covered(known, Scope(plant=scope.plant))
        of_plant = [row for row in self.windows.between(*axis.span) if row.station in in_plant]
        rows = of_plant if stations == in_plant else [row for row in of_plant if row.station in stations]
        found = self.windows.columns.totals(rows)
        steps = series(rows, axis, self.windows.columns, to_ms(now))
        source = self._source(axis, now)
        rejects = sum(found.outcomes.get(outcome, 0) for outcome in REJECTED)
        return View(
            version=self.version,
            made_at=now,
            newest_at=max((row.at for row in rows), default=None),
            through=dict(self.windows.through),
            span=shown,
            step=timedelta(milliseconds=axis.step_ms),
            tiles=tiles(source, sorted(in_plant), of_plant),
            stations=known,
            frames=found.frames,
            parts=found.parts,
            parts_per_min=parts_per_min(source, stations),
            first_pass_yield=first_pass_yield(found.parts),
            series=steps,
            chart=chart(steps),
            changeovers=self.windows.changeovers(stations, *axis.span),
            pareto=_pareto(found.labels),
            escape=self.findings.escape(stations, shown),
            overkill=self.findings.overkill(stations, shown, rejects, found.frames),
            audits_waiting=self.findings.audits_waiting(stations),
            agreement=self.findings.agreement(stations, shown),
            latency=_latency(found, rows),
            missing=self._missing(found, rows, stations, shown),
            alarms=self._alarms.shown(stations, shown),
            in_force=tuple(self._in_force(station, now) for station in sorted(stations)),
            waiting=self._waiting,
        )

    def _source(self, axis: Axis, now: datetime) -> Source:
        end_ms = min(axis.end_ms, to_ms(now))
        end_ms -= end_ms % self.width_ms
        return Source(self.windows, self.findings, self._alarms, self._planned, self.width_ms, end_ms, self._modes)

    def _missing(self, found: Totals, rows: Sequence[Row], stations: frozenset[Station], span: Span) -> Missing:
        return Missing(
            missing_triggers=found.missing_triggers,
            repeated_triggers=found.repeated_triggers,
            parts_not_inspected=sum(row.not_inspected for row in rows),
            reasons=found.reasons,
            blocks=self._uninspected.shown(stations, span),
        )

    def _in_force(self, station: Station, now: datetime) -> InForce:
        plant, line, _ = station
        skus = sorted(self._skus.get((plant, line), ()))
        found = (self._recipes.in_force(plant, line, sku, now) for sku in skus)
        recipes = tuple(recipe for sku, recipe in zip(skus, found, strict=True) if recipe and recipe.sku == sku)
        newest = self.windows.newest(station)
        return InForce(station, recipes, newest.models if newest else ())

    def _stations(self) -> tuple[Station, ...]:
        return tuple(sorted({*self.windows.stations, *self._alarms.stations, *self.findings.stations}))

    def _changed(self, really: bool = True) -> None:
        self.version += really


def _covered(stations: Sequence[Station], scope: Scope) -> frozenset[Station]:
    return frozenset(station for station in stations if scope.covers(_Place(*station)))


def _pareto(labels: Mapping[str, int]) -> tuple[ParetoBar, ...]:
    total, below, bars = sum(labels.values()), 0, []
    for label, count in sorted(labels.items(), key=lambda item: (-item[1], item[0])):
        below += count
        bars.append(ParetoBar(label, count, below / total))
    return tuple(bars)


def _latency(found: Totals, rows: Sequence[Row]) -> Latency:
    return Latency(
        counts=found.latency_counts,
        p50_ms=found.latency_ms(0.5),
        p95_ms=found.latency_ms(0.95),
        p99_ms=found.latency_ms(0.99),
        deadline_ms=min((row.deadline_ms for row in rows if row.deadline_ms is not None), default=None),
        missed=found.deadline_missed,
        frames=found.frames,
    )
