"""The page `/sign-in?next=…`. Knows the form and where to go afterwards, no other page."""

from __future__ import annotations

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from nicegui import Client, ui

from streams.web.access.doors import SIGN_IN_PATH, safe_next, web_context
from streams.web.access.forms import SignInForm
from streams.web.access.users import User
from streams.web.frame import page_shell, texts
from streams.web.i18n import Texts
from streams.web.security import session_cookie


def add_sign_in_page(register: Callable[[str], Callable[..., Callable[..., None]]]) -> None:
    """Register the page by `shell.page`."""

    @register(SIGN_IN_PATH)
    def sign_in(client: Client, next: str = "/", why: str = "") -> None:
        t, target = texts("access"), safe_next(next)
        with page_shell("access"):
            _card(t, target, why)
        if why != "role":
            client.on_connect(lambda: _skip_where_signed_in(client, target))


def _card(t: Texts, target: str, why: str) -> None:
    async def done(user: User) -> None:
        ui.navigate.to(target)

    with ui.element("div").classes("ls-card ls-sign-in ls-sign-in-page"):
        with ui.element("h1"):
            ui.label(t("sign_in"))
        form = SignInForm(t, done)
        if why == "role":
            form.say(t("page_needs_role"))


def _skip_where_signed_in(client: Client, target: str) -> None:
    """A link from another site brings no SameSite=Strict cookie, the socket of the page it led to does."""
    try:
        cookie = SimpleCookie((client.environ or {}).get("HTTP_COOKIE", "")).get(session_cookie(client.request))
    except CookieError:
        return
    if cookie is not None and web_context().access.user_of(cookie.value) is not None:
        client.open(target)
