"""Which pictures stand behind a mark: from what the browser says was hit to what the gallery is asked for. Pure.

The browser is not believed: a panel or key that there is not opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from streams.downstream.overview.view import Choice, Span, View, What
from streams.downstream.rework.cases import Scope
from streams.web.dashboard.strokes import TimeAxis
from streams.web.dashboard.wording import Wording, printable, station_name

BAD = ("NG", "UNSURE")
OUTCOMES_OF_PART = {"OK": ("OK",), "NG": ("NG",), "UNSURE": ("UNSURE",), "NOT_INSPECTED": ("ERROR",)}
TEXT_MAX_CHARS = 200
A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pictures to be shown, and what the gallery is called."""

    scope: Scope
    span: Span
    choice: Choice
    title: str


def wanted(panel: object, key: Any, view: View, scope: Scope, words: Wording) -> Wanted | None:
    """What a mark of a panel stands for; None for one that there is not."""
    t = words.t
    match panel, key:
        case (("control" | "pace"), int() | float()):
            return _of_step(panel == "control", key, view, scope, words)
        case "pace", str() if key in OUTCOMES_OF_PART:
            return Wanted(scope, view.span, Choice(outcomes=OUTCOMES_OF_PART[key]), t(f"state_{key}"))
        case "missing", "NOT_INSPECTED":
            return Wanted(scope, view.span, Choice(outcomes=("ERROR",)), t("state_NOT_INSPECTED"))
        case "pareto", str() if len(key) <= TEXT_MAX_CHARS or any(bar.label == key for bar in view.pareto):
            return Wanted(scope, view.span, Choice(outcomes=("NG",), label=key), f"{t('state_NG')}: {printable(key)}")
        case "latency", int() if 0 <= key < len(view.latency.counts):
            return Wanted(scope, view.span, Choice(latency_bucket=key), t("panel_latency"))
        case "quality", "escape" | "overkill":
            what = What.ESCAPES if key == "escape" else What.OVERKILL
            return Wanted(scope, view.span, Choice(what), t(key))
        case "missing", str():
            return _of_missing(key, view, scope, words)
        case "tiles", [str() as plant, str() as line, str() as what]:
            return _of_tile(plant, line, what, view, words)
    return None


def _of_step(is_control: bool, place: float, view: View, scope: Scope, words: Wording) -> Wanted | None:
    try:
        middle = TimeAxis.of(view, words).time(place)
    except (ValueError, OverflowError, OSError):
        return None
    start, end = middle - view.step / 2, middle + view.step / 2
    if not view.span.start - view.step < middle < view.span.end + view.step:
        return None
    choice = Choice(outcomes=BAD) if is_control else Choice()
    name = words.t("not_ok_frames") if is_control else words.t("frames")
    return Wanted(scope, Span(start, end), choice, f"{name}, {words.stretch(start, end)}")


def _of_missing(key: str, view: View, scope: Scope, words: Wording) -> Wanted | None:
    kind, _, name = key.partition(":")
    if kind == "reason" and name in view.missing.reasons:
        return Wanted(scope, view.span, Choice(reason=name), words.reason(name))
    for block in view.missing.blocks if kind == "block" else ():
        if str(block.first.decision_id) == name:
            own = Scope(block.plant, block.line, block.station)
            title = words.t("block", n=words.count(block.count))
            station = station_name((block.plant, block.line, block.station))
            return Wanted(own, Span(block.started_at, block.ended_at + A_SECOND), Choice(), f"{title}, {station}")
    return None


def _of_tile(plant: str, line: str, what: str, view: View, words: Wording) -> Wanted | None:
    if not any((tile.plant, tile.line) == (plant, line) for tile in view.tiles):
        return None
    scope, name = Scope(plant, line), printable(line)
    if what in ("yield", "open_rework"):
        return Wanted(scope, view.span, Choice(outcomes=BAD), f"{name}: {words.t('not_ok_frames')}")
    if what == "not_inspected":
        return Wanted(scope, view.span, Choice(outcomes=("ERROR",)), f"{name}: {words.t('state_NOT_INSPECTED')}")
    return None
