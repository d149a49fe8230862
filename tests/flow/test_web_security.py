"""A web app against hostile browsers and sites, over real sockets; each refusal beside what is let through."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI
from nicegui import ui
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streams.errors import CallerError
from streams.settings import Settings
from streams.web import shell
from streams.web.access.access import Access, SignedIn
from streams.web.access.doors import require
from streams.web.access.passwords import hash_secret, token_sha256
from streams.web.access.proxy import Proxy
from streams.web.access.routes import reader
from streams.web.access.users import Account, Role, User, write_accounts
from streams.web.binding import Binding
from streams.web.context import WebContext
from streams.web.security import SESSION_COOKIE, networks
from tests.web_apps import nicegui_put_back, serving

SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport={}&client_id={}&next_message_id=0&tab_id=t&document_id=d"
EVIL = "http://evil.example"
PASSWORD_HASH = hash_secret("correct horse")


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    with nicegui_put_back():
        yield


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    eva = Account("eva", "Eva M.", frozenset({Role.ENGINEER}), password_hash=PASSWORD_HASH)
    machine = Account("power-bi", "power-bi", frozenset({Role.READER}), token_sha256=token_sha256("lst_x"))
    write_accounts(path, [machine, eva])
    return path


def add_routes(web: FastAPI) -> None:
    """A page for anybody, one for engineers, a route that machines read, one that changes something."""

    @shell.page("/")
    def front(text: str = "") -> None:
        with shell.page_shell("access"):
            ui.label(text)

    @shell.page("/work")
    def work() -> None:
        require(Role.ENGINEER)

    @shell.page("/slow-work")
    async def slow_work() -> None:
        require(Role.ENGINEER)

    @web.get("/api/who")
    async def who(user: Annotated[User, Depends(reader)]) -> str:
        return user.name

    @web.post("/api/change")
    async def change() -> str:
        return "changed"


@pytest.fixture
def web(users_file: Path, tmp_path: Path) -> FastAPI:
    web = shell.make_web(Settings(data_dir=tmp_path), Access(users_file), "Lineside")
    add_routes(web)
    return web


@pytest.fixture
async def url(web: FastAPI) -> AsyncIterator[str]:
    async with serving(web) as url:
        yield url


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url) as client:
        yield client


def context_of(web: FastAPI) -> WebContext:
    context: WebContext = web.state.lineside
    return context


async def client_id(http: httpx.AsyncClient) -> str:
    """The id of a page that has just been made, as its browser gets it."""
    found = re.search(r"client_id\W+([0-9a-f-]{36})", (await http.get("/")).text)
    assert found is not None
    return found[1]


# ---- web sockets ----


async def test_nicegui_s_socket_opens_for_its_own_page_and_not_for_another_site(http, url: str) -> None:
    page = await client_id(http)
    address = url.replace("http", "ws") + SOCKET.format("websocket", page)
    async with connect(address, origin=url) as socket:
        assert (await socket.recv()).startswith("0{")
    for origin in (EVIL, "null", url.replace("127.0.0.1", "localhost"), url + "0", None):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address, origin=origin):
                pass
        assert refused.value.response.status_code == 403, origin


async def test_polling_instead_of_a_socket_is_no_way_around(http, url: str) -> None:
    page = await client_id(http)
    path = SOCKET.format("polling", page)
    assert (await http.get(path)).status_code == 200
    assert (await http.get(path, headers={"Origin": EVIL})).status_code == 403
    assert (await http.get(path, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert (await http.post(path, headers={"Origin": EVIL})).status_code == 403


# ---- unsafe methods ----


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "SELF"}, 200),
        ({"Origin": EVIL}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": EVIL, "Sec-Fetch-Site": "same-origin"}, 403),
        ({}, 200),  # no browser, and no cookie that could be misused
        ({"Cookie": f"{SESSION_COOKIE}_8090=x"}, 403),
    ],
)
async def test_a_post_comes_from_our_own_page_or_from_no_browser(http, url: str, headers, status: int) -> None:
    own = {name: url if value == "SELF" else value for name, value in headers.items()}
    assert (await http.post("/api/change", headers=own)).status_code == status


async def test_other_sites_may_link_to_us(http) -> None:
    assert (await http.get("/", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200


# ---- names ----


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost", "localhost:9", "[::1]:80", "192.0.2.7"])
async def test_addresses_and_localhost_are_ours(http, host: str) -> None:
    assert (await http.get("/health", headers={"Host": host})).json() == {"status": "up"}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "a@127.0.0.1", "[::1", "127.0.0.1/x", ""],
)
async def test_a_name_that_dns_rebinding_could_point_here_is_refused(http, host: str) -> None:
    answer = await http.get("/health", headers={"Host": host})
    assert answer.status_code in (400, 403)


# ---- headers ----


@pytest.mark.parametrize("path", ["/", "/sign-in", "/api/who", "/static/theme.css", "/no-such-page", "/docs"])
async def test_every_answer_carries_the_protective_headers(http, path: str) -> None:
    answer = await http.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert answer.headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in answer.headers


async def test_only_scripts_with_the_answer_s_own_nonce_run(http) -> None:
    first, second = await http.get("/"), await http.get("/")
    policies = {answer.headers["Content-Security-Policy"] for answer in (first, second)}
    assert len(policies) == 2
    script_src = next(part for part in first.headers["Content-Security-Policy"].split("; ") if "script-src" in part)
    assert "unsafe-inline" not in script_src
    nonce = script_src.split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}" type="importmap">' in first.text


async def test_hostile_text_in_a_page_gets_no_nonce_and_stays_text(http) -> None:
    answer = await http.get("/", params={"text": "</script><script>alert(1)</script>`${alert(2)}"})
    assert "<script>alert(1)" not in answer.text
    assert "${alert(2)}" not in answer.text


# ---- who may read ----


async def test_a_machine_reads_by_its_token_and_nobody_without(http) -> None:
    assert (await http.get("/api/who", headers={"Authorization": "Bearer lst_x"})).json() == "power-bi"
    for headers in ({}, {"Authorization": "Bearer lst_y"}, {"Authorization": "Basic eDp5"}, {"Cookie": "x=y"}):
        answer = await http.get("/api/who", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_ticket_becomes_a_cookie_once_that_no_script_and_no_other_site_gets(web, http, url: str) -> None:
    context = context_of(web)
    signed_in = await context.access.sign_in_password("eva", "correct horse", "192.0.2.7")
    assert isinstance(signed_in, SignedIn)
    ticket = context.tickets.issue(signed_in.session_id)
    assert (await http.post("/access/session", json={"ticket": ticket}, headers={"Origin": EVIL})).status_code == 403
    answer = await http.post("/access/session", json={"ticket": ticket}, headers={"Origin": url})
    assert answer.status_code == 204
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert cookie.startswith(f"{SESSION_COOKIE}_{url.rsplit(':', 1)[1]}="), "pages on other ports share the browser's"
    assert (await http.get("/api/who")).json() == "eva"
    http.cookies.clear()
    assert (await http.post("/access/session", json={"ticket": ticket}, headers={"Origin": url})).status_code == 403


@pytest.mark.parametrize("path", ["/work", "/slow-work"])
async def test_a_page_sends_strangers_to_sign_in_and_back(http, path: str) -> None:
    answer = await http.get(f"{path}?part=47%2F11&x=1")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/sign-in?next=%2F{path[1:]}%3Fpart%3D47%252F11%26x%3D1"


async def test_a_hostile_next_does_not_break_out_of_the_page(http) -> None:
    answer = await http.get("/sign-in", params={"next": "//evil.example/</script><script>alert(1)</script>"})
    assert answer.status_code == 200
    assert "evil.example" not in answer.text


# ---- proxies ----


@pytest.mark.parametrize(("proxies", "status"), [("127.0.0.0/8", 200), ("192.0.2.1", 403)])
async def test_a_user_header_counts_from_the_proxy_alone(users_file, tmp_path, proxies: str, status: int) -> None:
    access = Access(users_file, proxy=Proxy("x-user", networks(proxies)))
    web = shell.make_web(Settings(data_dir=tmp_path), access, "Lineside")
    add_routes(web)
    async with serving(web) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/api/who", headers={"X-User": "eva"})
        assert answer.status_code == status
        assert (await http.get("/work", headers={"X-User": "eva"})).status_code == status
        assert (await http.get("/api/who")).status_code == 401


# ---- serving ----


async def test_open_mode_reads_without_signing_in(tmp_path: Path) -> None:
    web = shell.make_web(Settings(data_dir=tmp_path), Access(tmp_path / "users.json"), "Lineside")
    add_routes(web)
    async with serving(web) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/api/who")).json() == "local"


async def test_the_server_shares_the_loop_and_stops_with_a_page_still_open(web) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(beat())
    async with serving(web) as url, httpx.AsyncClient(base_url=url) as http:
        page = await client_id(http)
        socket = await connect(url.replace("http", "ws") + SOCKET.format("websocket", page), origin=url)
        await socket.recv()
        before = beats
        await http.get("/health")
        assert beats > before
    other.cancel()
    await socket.close()


async def test_a_port_in_use_is_the_caller_s_mistake(web, url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with pytest.raises(CallerError, match=f"127.0.0.1:{port}"):
        await shell.serve(web, Binding(port=port), asyncio.Event(), lambda address: None)
