"""The sign-in dialog that lies over a page: after expiry and for a fast change of user. The page keeps its state.

Place in the flow: `shell.page_shell` puts one on every page; `doors.reauthenticate` opens it. Knows no page.
"""

from __future__ import annotations

import asyncio

from nicegui import ui

from streams.web.access.doors import current_user, set_dialog
from streams.web.access.forms import SignInForm
from streams.web.access.users import User
from streams.web.i18n import Texts
from streams.web.widgets import button

WATCH_S = 1.0


class SignInDialog:
    """One a page. It opens by itself when the page's user is gone."""

    def __init__(self, t: Texts) -> None:
        self._t = t
        self._was_signed_in = current_user() is not None
        self._answers: list[asyncio.Future[User | None]] = []
        with ui.dialog().props("persistent") as self._dialog, ui.element("div").classes("ls-card ls-sign-in"):
            self._title = ui.element("h1")
            with self._title:
                self._title_text = ui.label()
            self._lead = ui.label().classes("ls-muted")
            self._form = SignInForm(t, self._done)
            self._cancel = button(t("cancel"), lambda: self._answer(None), "quiet")
        self._dialog.on("show", self._form.focus)
        ui.timer(WATCH_S, self._watch)
        set_dialog(self)

    async def ask(self) -> User | None:
        """Open; the user who signed in, None where it was cancelled (only possible while somebody is signed in)."""
        has_user = current_user() is not None
        kind = "switch" if has_user else "expired"
        if not self._dialog.value:
            self._title_text.text, self._lead.text = self._t(f"{kind}_title"), self._t(f"{kind}_lead")
            self._form.reset()
        self._cancel.visible = has_user
        answer: asyncio.Future[User | None] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._dialog.open()
        return await answer

    async def _done(self, user: User) -> None:
        self._answer(user)

    def _answer(self, user: User | None) -> None:
        self._dialog.close()
        self._was_signed_in = current_user() is not None
        answers, self._answers = self._answers, []
        for answer in answers:
            if not answer.done():
                answer.set_result(user)

    async def _watch(self) -> None:
        if self._was_signed_in and not self._dialog.value and current_user() is None:
            await self.ask()
