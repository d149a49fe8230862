"""Web apps one after the other in one process: NiceGUI is a global that is put back between two."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from fastapi import FastAPI
from nicegui import Client
from nicegui.testing.general import nicegui_reset_globals

from streams.web.binding import Binding
from streams.web.shell import serve

STOP_TIMEOUT_S = 15.0


@contextlib.contextmanager
def nicegui_put_back() -> Iterator[None]:
    """Before and after, NiceGUI knows no pages, clients or middleware."""
    with nicegui_reset_globals():
        yield
        Client.page_routes.clear()  # else the modules of our pages would be unloaded


@contextlib.asynccontextmanager
async def serving(web: FastAPI, binding: Binding = Binding()) -> AsyncIterator[str]:  # noqa: B008  # frozen
    """The app on a free port of loopback, in the caller's loop; the value is its address."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(web, binding, stop, ready.set_result))
    await asyncio.wait([server, ready], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await server
    try:
        yield ready.result()
    finally:
        stop.set()
        await asyncio.wait_for(server, STOP_TIMEOUT_S)
