"""What every request must pass before any page or route sees it, and the headers that every answer carries.

Place in the flow: the outermost layer of each web app. It refuses foreign Host headers (DNS rebinding), web sockets and
unsafe methods that another site's page sent (cross-site request forgery, hijacked web sockets), and identity headers
from peers that are not the configured proxy. Does not know users or pages.

Sources: OWASP cheat sheets on CSRF prevention (origin checks, fetch metadata) and on web sockets; CSP level 3.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SOCKET_PATH = "/_nicegui_ws/"  # NiceGUI's own, by polling too, and it answers every origin: so we ask for each request
SESSION_COOKIE = "lineside_session"
DOCS_PATH = "/docs"
POLICY_VIOLATION = 1008

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Rules:
    """Names this server goes by (an IP literal is always one), and the proxies whose `proxy_header` names the user."""

    hosts: frozenset[str] = frozenset()
    proxy_header: str = ""
    proxies: tuple[Network, ...] = field(default=())


def refusal(scope: Scope, rules: Rules) -> str | None:
    """Why a request (ASGI scope) is refused, None where it may pass."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not is_known_host(host, rules.hosts):
        return "Host: this server does not go by that name; add it to LINESIDE_WEB_HOSTS if it should"
    named = headers.getlist(rules.proxy_header) if rules.proxy_header else []
    if named and not _from_proxy(scope, rules):
        return f"{rules.proxy_header}: only the configured proxy may say who a user is"
    if len(named) > 1:
        return f"{rules.proxy_header}: came twice; the proxy must replace what a browser sends, not add to it"
    if scope["type"] == "websocket":
        return None if _is_own_origin(scope, headers) else "Origin: another site may not open this socket"
    if scope["method"] in SAFE_METHODS and not scope["path"].startswith(SOCKET_PATH):
        return None
    return None if _sent_by_own_page(scope, headers, bool(named)) else "Origin: another site may not send this"


def session_cookie(connection: HTTPConnection) -> str:
    """The cookie's name: by port, because browsers share cookies among the ports of a host, and so among our pages."""
    server = connection.scope.get("server") or ("", None)
    return f"{SESSION_COOKIE}_{server[1] or 0}"


def is_known_host(host: str, names: frozenset[str]) -> bool:
    """True for IP literals, localhost and `names`; any other name could be one that an attacker's DNS points here."""
    try:
        name = urlsplit(f"//{host}").hostname
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    if not name or any(c in host for c in "@/\\?# "):
        return False
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_same_origin(origin: str | None, host: str) -> bool:
    """True where the page at `origin` was served under `host`."""
    if not origin:
        return False
    parts = urlsplit(origin)
    default = {"http": ":80", "https": ":443"}.get(parts.scheme)
    return default is not None and parts.netloc.removesuffix(default) == host.removesuffix(default)


def _is_own_origin(scope: Scope, headers: Headers) -> bool:
    """Where this server speaks TLS itself, a page of its name that came without is a forgery. A proxy may add TLS."""
    origin = headers.get("origin", "")
    if scope.get("scheme") in ("https", "wss") and not origin.startswith("https:"):
        return False
    return is_same_origin(origin, headers.get("host", ""))


def _sent_by_own_page(scope: Scope, headers: Headers, by_proxy: bool) -> bool:
    if "origin" in headers:
        return _is_own_origin(scope, headers)
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    is_recognised = by_proxy or SESSION_COOKIE in headers.get("cookie", "")
    return scope["method"] in SAFE_METHODS or not is_recognised  # no browser sent this


def _from_proxy(scope: Scope, rules: Rules) -> bool:
    peer = scope.get("client")
    return peer is not None and is_within(peer[0], rules.proxies)


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """True where an IP address lies in one of the networks."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks from a list with commas; ValueError for what is none."""
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def content_policy(nonce: str, path: str) -> str:
    """The Content-Security-Policy of a page.

    'unsafe-eval': NiceGUI evaluates its own server's messages and Vue compiles templates; scripts in the page need the
    nonce all the same. Styles are written inline by Vue and Quasar.
    """
    scripts = "'unsafe-inline'" if path == DOCS_PATH else f"'nonce-{nonce}' 'unsafe-eval'"
    return (
        f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class SecurityMiddleware:
    """ASGI layer: `refusal` first, then the headers of every answer. The nonce is in `scope["csp_nonce"]`."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if (reason := refusal(scope, self._rules)) is not None:
            return await _refuse(reason, scope, receive, send)
        if scope["type"] == "websocket":
            return await self._app(scope, receive, send)
        scope["csp_nonce"] = nonce = secrets.token_urlsafe(16)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(raw=message["headers"]), nonce, scope["path"])
            await send(message)

        return await self._app(scope, receive, send_with_headers)


async def _refuse(reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose(code=POLICY_VIOLATION, reason=reason)(scope, receive, send)
    else:
        await PlainTextResponse(reason, status_code=403)(scope, receive, send)


def _add_headers(headers: MutableHeaders, nonce: str, path: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Content-Security-Policy"] = content_policy(nonce, path)
    headers.setdefault("Cache-Control", "no-cache" if path.startswith("/static") else "no-store")
