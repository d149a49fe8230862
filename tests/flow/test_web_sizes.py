"""What a stranger sends is bounded before anything is kept of it: heads, bodies and messages, over real sockets."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from nicegui import ui
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streams.settings import Settings
from streams.web import shell
from streams.web.access.access import Access
from streams.web.sizes import BODY_MAX_BYTES, HEAD_MAX_BYTES, MESSAGE_MAX_BYTES
from tests.web_apps import nicegui_put_back, serving

PATH = "/access/session"
TAKEN_BEFORE_THE_REFUSAL = 4 << 20  # what sockets hold between the two


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    with nicegui_put_back():
        yield


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    web = shell.make_web(Settings(data_dir=tmp_path), Access(tmp_path / "users.json"), "Lineside")

    @shell.page("/")
    def front() -> None:
        ui.label("here")

    async with serving(web) as url:
        yield url


async def status_after(url: str, head: str, block: bytes = b"", blocks: int = 0) -> tuple[int, int]:
    """The status of the answer, and how many bytes went out before it came; 0 where the server hung up."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    sent = 0
    try:
        writer.write(head.replace("HOST", parts.netloc).encode())
        answer = asyncio.ensure_future(reader.readline())
        for _ in range(blocks):
            writer.write(block)
            await asyncio.wait_for(writer.drain(), 5)
            sent += len(block)
            await asyncio.sleep(0)
            if answer.done():
                break
        line = await asyncio.wait_for(answer, 5)
    except ConnectionError:
        line = b""
    finally:
        writer.close()
    found = re.match(rb"HTTP/1.1 (\d+)", line)
    return (int(found[1]) if found else 0), sent


POST = f"POST {PATH} HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("length", [str(BODY_MAX_BYTES + 1), str(10**30)])
async def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(url: str, length: str) -> None:
    status, sent = await status_after(url, f"{POST}Content-Length: {length}\r\n\r\n")
    assert status in (413, 400)  # a number of thirty digits is no number to the server itself
    assert sent == 0


async def test_a_body_in_chunks_without_end_is_cut_off(url: str) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    status, sent = await status_after(url, f"{POST}Transfer-Encoding: chunked\r\n\r\n", chunk, 1000)
    assert status in (413, 0)
    assert sent < BODY_MAX_BYTES + TAKEN_BEFORE_THE_REFUSAL


async def test_a_body_at_the_limit_is_read(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        body = b'{"ticket": "%s"}' % (b"x" * (BODY_MAX_BYTES - 14))
        assert len(body) == BODY_MAX_BYTES
        answer = await http.post(PATH, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, "ticket" in answer.text) == (403, True)


async def test_values_within_values_without_end_are_no_body(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.post(PATH, content=b"[" * 100_000, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)


async def test_a_head_without_end_is_cut_off(url: str) -> None:
    head = "GET /health HTTP/1.1\r\nHost: HOST\r\n"
    status, sent = await status_after(url, head, b"X-A: " + b"x" * 8_000 + b"\r\n", 2_000)
    assert status in (400, 431, 0)
    assert sent < HEAD_MAX_BYTES + TAKEN_BEFORE_THE_REFUSAL
    long_line = f"GET /health?x={'x' * 16 * HEAD_MAX_BYTES} HTTP/1.1\r\nHost: HOST\r\n\r\n"
    assert (await status_after(url, long_line))[0] in (400, 0)
    assert (await status_after(url, "GET /health HTTP/1.1\r\nHost: HOST\r\n\r\n"))[0] == 200


async def _until_closed(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


async def test_a_message_beyond_the_limit_closes_its_socket_and_no_other(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        found = re.search(r"client_id\W+([0-9a-f-]{36})", (await http.get("/")).text)
    assert found is not None
    query = f"EIO=4&transport=websocket&client_id={found[1]}&next_message_id=0&tab_id=t&document_id=d"
    address = f"{url.replace('http', 'ws')}/_nicegui_ws/socket.io/?{query}"
    async with connect(address, origin=url) as good, connect(address, origin=url) as bad:
        await bad.recv()
        await bad.send("4" + "x" * MESSAGE_MAX_BYTES)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(_until_closed(bad), 20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert (await good.recv()).startswith("0{")
