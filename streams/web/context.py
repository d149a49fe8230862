"""What all pages and routes of one web app share. One process serves one web app: NiceGUI is a global."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from streams.settings import Settings

if TYPE_CHECKING:
    from streams.web.access.access import Access
    from streams.web.access.tickets import Tickets


@dataclass(frozen=True, slots=True)
class WebContext:
    """The parts of a web app; `shell.make_web` puts it into the app's state."""

    settings: Settings
    access: Access
    tickets: Tickets
    title: str
    pages: tuple[tuple[str, str], ...] = ()
    """Path, and the key of its name in `lang/*/common.json`, of the pages that the header leads to."""


def context_of(connection: HTTPConnection) -> WebContext:
    """The context of the app that answers a request."""
    context: WebContext = connection.app.state.lineside
    return context
