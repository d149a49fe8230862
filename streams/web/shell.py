"""The shell that all pages stand in: one web app on the process's own event loop, and the frame of each page.

Place in the flow: a command makes its parts, then `make_web`, registers its pages and routes, and runs `serve` beside
its other tasks. Knows access, language and looks; does not know what the pages show.

NiceGUI is a global: a process makes ONE web app (tests put it back between two, see tests/web/conftest.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from nicegui import app as nicegui_app
from nicegui import ui
from starlette.middleware.gzip import GZipMiddleware

from streams.errors import CallerError, OperatorError
from streams.settings import Settings
from streams.web.access.access import Access
from streams.web.access.routes import router as access_router
from streams.web.access.sign_in_page import add_sign_in_page
from streams.web.access.tickets import Tickets
from streams.web.binding import Binding
from streams.web.context import WebContext
from streams.web.frame import page_shell, texts
from streams.web.nonce import nonce_page_template
from streams.web.security import Rules, SecurityMiddleware
from streams.web.sizes import HEAD_MAX_BYTES, MESSAGE_MAX_BYTES, MESSAGES_MAX, BodyLimitMiddleware

__all__ = ["make_web", "page", "page_shell", "serve", "texts"]

STATIC = Path(__file__).parent / "static"
KEEP_PAGE_S = 600.0  # a page whose connection is lost keeps its state so long
STOP_S = 3

page = functools.partial(ui.page, reconnect_timeout=KEEP_PAGE_S)
"""Registers a page, `@page("/path")`: NiceGUI's, but its state outlasts a lost connection."""


def make_web(settings: Settings, access: Access, title: str, pages: tuple[tuple[str, str], ...] = ()) -> FastAPI:
    """The web app of this process: security first, `/static`, `/health`, `/docs`, signing in, and NiceGUI's pages. The
    header leads to `pages`, by path and the key of their name."""
    web = FastAPIOffline(title=title, redoc_url=None)
    context = WebContext(settings, access, Tickets(), title, pages)
    web.state.lineside = nicegui_app.state.lineside = context
    web.mount("/static", StaticFiles(directory=STATIC), name="static")
    web.include_router(access_router)
    web.add_api_route("/health", _health, include_in_schema=False)
    ui.run_with(
        web,
        title=title,
        favicon=STATIC / "mark.svg",
        tailwind=False,
        gzip_middleware_factory=lambda app: GZipMiddleware(app, minimum_size=1_000, compresslevel=4),
        show_welcome_message=False,
    )
    nicegui_mount = web.router.routes.pop()
    web.router.default = nicegui_mount.app  # type: ignore[attr-defined]  # so that routes may still be added before it
    nonce_page_template()
    add_sign_in_page(page)
    web.add_middleware(BodyLimitMiddleware)
    web.add_middleware(SecurityMiddleware, rules=_rules(settings, access))
    return web


async def serve(web: FastAPI, binding: Binding, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
    """Serve on the running loop until `stop` is set; `on_ready` gets the address. CallerError for a port in use."""
    try:
        listener = socket.create_server((binding.host, binding.port), family=_family(binding.host))
    except OSError as error:
        raise CallerError(f"can't listen on {binding.host}:{binding.port}: {error.strerror}; choose another") from error
    with listener:
        server = _Server(_config(web, binding), lambda: on_ready(_url(binding, listener)))
        serving, stopped = asyncio.create_task(server.serve([listener])), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            server.should_exit = True
            await serving
        if not server.started:
            raise OperatorError("the web server did not start; the lines above say why")


class _Server(uvicorn.Server):
    """Leaves signals to the command that runs it, and says when it listens."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(web: FastAPI, binding: Binding) -> uvicorn.Config:
    return uvicorn.Config(
        web,
        http="h11",  # the other one takes heads of any length
        h11_max_incomplete_event_size=HEAD_MAX_BYTES,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_MAX_BYTES,
        ws_max_queue=MESSAGES_MAX,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the peer's address decides whose word counts
        server_header=False,
        ssl_certfile=binding.certificate,
        ssl_keyfile=binding.key,
        timeout_graceful_shutdown=STOP_S,
    )


def _url(binding: Binding, listener: socket.socket) -> str:
    host = f"[{binding.host}]" if ":" in binding.host else binding.host
    return f"{'https' if binding.has_tls else 'http'}://{host}:{listener.getsockname()[1]}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _health() -> dict[str, str]:
    return {"status": "up"}


def _rules(settings: Settings, access: Access) -> Rules:
    names = {socket.gethostname().lower(), *settings.web_hosts.lower().replace(" ", "").split(",")}
    if access.proxy is None:
        return Rules(frozenset(names - {""}))
    return Rules(frozenset(names - {""}), access.proxy.header, access.proxy.networks)
