"""The dialog in which a recipe is changed: what shall be different, the difference to be confirmed, what became of it.

Place in the flow: the page opens it for a scope, or for a former version that shall come back. The desk drafts and
publishes; why it can't be is shown as its sentence, and what was typed stays. Knows no topic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from nicegui import ui

from schemas.records import Recipe
from streams.errors import CallerError, LinesideError
from streams.inspection.recipes import ANY_SKU
from streams.recipes.desk import By, Change, Draft, RecipeDesk
from streams.recipes.history import Scope
from streams.recipes.wishes import FIRST
from streams.web.access.doors import acting_user, web_context
from streams.web.access.users import Role, User
from streams.web.i18n import Texts
from streams.web.recipes.form import ChangeForm, Segments
from streams.web.recipes.people import Approvals
from streams.web.recipes.wording import field_name, line_name, scope_name, value_text
from streams.web.widgets import button, field

log = logging.getLogger(__name__)
SOON, LATER = "soon", "later"


@dataclass(frozen=True, slots=True)
class Tools:
    """What all dialogs of the page share. `clock` gives the time to the millisecond."""

    t: Texts
    desk: RecipeDesk
    clock: Callable[[], datetime]


class ChangeDialog:
    """One a page; opened again and again."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._t = tools.t
        self._is_busy = False
        with ui.dialog().props("persistent") as self._dialog:
            self._card = ui.element("div").classes("ls-card rc-dialog")
        self._client = ui.context.client

    def change(self, scope: Scope | None) -> None:
        """Other values for a scope; None: for one that is named in the dialog."""
        self._open(_Asked(scope, None))

    def bring_back(self, scope: Scope, version: int) -> None:
        """What a former version said."""
        self._open(_Asked(scope, version))

    def _open(self, asked: _Asked) -> None:
        self._card.clear()
        with self._card:
            _title(self._t, asked)
            self._first = ui.element("div").classes("ls-column")
            self._second = ui.element("div").classes("ls-column")
        with self._first:
            self._step = _FirstStep(self._tools, asked)
            self._first_alert = self._foot(
                ("show_difference", self._preview, "primary"), ("cancel", self._dialog.close, "quiet")
            )
        self._second.visible = False
        self._dialog.open()

    def _foot(self, *which: tuple[str, Callable[..., object], str]) -> ui.label:
        """Buttons by the key of their text, what they do and their kind; gives the place of a step's sentence."""
        alert = ui.label().classes("ls-alert").props("role=alert")
        with ui.element("div").classes("ls-row rc-buttons"):
            for key, act, kind in which:
                button(self._t(key), act, kind)
        return alert

    def _say(self, text: str) -> None:
        """In the step that is in sight."""
        (self._second_alert if self._second.visible else self._first_alert).text = text

    async def _preview(self) -> None:
        """Draft what was asked for and show how it differs."""
        if (user := await self._engineer()) is None:
            return
        self._say(self._t("checking"))
        try:
            change = self._step.change()
            draft = await self._tools.desk.draft(change, self._step.by(user))
        except LinesideError as error:
            self._say(str(error))
            return
        if not draft.differences:
            self._say(self._t("nothing_different"))
            return
        self._say("")
        self._show_draft(change, draft)

    def _show_draft(self, change: Change, draft: Draft) -> None:
        self._first.visible, self._second.visible = False, True
        self._second.clear()
        with self._second:
            _differences(self._t, draft)
            with ui.element("dl").classes("rc-facts"):
                _fact(self._t("in_force_from"), self._step.when_text())
                _fact(self._t("field_reason"), draft.recipe.reason)
            for later in self._tools.desk.history.scheduled(change.scope, draft.recipe.effective_at):
                at = self._t.time(later.effective_at, self._tools.clock())
                ui.label(self._t("then", at=at, version=later.version)).classes("rc-then")
            needed = self._tools.desk.approvals
            approvals = Approvals(self._t, needed) if needed > 1 else None

            async def confirm() -> None:
                await self._confirm(change, draft, approvals.names if approvals else ())

            self._second_alert = self._foot(
                ("put_in_force", confirm, "primary"), ("back", self._back, ""), ("cancel", self._dialog.close, "quiet")
            )

    def _back(self) -> None:
        self._first.visible, self._second.visible = True, False

    async def _confirm(self, change: Change, seen: Draft, approved_by: tuple[str, ...]) -> None:
        if self._is_busy or (user := await self._engineer()) is None:
            return
        self._is_busy = True
        self._say(self._t("publishing"))
        try:
            recipe = await self._tools.desk.publish(change, self._step.by(user, approved_by), seen)
        except LinesideError as error:
            self._say(str(error))
        except Exception:  # whatever it was, the person who confirmed must hear that it is not known to be done
            log.exception("a recipe of %s could not be published", change.scope)
            self._say(self._t("failed"))
        else:
            self._show_done(recipe)
        finally:
            self._is_busy = False

    def _show_done(self, recipe: Recipe) -> None:
        at = self._t.time(recipe.effective_at, self._tools.clock())
        self._second.clear()
        with self._second:
            ui.label(self._t("done", version=recipe.version, at=at)).classes("rc-done").props("role=status")
            with ui.element("div").classes("ls-row rc-buttons"):
                button(self._t("close"), self._dialog.close, "primary").props("autofocus")

    async def _engineer(self) -> User | None:
        """Who acts; where that is nobody who may change recipes, the dialog says so."""
        user = await acting_user(Role.ENGINEER)
        if user is not None and may_change(user):
            return user
        self._say(self._t("not_an_engineer"))
        return None


def may_change(user: User | None) -> bool:
    """Whether somebody may change recipes: an account of an engineer, not a name that was typed without any proof."""
    return user is not None and user.has(Role.ENGINEER) and not web_context().access.open_mode


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the dialog was opened for. `scope` None: to be named; `version`: to be brought back."""

    scope: Scope | None
    version: int | None


class _FirstStep:
    """What shall be different, from when on and why."""

    def __init__(self, tools: Tools, asked: _Asked) -> None:
        self._tools, self._t, self._asked = tools, tools.t, asked
        t = self._t
        if asked.scope is None:
            with ui.element("div").classes("rc-fields"):
                self._names = [field(t(name)).props("autocomplete=off") for name in ("plant", "line", "sku_or_any")]
                self._names[2].value = ANY_SKU
        self._form: ChangeForm | None = None
        if asked.version is None:
            before = tools.desk.history.newest(asked.scope) if asked.scope else None
            self._form = ChangeForm(t, tools.desk, before)
        choices = [(SOON, t("when_soon", n=FIRST.seconds)), (LATER, t("when_at"))]
        self._when: Segments[str] = Segments(t("in_force_from"), choices)
        self._at = field(t("time_of", zone=t.zone.key)).props("type=datetime-local stack-label")
        self._when.on_change = self._choose_when
        self._when.choose(SOON)
        self._reason = field(t("field_reason")).props("maxlength=200")

    def change(self) -> Change:
        """CallerError for what says nothing."""
        scope = self._asked.scope or Scope(*((box.value or "").strip() for box in self._names))
        return Change(scope, self._form.wish() if self._form else None, self._asked.version or 0)

    def by(self, user: User, approved_by: tuple[str, ...] = ()) -> By:
        """Who wants it, why and from when on. CallerError for no time."""
        return By(user.name, (self._reason.value or "").strip(), approved_by, self._effective_at())

    def when_text(self) -> str:
        at = self._effective_at()
        return self._t("when_soon", n=FIRST.seconds) if at is None else self._t.time(at, self._tools.clock())

    def _choose_when(self, which: str) -> None:
        self._at.visible = which == LATER

    def _effective_at(self) -> datetime | None:
        """None: as soon as can be."""
        if self._when.value == SOON:
            return None
        try:
            at = datetime.fromisoformat(self._at.value or "")
        except ValueError:
            raise CallerError(self._t("needs_time")) from None
        return at.replace(tzinfo=self._t.zone).astimezone(UTC)


def _title(t: Texts, asked: _Asked) -> None:
    with ui.element("h2"):
        if asked.scope is None:
            ui.label(t("new_recipe"))
        else:
            ui.label(f"{line_name(asked.scope)} · {scope_name(t, asked.scope)}").classes("ls-text")
    if asked.version is not None:
        ui.label(t("bring_back_version", version=asked.version)).classes("ls-muted")


def _differences(t: Texts, draft: Draft) -> None:
    version = draft.before.version if draft.before else None
    with ui.element("table").classes("rc-differences"):
        with ui.element("thead"), ui.element("tr"):
            heads = (t("what"), t("none") if version is None else t("version_n", n=version))
            for head in (*heads, t("version_n", n=draft.recipe.version)):
                with ui.element("th").props("scope=col"):
                    ui.label(head)
        with ui.element("tbody"):
            for name, before, after in draft.differences:
                with ui.element("tr"):
                    with ui.element("th").props("scope=row"):
                        ui.label(field_name(t, name)).classes("ls-text")
                    for css, value in (("rc-was", before), ("rc-now", after)):
                        with ui.element("td").classes(css):
                            ui.label(value_text(t, name, value)).classes("ls-text")


def _fact(name: str, value: str) -> None:
    with ui.element("dt"):
        ui.label(name)
    with ui.element("dd"):
        ui.label(value).classes("ls-text")
