"""The form that signs somebody in: by badge and PIN, by name and password, or in open mode by a name alone.

Place in the flow: `sign_in_page.py` and `dialog.py` show it. It asks Access, has the browser take the cookie,
and makes the page act in the new session. Does not know what comes after.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable

from nicegui import ui

from streams.web.access.access import Refused, SignedIn
from streams.web.access.doors import adopt, forget_session, required_roles, web_context
from streams.web.access.users import User
from streams.web.i18n import Texts
from streams.web.widgets import button, field

TAKE_COOKIE_S = 10.0
log = logging.getLogger(__name__)
Attempt = Callable[[], Awaitable[SignedIn | Refused]]


class SignInForm:
    """The form, built where it is made. `on_done` is awaited with the user once the browser has the cookie."""

    def __init__(self, t: Texts, on_done: Callable[[User], Awaitable[None]]) -> None:
        self._t = t
        self._on_done = on_done
        self._context = web_context()
        self._client = ui.context.client
        self._is_badge = self._context.access.has_badges
        self._is_busy = False
        self._body = ui.element("div").classes("ls-column")
        self._alert = ui.label().classes("ls-alert").props("role=alert")
        self._build()

    def focus(self) -> None:
        """Put the cursor where a scanner or a person types first."""
        self._first.run_method("focus")

    def say(self, text: str) -> None:
        """Show why it did not work."""
        self._alert.text = text

    def reset(self) -> None:
        """Empty, as at first."""
        self.say("")
        self._build()

    def _build(self) -> None:
        self._body.clear()
        access = self._context.access
        with self._body:
            if access.open_mode:
                self._open_fields()
                return
            if access.has_badges:
                self._segments()
            if self._is_badge:
                self._badge_field()
            else:
                self._password_fields()

    def _segments(self) -> None:
        with ui.element("div").classes("ls-segments"):
            for key, is_badge in (("by_badge", True), ("by_password", False)):
                pressed = str(self._is_badge == is_badge).lower()
                choice = button(self._t(key), lambda _, is_badge=is_badge: self._choose(is_badge))
                choice.props(f"aria-pressed={pressed}")

    def _choose(self, is_badge: bool) -> None:
        self._is_badge = is_badge
        self.reset()
        self.focus()

    def _open_fields(self) -> None:
        ui.label(self._t("open_lead")).classes("ls-muted")
        name = self._first = field(self._t("name")).props("autofocus autocomplete=off maxlength=64")
        self._submit(lambda: self._context.access.sign_in_open(name.value), "refused_name", name)

    def _password_fields(self) -> None:
        name = self._first = field(self._t("name")).props("autofocus autocomplete=username")
        password = field(self._t("password"), password=True).props("autocomplete=current-password")
        name.on("keydown.enter", lambda: password.run_method("focus"))
        access, address = self._context.access, self._client.ip
        attempt: Attempt = lambda: access.sign_in_password(name.value, password.value, address)  # noqa: E731
        self._submit(attempt, "refused_password", password)

    def _badge_field(self) -> None:
        badge = self._first = field(self._t("badge")).props("autofocus autocomplete=off")
        ui.label(self._t("scan_hint")).classes("ls-muted")

        def scanned() -> None:
            if badge.value.strip():
                self._ask_pin(badge.value.strip())

        badge.on("keydown.enter", scanned)
        button(self._t("next"), scanned, "primary", "touch")

    def _ask_pin(self, badge: str) -> None:
        self._alert.text = ""
        self._body.clear()
        with self._body:
            with ui.element("div").classes("ls-row ls-between"):
                ui.label(self._t("pin_for", badge=badge)).classes("ls-text")
                button(self._t("other_badge"), lambda: self._choose(True), "quiet")
            pin = self._first = field(self._t("pin"), password=True)
            pin.classes("ls-pin").props("autofocus autocomplete=off inputmode=none")
            access, address = self._context.access, self._client.ip

            async def enter() -> None:
                await self._try(lambda: access.sign_in_badge(badge, pin.value, address), "refused_badge")
                pin.value = ""

            pin.on("keydown.enter", enter)
            self._keypad(pin, enter)
        self.focus()

    def _keypad(self, pin: ui.input, enter: Callable[[], Awaitable[None]]) -> None:
        def press(digit: str) -> None:
            pin.value = (pin.value or "") + digit

        with ui.element("div").classes("ls-keypad"):
            for digit in "123456789":
                button(digit, lambda _, digit=digit: press(digit), "touch")
            button(self._t("delete"), lambda: pin.set_value((pin.value or "")[:-1]), "touch", "word")
            button("0", lambda: press("0"), "touch")
            button(self._t("enter"), enter, "touch", "primary", "word")

    def _submit(self, attempt: Attempt, refused: str, last: ui.input) -> None:
        async def submit() -> None:
            await self._try(attempt, refused)

        last.on("keydown.enter", submit)
        button(self._t("sign_in"), submit, "primary", "tall")

    async def _try(self, attempt: Attempt, refused: str) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        self.say(self._t("checking"))
        try:
            result = await attempt()
            if isinstance(result, Refused):
                self.say(self._t("wait", n=math.ceil(result.wait_s)) if result.wait_s else self._t(refused))
            else:
                await self._admit(result)
        except Exception:  # of the audit log: nobody is signed in unrecorded
            log.exception("a sign-in could not be recorded")
            self.say(self._t("not_recorded"))
        finally:
            self._is_busy = False

    async def _admit(self, signed_in: SignedIn) -> None:
        """Let the browser take the cookie and the page act in the session, if the user may use the page at all."""
        roles = required_roles()
        if not signed_in.user.has(*roles):
            names = ", ".join(self._t(f"role_{role}") for role in roles)
            await self._context.access.sign_out(signed_in.session_id)
            self.say(self._t("wrong_role", name=signed_in.user.display_name, roles=names))
            return
        ticket = json.dumps(self._context.tickets.issue(signed_in.session_id))
        try:
            taken = await self._client.run_javascript(f"lineside.takeCookie({ticket})", timeout=TAKE_COOKIE_S)
        except TimeoutError:
            taken = False
        if not taken:
            await self._context.access.sign_out(signed_in.session_id)
            self.say(self._t("no_cookie"))
            return
        await forget_session()
        adopt(signed_in)
        self.say("")
        await self._on_done(signed_in.user)
