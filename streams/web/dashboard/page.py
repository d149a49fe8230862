"""The dashboard's page: sends its board what is new, answers clicks with pictures, follows its address.

Place in the flow: one instance a browser page, over boards that all pages share. Pushed by the overview, at most
every UPDATE_EVERY_S; a hidden page is sent nothing and catches up when it is seen again. What comes from the
browser is parsed as a stranger's. Knows the shell; counts and decides nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import parse_qsl

from nicegui import ui
from nicegui.element import Element
from nicegui.elements import echart
from nicegui.events import GenericEventArguments

from streams.errors import LinesideError
from streams.web.dashboard.address import Address, parse_address
from streams.web.dashboard.boards import Board, Boards
from streams.web.dashboard.choices import Wanted, wanted
from streams.web.dashboard.gallery import pictures
from streams.web.dashboard.panels import TABLES
from streams.web.dashboard.wording import Wording
from streams.web.i18n import Texts

log = logging.getLogger(__name__)
UPDATE_EVERY_S = 0.3  # a little less than statistics publish, so as to follow their pace and not to wait for the next
TICK_S = 0.9  # an update less than this ago has shown what time alone changes
QUERY_MAX_CHARS = 1_000
BROWSER_TEXTS = (
    "csv", "png", "copy_link", "copied", "wall", "wall_end", "show", "custom", "from", "to", "close", "updated",
    "loading_pictures", "no_pictures", "no_pictures_hint", "end_of_pictures", "picture_gone",
    "loading_windows", "back", "previous", "next", "failed", "contact_live", "contact_late", "contact_lost",
)  # fmt: skip
_stamps = itertools.count()

echart.EChart  # noqa: B018  # makes the browser know where ECharts lies


class BoardElement(Element, component="board.js"):
    """Everything under the header, drawn by the browser from panels."""

    def __init__(self, t: Texts, panels: Mapping[str, str], meta: Mapping[str, Any]) -> None:
        super().__init__()
        self.props["first"] = {"panels": dict(panels), "meta": dict(meta)}
        self.props["texts"] = {key: t(key) for key in BROWSER_TEXTS} | {"units": [t(f"age_{u}") for u in UNITS]}
        self.props["tables"] = list(TABLES)
        self.props["zone"] = t.zone.key

    def send(self, method: str, value: Mapping[str, Any]) -> None:
        """Call one of the board's methods."""
        self.run_method(method, json.dumps(value, ensure_ascii=False))


UNITS = ("s", "min", "h", "d")


class DashboardPage:
    """See the module. Make it inside the page's function, within the shell's frame."""

    def __init__(self, boards: Boards, address: Address, t: Texts) -> None:
        self._boards, self._address, self._t = boards, address, t
        self._client = ui.context.client
        self._is_seen = self._is_loading = True
        self._updated_s = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._unfollow: Callable[[], None] = lambda: None
        self._gallery: tuple[int, Wanted] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        board = boards.board(address, t)
        self._sent, self._told = dict(board.panels), self._meta(board)
        self._element = BoardElement(t, board.panels, self._told)
        for name, act in (("go", self._go), ("open", self._open), ("more", self._more), ("seen", self._seen)):
            self._element.on(name, act)
        self._client.on_connect(self._arrive)
        self._client.on_disconnect(self._depart)
        self._client.on_delete(self._depart)

    # --- what the page follows ---------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show soon what has changed, many changes at once."""
        if self._due is None and self._is_seen:
            loop = asyncio.get_running_loop()
            self._due = loop.call_at(max(loop.time(), self._updated_s + UPDATE_EVERY_S), self._update)

    def _tick(self) -> None:
        if asyncio.get_running_loop().time() - self._updated_s >= TICK_S:
            self.refresh()

    def _arrive(self) -> None:
        self._unfollow()
        unfollow, forget = self._boards.overview.on_change(self.refresh), self._boards.on_tick(self._tick)
        self._unfollow = lambda: (unfollow(), forget())[0]
        self._run(self._load())

    def _depart(self) -> None:
        self._unfollow()
        self._unfollow = lambda: None

    async def _load(self) -> None:
        """Have the windows of the span read, where they are older than what is held."""
        self._is_loading = True
        try:
            await self._boards.overview.ensure(self._boards.span(self._address))
        except LinesideError as error:
            log.warning("older windows can't be read: %s", error)
        self._is_loading = False
        self._update()

    def _update(self) -> None:
        self._due, self._updated_s = None, asyncio.get_running_loop().time()
        if self._client.is_deleted or not self._is_seen:
            return
        board = self._boards.board(self._address, self._t)
        news = {name: text for name, text in board.panels.items() if self._sent.get(name) != text}
        meta = self._meta(board)
        if news or _lasting(meta) != _lasting(self._told):
            self._sent, self._told = dict(board.panels), meta
            self._element.send("show", {"panels": news, "meta": meta})

    def _meta(self, board: Board) -> dict[str, Any]:
        """What belongs to the whole page: how new it is."""
        newest = board.view.newest_at
        return {
            "newest": None if newest is None else round(newest.timestamp() * 1000),
            "through": json.dumps({str(p): offset for p, offset in board.view.through.items()}),
            "now": round(self._boards.clock().timestamp() * 1000),
            "stamp": next(_stamps),
            "loading": self._is_loading,
        }

    # --- what its user does ------------------------------------------------------------------------------------------

    def _seen(self, event: GenericEventArguments) -> None:
        self._is_seen = bool(event.args)
        if self._is_seen:
            self._update()

    async def _go(self, event: GenericEventArguments) -> None:
        query = dict(parse_qsl(str(event.args)[:QUERY_MAX_CHARS].removeprefix("?")))
        self._address = parse_address(query, self._boards.calendar.zone)
        await self._load()

    async def _open(self, event: GenericEventArguments) -> None:
        args = event.args if isinstance(event.args, dict) else {}
        board = self._boards.board(self._address, self._t)
        found = wanted(args.get("panel"), args.get("key"), board.view, self._address.scope, self._words())
        if found is None:
            return
        self._gallery = (next(_stamps), found)
        self._element.send("gallery", {"id": self._gallery[0], "title": found.title})
        await self._more_pictures(None)

    async def _more(self, event: GenericEventArguments) -> None:
        args = event.args if isinstance(event.args, dict) else {}
        if self._gallery is not None and args.get("id") == self._gallery[0] and isinstance(args.get("cursor"), str):
            await self._more_pictures(args["cursor"])

    async def _more_pictures(self, cursor: str | None) -> None:
        if self._gallery is None:
            return
        number, of = self._gallery
        try:
            page = await self._boards.overview.gallery(of.scope, of.span, of.choice, cursor)
        except (LinesideError, ValueError) as error:
            log.warning("no pictures of %s: %s", of.choice, error)
            self._element.send("pictures", {"id": number, "items": [], "cursor": None, "failed": True})
        else:
            self._element.send("pictures", {"id": number, **pictures(page, self._words())})

    def _words(self) -> Wording:
        return Wording(self._t, self._boards.clock())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _lasting(meta: Mapping[str, Any]) -> list[Any]:
    """What makes a page worth telling again: not the time alone."""
    return [meta["newest"], meta["through"], meta["loading"]]
