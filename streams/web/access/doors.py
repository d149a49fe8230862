"""The doors of pages: who is here, who may pass, and signing in again without losing the page.

Place in the flow: page functions call `require` first; handlers of what a user does call `acting_user`. The session is
that of the page's cookie, or the one begun by signing in within the page. Knows NiceGUI and Access, no certain page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import HTTPException
from nicegui import ui

from streams.web.access.access import SignedIn
from streams.web.access.users import Role, User
from streams.web.context import WebContext, context_of
from streams.web.security import session_cookie

SIGN_IN_PATH = "/sign-in"
_SESSION, _ROLES, _DIALOG, _LISTENERS = "session", "roles", "dialog", "listeners"


def web_context() -> WebContext:
    """The context of the page that is being built or acted in."""
    return context_of(ui.context.client.request)


def session_id() -> str | None:
    """The session that the page acts in."""
    client = ui.context.client
    found: str | None = client.storage.get(_SESSION) or client.request.cookies.get(session_cookie(client.request))
    return found


def current_user() -> User | None:
    """Who is signed in at this page; None for nobody, and after expiry."""
    client, access = ui.context.client, web_context().access
    return access.by_proxy(client.request.headers, client.ip) or access.user_of(session_id())


def require(*roles: Role) -> User:
    """At the top of a page: its user, who has one of `roles` (none named: any). Sends others to the sign-in page."""
    client = ui.context.client
    client.storage[_ROLES] = roles
    user = current_user()
    if user is not None and user.has(*roles):
        web_context().access.touch(session_id())
        return user
    url = client.request.url
    target = quote(url.path + (f"?{url.query}" if url.query else ""), safe="")
    why = "" if user is None else "&why=role"
    raise HTTPException(303, headers={"Location": f"{SIGN_IN_PATH}?next={target}{why}"})


def required_roles() -> tuple[Role, ...]:
    """The roles that the page was built for."""
    roles: tuple[Role, ...] = ui.context.client.storage.get(_ROLES, ())
    return roles


async def acting_user(*roles: Role) -> User | None:
    """In a handler of what a user does: the user. Asks for signing in over the page where nobody is (or nobody with one
    of `roles`); None where that was given up."""
    user = current_user()
    if user is not None and user.has(*(roles or required_roles())):
        return user
    return await reauthenticate()


async def reauthenticate() -> User | None:
    """Open the sign-in dialog over the page, which stays as it is; the user, None where it was given up."""
    dialog: Any = ui.context.client.storage[_DIALOG]
    user: User | None = await dialog.ask()
    return user


def set_dialog(dialog: Any) -> None:
    """The dialog that `reauthenticate` opens on this page."""
    ui.context.client.storage[_DIALOG] = dialog


def adopt(signed_in: SignedIn) -> None:
    """From now on the page acts in this session; whoever `on_user` named is told."""
    storage = ui.context.client.storage
    storage[_SESSION] = signed_in.session_id
    for tell in storage.get(_LISTENERS, ()):
        tell(signed_in.user)


def on_user(tell: Callable[[User], None]) -> None:
    """Have `tell` called with the user when another signs in at this page."""
    ui.context.client.storage.setdefault(_LISTENERS, []).append(tell)


async def forget_session() -> None:
    """End the session that the page acts in."""
    await web_context().access.sign_out(session_id())


def safe_next(target: str | None) -> str:
    """Where to go after signing in: a path of this server, else the front page."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")) or not target.isprintable():
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_local = not parts.scheme and not parts.netloc and "\\" not in target and parts.path != SIGN_IN_PATH
    return target if is_local else "/"
