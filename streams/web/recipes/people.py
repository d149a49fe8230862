"""Who stands behind a change: the author, and others who sign at the same screen with a secret of their own.

Place in the flow: in the dialog's second step, under the difference that they agree to. A typed name alone is nobody.
Knows no recipe.
"""

from __future__ import annotations

import logging
import math

from nicegui import ui

from streams.web.access.access import Refused
from streams.web.access.doors import current_user, web_context
from streams.web.access.users import Role, User
from streams.web.i18n import Texts
from streams.web.widgets import button, field

log = logging.getLogger(__name__)


class Approvals:
    """Built where it is made, for one difference. `needed` is how many different people a change takes."""

    def __init__(self, t: Texts, needed: int) -> None:
        self._t, self._needed = t, needed
        self._agreed: dict[str, User] = {}
        self._is_busy = False
        self._client = ui.context.client
        with ui.element("section").classes("rc-people"):
            with ui.element("h3"):
                ui.label(t("people", n=needed))
            self._list = ui.element("ul")
            self._build_fields()
        self._show()

    @property
    def names(self) -> tuple[str, ...]:
        """Those who agreed, beside the author."""
        return tuple(self._agreed)

    def _build_fields(self) -> None:
        t = self._t
        with ui.element("div").classes("rc-fields") as self._fields:
            self._name = field(t("approver")).props("autocomplete=off")
            self._secret = field(t("approver_secret"), password=True).props("autocomplete=off")
            self._name.on("keydown.enter", lambda: self._secret.run_method("focus"))
            self._secret.on("keydown.enter", self._agree)
            button(t("agree"), self._agree, "tall")
        self._alert = ui.label().classes("ls-alert").props("role=alert")

    async def _agree(self) -> None:
        """Check the second person, and that it is another one who may change recipes."""
        if self._is_busy:
            return
        self._is_busy = True
        self._alert.text = self._t("checking")
        try:
            self._alert.text = await self._vouched(self._name.value or "", self._secret.value or "")
        except Exception:  # of the audit log: nobody agrees unrecorded
            log.exception("an approval could not be recorded")
            self._alert.text = self._t("not_recorded")
        finally:
            self._is_busy = False
            self._secret.value = ""
        self._show()

    async def _vouched(self, claimed: str, secret: str) -> str:
        """Why not; empty where the person agrees now."""
        t = self._t
        found = await web_context().access.vouch(claimed, secret, self._client.ip)
        if isinstance(found, Refused):
            return t("wait", n=math.ceil(found.wait_s)) if found.wait_s else t("refused_approver")
        author = current_user()
        if found.name in self._agreed or (author and found.name == author.name):
            return t("same_person", name=found.display_name)
        if not found.has(Role.ENGINEER):
            return t("approver_role", name=found.display_name)
        self._agreed[found.name] = found
        self._name.value = ""
        return ""

    def _show(self) -> None:
        author = current_user()
        names = [*([author.display_name] if author else []), *(u.display_name for u in self._agreed.values())]
        self._list.clear()
        with self._list:
            for number in range(max(self._needed, len(names))):
                with ui.element("li") as entry:
                    there = number < len(names)
                    entry.classes("is-there" if there else "is-open")
                    ui.label(names[number] if there else self._t("nobody_yet")).classes("ls-text")
        self._fields.visible = len(names) < self._needed
