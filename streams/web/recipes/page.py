"""The page `/recipes`: every line and product with its recipe, and for engineers the way to change it.

Place in the flow: over the recipe desk, which all pages share; a card is made anew when its recipe changed, or time
put another one in force. Anybody who may see the dashboard may read. Knows no topic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicegui import ui

from streams.recipes.desk import RecipeDesk
from streams.recipes.history import Scope
from streams.web.access.doors import current_user, on_user, reauthenticate, require, web_context
from streams.web.i18n import Texts
from streams.web.recipes.cards import Actions, scope_card
from streams.web.recipes.dialog import ChangeDialog, Tools, may_change
from streams.web.recipes.wording import line_name, state_of
from streams.web.shell import page, page_shell, texts
from streams.web.widgets import button, empty

PATH = "/recipes"
LOOK_EVERY_S = 1.0  # whether time has put another recipe in force, or the broker went away
Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sources:
    """What the page shows. `lines`: plant and line of those that send frames, with or without a recipe."""

    desk: RecipeDesk
    lines: Callable[[], Iterable[Line]]
    is_connected: Callable[[], bool]
    clock: Callable[[], datetime]


def add_recipes_page(sources: Sources) -> None:
    """Register the page."""

    @page(PATH)
    def recipes_page() -> None:
        require()
        t = texts("recipes")
        with page_shell("recipes") as frame, frame.main:
            ui.page_title(f"{t('title')} · {web_context().title}")
            RecipesPage(t, sources)


class RecipesPage:
    """See the module. Make it inside the page's function, within the shell's frame."""

    def __init__(self, t: Texts, sources: Sources) -> None:
        self._t, self._sources = t, sources
        self._client = ui.context.client
        self._opened: set[Scope] = set()
        self._cards: dict[Scope, tuple[Any, ui.element]] = {}
        self._layout: Any = None
        self._unfollow: Callable[[], None] = lambda: None
        self._offline = ui.label(t("offline")).classes("rc-offline").props("role=alert")
        self._notice = ui.element("div").classes("rc-notice ls-card")
        self._head = ui.element("div").classes("ls-row rc-head")
        self._body = ui.element("div").classes("rc-lines")
        self._dialog = ChangeDialog(Tools(t, sources.desk, sources.clock))
        self._show_user()
        self._show()
        on_user(lambda _: self._show_user())
        ui.timer(LOOK_EVERY_S, self._show)
        self._client.on_connect(self._follow)
        self._client.on_disconnect(self._leave)
        self._client.on_delete(self._leave)

    def _follow(self) -> None:
        self._unfollow()
        self._unfollow = self._sources.desk.on_change(self._refresh)
        self._refresh()

    def _leave(self) -> None:
        self._unfollow()
        self._unfollow = lambda: None

    def _refresh(self) -> None:
        if not self._client.is_deleted:
            with self._client:
                self._show()

    # --- who looks ---------------------------------------------------------------------------------------------------

    def _show_user(self) -> None:
        """What whoever is signed in may do here, and how to get in."""
        t, user = self._t, current_user()
        self._may_change = may_change(user)
        self._notice.visible = not self._may_change
        self._notice.clear()
        self._head.clear()
        with self._notice:
            if web_context().access.open_mode:
                ui.label(t("read_only_open")).classes("ls-text")
            elif not self._may_change:
                ui.label(t("read_only", name=user.display_name if user else "")).classes("ls-text")
                button(t("sign_in_other"), reauthenticate)
        with self._head:
            with ui.element("div"):
                with ui.element("h1"):
                    ui.label(t("title"))
                ui.label(t("lead")).classes("ls-muted rc-lead")
            if self._may_change:
                button(t("new_recipe"), lambda: self._dialog.change(None))
        self._layout = None
        self._show()

    # --- the cards ---------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Bring what is shown up to date; nothing happens where nothing changed."""
        now = self._sources.clock()
        self._offline.visible = not self._sources.is_connected()
        lines = self._lines()
        layout = (self._may_change, now.astimezone(self._t.zone).date(), lines)
        if layout != self._layout:
            self._layout = layout
            self._lay_out(lines)
        history, book = self._sources.desk.history, self._sources.desk.book
        for scope, (shown, slot) in self._cards.items():
            state = state_of(history, book, scope, now)
            if state != shown:
                self._cards[scope] = (state, slot)
                slot.clear()
                with slot:
                    scope_card(self._t, scope, history, book, now, self._actions())

    def _lines(self) -> dict[Line, tuple[Scope, ...]]:
        """The scopes of every line that has a recipe or sends frames, in order."""
        found = defaultdict[Line, list[Scope]](list)
        for scope in self._sources.desk.history.scopes():
            found[scope.plant, scope.line].append(scope)
        for line in self._sources.lines():
            found.setdefault(line, [Scope(*line)])
        return {line: tuple(found[line]) for line in sorted(found)}

    def _lay_out(self, lines: dict[Line, tuple[Scope, ...]]) -> None:
        self._cards.clear()
        self._body.clear()
        with self._body:
            if not lines:
                empty(self._t("no_recipes"), self._t("no_recipes_hint"))
            for scopes in lines.values():
                with ui.element("section").classes("rc-line"):
                    with ui.element("h2"):
                        ui.label(line_name(scopes[0])).classes("ls-text")
                    with ui.element("div").classes("rc-cards"):
                        for scope in scopes:
                            self._cards[scope] = (None, ui.element("div"))

    def _actions(self) -> Actions:
        if not self._may_change:
            return Actions(None, None, self._opened)
        return Actions(self._dialog.change, self._dialog.bring_back, self._opened)
