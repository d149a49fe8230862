"""What all pages of one address and language are sent: panels as JSON, made once for any number of pages.

Place in the flow: the overview's view → here → pages, which send what is new to them. Charts are made anew in turn, one
every TURN_EVERY_S, all else with every version of the overview. Knows no page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from streams.downstream.overview.view import Choice, Page, Span, View
from streams.downstream.rework.cases import Scope
from streams.web.dashboard.address import Address, Calendar
from streams.web.dashboard.panels import PANELS
from streams.web.dashboard.tiles import bar, tiles
from streams.web.dashboard.wording import Model, Wording
from streams.web.i18n import Texts

IN_TURN = ("control", "pace", "pareto", "latency", "quality", "missing")  # all at once, they hold up all else
TURN_EVERY_S = 0.8
OUTDATED_S = 10.0  # nobody looked meanwhile, or the clock was set
KEPT = 64  # addresses and languages whose panels are kept; more pages than that share less


class Views(Protocol):
    """The overview, as pages use it."""

    @property
    def version(self) -> int: ...
    @property
    def connected(self) -> bool: ...
    def view(self, scope: Scope, span: Span) -> View: ...
    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]: ...
    async def gallery(
        self, scope: Scope, span: Span, choice: Choice, cursor: str | None = None, limit: int = 24
    ) -> Page: ...
    async def ensure(self, span: Span) -> None: ...


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel as JSON, the view that it shows, and when it was made."""

    text: str
    view: View
    at: datetime


@dataclass(frozen=True, slots=True)
class Board:
    """Panels by name, and the newest view that any of them shows."""

    view: View
    drawn: Mapping[str, Drawn]
    connected: bool

    @property
    def panels(self) -> dict[str, str]:
        return {name: drawn.text for name, drawn in self.drawn.items()}


@dataclass(slots=True)
class Boards:
    """Makes boards of the overview's views, and keeps the newest of each address."""

    overview: Views
    calendar: Calendar
    clock: Callable[[], datetime]
    _kept: dict[tuple[Address, str], Board] = field(default_factory=dict)
    _ticked: set[Callable[[], None]] = field(default_factory=set)

    def span(self, address: Address) -> Span:
        return self.calendar.span(address, self.clock())

    def on_tick(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called as time goes by, until what comes back is called."""
        self._ticked.add(callback)
        return lambda: self._ticked.discard(callback)

    def tick(self) -> None:
        """Time has gone by: a live span may end later now."""
        for callback in tuple(self._ticked):
            callback()

    def board(self, address: Address, t: Texts) -> Board:
        """The board of an address, as new as the overview is."""
        key, now = (address, t.language), self.clock()
        kept = self._kept.get(key)
        view, connected = self.overview.view(address.scope, self.calendar.span(address, now)), self.overview.connected
        is_new = kept is None or kept.view is not view or kept.connected != connected
        due = due_panels(kept, view, now)
        if kept is not None and not is_new and not due:
            return kept
        if key not in self._kept and len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)))
        words = Wording(t, now)
        models = {name: PANELS[name](view, words, address) for name in due}
        if is_new:
            models["bar"] = bar(view, words, address, self.calendar) | {"offline": "" if connected else t("offline")}
            models["tiles"] = tiles(view, words, address, self.calendar)
        drawn = {name: Drawn(_text(model), view, now) for name, model in models.items()}
        made = self._kept[key] = Board(view, {**(kept.drawn if kept else {}), **drawn}, connected)
        return made


def due_panels(kept: Board | None, view: View, now: datetime) -> list[str]:
    """The panels to be made anew: those that are quickly made, and of the charts the one whose turn it is."""
    if kept is None:
        return list(PANELS)
    old = {
        name: abs((now - kept.drawn[name].at).total_seconds()) for name in PANELS if kept.drawn[name].view is not view
    }
    due = [name for name, age_s in old.items() if name not in IN_TURN or age_s >= OUTDATED_S]
    last_turn_s = min(abs((now - kept.drawn[name].at).total_seconds()) for name in IN_TURN)
    waiting = [name for name in old if name not in due]
    if waiting and last_turn_s >= TURN_EVERY_S:
        due.append(max(waiting, key=old.__getitem__))
    return due


def _text(model: Model) -> str:
    return json.dumps(model, ensure_ascii=False, separators=(",", ":"))
