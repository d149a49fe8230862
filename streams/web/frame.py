"""The frame of a page: its head, the header bar with the user's menu, the place for its content, the sign-in dialog.

Place in the flow: page functions stand in `with page_shell(area, title) as frame`. Knows the theme and who is signed
in, nothing of what a page shows.
"""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from nicegui import ui

from streams.web.access.dialog import SignInDialog
from streams.web.access.doors import (
    SIGN_IN_PATH,
    current_user,
    forget_session,
    on_user,
    reauthenticate,
    session_id,
    web_context,
)
from streams.web.access.users import User
from streams.web.i18n import LANGUAGES, Texts, choose
from streams.web.widgets import button, units

STATIC = Path(__file__).parent / "static"
LANGUAGE_NAMES = {"en": "English", "de": "Deutsch"}


@dataclass(frozen=True, slots=True)
class Frame:
    """`with frame.slot:` puts something into the middle of the header bar."""

    slot: ui.element
    main: ui.element


def texts(area: str) -> Texts:
    """The texts of an area, in the language of the page that is being built."""
    request, settings = ui.context.client.request, web_context().settings
    language = choose(request.query_params.get("lang"), request.cookies.get("lang"), settings.language)
    return Texts(language, area, ZoneInfo(settings.timezone))


@contextlib.contextmanager
def page_shell(area: str, title: str = "", fill: bool = False) -> Iterator[Frame]:
    """The frame of a page; call it after `require`. `title` is shown in the header and the browser's tab, default the
    app's. With `fill` the page is exactly as high as the window and its content scrolls by itself."""
    t = texts("access")
    title = title or web_context().title
    _head(area, t.language)
    ui.page_title(title)
    user = current_user()
    with ui.element("div").classes("ls-page ls-fill" if fill else "ls-page"):
        with ui.element("header").classes("ls-header"):
            with ui.element("div").classes("ls-home"):
                _brand(title)
                _navigation(t)
            slot = ui.element("div").classes("ls-slot")
            with ui.element("div").classes("ls-aside"):
                _connection(t)
                _menu(t, user)
        if web_context().access.open_mode:
            ui.label(t("open_banner")).classes("ls-banner").props("role=status")
        with ui.element("div").classes(f"ls-main ls-area-{area}") as main:
            yield Frame(slot, main)
    if user is not None:
        SignInDialog(t)
        ui.on("lineside_active", lambda: web_context().access.touch(session_id()))


def _head(area: str, language: str) -> None:
    known, own = " ".join(LANGUAGES), html.escape(language)
    ui.add_head_html(
        f'<script src="/static/theme.js" data-language="{own}" data-languages="{known}"></script>'
        '<link rel="stylesheet" href="/static/theme.css"><script defer src="/static/shell.js"></script>'
    )
    if (STATIC / f"{area}.css").is_file():
        ui.add_head_html(f'<link rel="stylesheet" href="/static/{html.escape(area)}.css">')


def _brand(title: str) -> None:
    with ui.element("div").classes("ls-brand"):
        ui.element("img").props('src="/static/mark.svg" alt="" width=32 height=32')
        ui.label(title).classes("ls-title")


def _navigation(t: Texts) -> None:
    pages, here = web_context().pages, ui.context.client.request.url.path
    if not pages:
        return
    with ui.element("nav").classes("ls-nav") as nav:
        nav.props["aria-label"] = t("pages")
        for path, name in pages:
            with ui.element("a") as link:
                link.props["href"] = path
                if path == here:
                    link.props["aria-current"] = "page"
                ui.label(t(name))


def _connection(t: Texts) -> None:
    shown = ui.element("span").classes("ls-connection").props("role=status")
    shown.props["data-units"] = units(t)
    for contact in ("live", "late", "lost"):
        shown.props[f"data-{contact}"] = t(f"contact_{contact}", age="{age}")


def _menu(t: Texts, user: User | None) -> None:
    with button(user.display_name if user else t("language"), None, "quiet") as opener:
        opener.props("icon-right=arrow_drop_down")
        if user:
            opener.props["aria-label"] = t("user_menu", name=user.display_name)
        menu = ui.menu().props("anchor='bottom right' self='top right'")
        with menu, ui.element("div").classes("ls-menu"):
            if user:
                _user_part(t, user, opener, menu)
            with ui.element("div").classes("ls-segments"):
                for code in LANGUAGES:
                    choice = button(LANGUAGE_NAMES[code]).props(f"aria-pressed={str(code == t.language).lower()}")
                    choice.on("click", js_handler=f"() => lineside.setLanguage({json.dumps(code)})")
            with ui.element("div").classes("ls-segments"):
                for theme in ("light", "dark"):
                    choice = button(t(f"theme_{theme}")).classes(f"ls-theme-{theme}")
                    choice.on("click", js_handler=f"() => lineside.setTheme({json.dumps(theme)})")


def _user_part(t: Texts, user: User, opener: ui.button, menu: ui.menu) -> None:
    with ui.element("div").classes("ls-whoami"):
        name = ui.label(user.display_name).classes("ls-text")
        roles = ui.label(_roles(t, user)).classes("ls-muted ls-small")

    def changed(user: User) -> None:
        opener.text = name.text = user.display_name
        roles.text = _roles(t, user)

    async def sign_out() -> None:
        await forget_session()
        ui.navigate.to(SIGN_IN_PATH)

    async def switch() -> None:
        menu.close()
        await reauthenticate()

    on_user(changed)
    button(t("switch_user"), switch, "quiet")
    button(t("sign_out"), sign_out, "quiet")
    ui.element("hr")


def _roles(t: Texts, user: User) -> str:
    return ", ".join(t(f"role_{role}") for role in sorted(user.roles))
