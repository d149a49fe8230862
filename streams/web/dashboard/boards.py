"""What all pages of one address and language are sent: panels as JSON, made once for any number of pages.

Place in the flow: the overview's view → here → pages, which send what is new to them. Charts are made anew at most
every CHARTS_EVERY_S, all else with every version of the overview. Knows no page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from streams.downstream.overview.view import Choice, Page, Span, View
from streams.downstream.rework.cases import Scope
from streams.web.dashboard.address import Address, Calendar
from streams.web.dashboard.panels import PANELS
from streams.web.dashboard.tiles import bar, tiles
from streams.web.dashboard.wording import Model, Wording
from streams.web.i18n import Texts

CHARTS_EVERY_S = 5.0  # a chart moves by windows; drawing 20 of them is what a machine with many pages does most
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
class Board:
    """Panels by name, each as JSON, and the view that they show. `charted` is what the charts show, since when."""

    view: View
    panels: Mapping[str, str]
    charted: View
    charted_at: datetime
    connected: bool


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
        key, now, kept = (address, t.language), self.clock(), self._kept.get((address, t.language))
        view, connected = self.overview.view(address.scope, self.calendar.span(address, now)), self.overview.connected
        if kept is not None and kept.view is view and kept.connected == connected and _is_charted(kept, view, now):
            return kept
        if key not in self._kept and len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)))
        words = Wording(t, now)
        charted = self._charted(view, words, address, kept)
        top = {"bar": bar(view, words, address, self.calendar), "tiles": tiles(view, words, address, self.calendar)}
        top["bar"]["offline"] = "" if connected else t("offline")
        made = self._kept[key] = replace(
            charted, view=view, connected=connected, panels={**charted.panels, **_texts(top)}
        )
        return made

    def _charted(self, view: View, words: Wording, address: Address, kept: Board | None) -> Board:
        """The board with charts that are new enough."""
        if kept is not None and _is_charted(kept, view, words.now):
            return kept
        panels = _texts({name: make(view, words, address) for name, make in PANELS.items()})
        return Board(view, panels, view, words.now, self.overview.connected)


def _is_charted(board: Board, view: View, now: datetime) -> bool:
    """Whether its charts still do for a view."""
    is_new = board.charted.span == view.span and (now - board.charted_at).total_seconds() < CHARTS_EVERY_S
    return board.charted is view or is_new


def _texts(models: Mapping[str, Model]) -> dict[str, str]:
    return {name: json.dumps(model, ensure_ascii=False, separators=(",", ":")) for name, model in models.items()}
