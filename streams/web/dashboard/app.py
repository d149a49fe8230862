"""The web app of the dashboard: overview, recipes, pictures, tables, the reading interface, put together around its
pages.

Place in the flow: `lineside dashboard` opens it and serves it. Chooses the parts and decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from nicegui import ui

from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.downstream.audit.log import AuditLog
from streams.downstream.overview.feed import Overview
from streams.downstream.rework.link import now_ms
from streams.recipes.desk import RecipeDesk
from streams.settings import Settings
from streams.web.access.access import Access
from streams.web.access.doors import require
from streams.web.access.routes import reader
from streams.web.api.router import ApiSources, api_router, kafka_sources
from streams.web.binding import Binding, check_binding
from streams.web.dashboard.address import Address, Calendar, parse_address, parse_shifts
from streams.web.dashboard.boards import Boards, Views
from streams.web.dashboard.loop_page import LOOP_PATH, add_loop_page, open_loop
from streams.web.dashboard.page import DashboardPage
from streams.web.dashboard.panels import TABLES
from streams.web.dashboard.tables import csv_table, file_name
from streams.web.recipes.page import PATH as RECIPES_PATH
from streams.web.recipes.page import Sources as RecipeSources
from streams.web.recipes.page import add_recipes_page
from streams.web.shell import make_web, page, page_shell, texts

TICK_S = 1.0  # live spans end with the clock, not with an event


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """What `lineside dashboard` was asked for. `since`: windows from then on are read at the start."""

    binding: Binding = field(default_factory=lambda: Binding(port=8080))
    since: datetime | None = None


@contextlib.asynccontextmanager
async def open_dashboard(settings: Settings, options: DashboardOptions) -> AsyncIterator[FastAPI]:
    """The dashboard's web app, ready to be served: what is newest is read."""
    async with contextlib.AsyncExitStack() as stack:
        publisher = Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings))
        await stack.enter_async_context(publisher)
        access = Access.from_settings(settings, AuditLog(publisher, "sign-in/dashboard", _now).record)
        check_binding(options.binding, access)
        overview = await stack.enter_async_context(Overview(settings, options.since))
        recipes = await stack.enter_async_context(RecipeDesk(settings, now_ms))
        sources = await stack.enter_async_context(kafka_sources(settings))
        loop = await stack.enter_async_context(open_loop(settings))
        web = await stack.enter_async_context(dashboard_web(settings, access, overview, recipes, sources))
        add_loop_page(loop)
        yield web


@contextlib.asynccontextmanager
async def dashboard_web(
    settings: Settings, access: Access, overview: Views, recipes: RecipeDesk, sources: ApiSources
) -> AsyncIterator[FastAPI]:
    """The web app over an overview that is at work. Pictures come from `sources`, as the whole of `/api` does."""
    boards = Boards(overview, calendar_of(settings), _now)
    ticking = asyncio.create_task(_tick(boards))
    pages = (("/", "page_lines"), (RECIPES_PATH, "page_recipes"), (LOOP_PATH, "page_loop"))
    web = make_web(settings, access, "Lineside", pages)
    web.state.is_connected = lambda: overview.connected
    web.include_router(api_router(sources, reader))
    web.include_router(_table_router(boards))
    _add_page(boards)
    add_recipes_page(RecipeSources(recipes, lambda: _lines(boards), lambda: overview.connected, now_ms))
    try:
        yield web
    finally:
        ticking.cancel()


def calendar_of(settings: Settings) -> Calendar:
    """The plant's time. CallerError for shifts that can't be."""
    step = timedelta(seconds=settings.window_s)
    return Calendar(ZoneInfo(settings.timezone), parse_shifts(settings.shift_starts), step)


def _add_page(boards: Boards) -> None:
    @page("/")
    def dashboard_page() -> None:
        require()
        t = texts("dashboard")
        address = parse_address(ui.context.client.request.query_params, boards.calendar.zone)
        with page_shell("dashboard", fill=address.wall) as frame, frame.main:
            frame.main.classes("is-wall" if address.wall else "")
            DashboardPage(boards, address, t)


def _table_router(boards: Boards) -> APIRouter:
    """The numbers of each chart, for whom `reader` admits."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(reader)])

    @router.get("/dashboard/{name}.csv")
    async def table(name: str, request: Request) -> Response:
        if name not in TABLES:
            raise HTTPException(404, f"no such table; there are {', '.join(TABLES)}")
        address = parse_address(request.query_params, boards.calendar.zone)
        span = boards.span(address)
        await boards.overview.ensure(span)
        view = boards.overview.view(address.scope, span)
        headers = {"Content-Disposition": f'attachment; filename="{file_name(name, view)}"'}
        return Response(csv_table(name, view), media_type="text/csv; charset=utf-8", headers=headers)

    return router


def _lines(boards: Boards) -> set[tuple[str, str]]:
    """Plant and line of all stations that are known."""
    view = boards.overview.view(Address().scope, boards.span(Address()))
    return {(plant, line) for plant, line, _ in view.stations}


async def _tick(boards: Boards) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        boards.tick()


def _now() -> datetime:
    return datetime.now(UTC)
