"""Who may send a request, asked of bare ASGI scopes: where we speak TLS, and behind a proxy that names the user."""

from typing import Any

import pytest

from streams.web.security import Rules, networks, refusal

BEHIND_PROXY = Rules(frozenset(), "x-user", networks("127.0.0.0/8"))


def request(method: str = "POST", scheme: str = "http", **headers: str) -> dict[str, Any]:
    pairs = {"host": "127.0.0.1"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in pairs.items()]
    kind = "websocket" if scheme in ("ws", "wss") else "http"
    return {
        "type": kind,
        "method": method,
        "path": "/",
        "scheme": scheme,
        "headers": raw,
        "client": ("127.0.0.1", 5),
    }


@pytest.mark.parametrize(
    ("scheme", "origin", "passes"),
    [
        ("http", "http://127.0.0.1", True),
        ("ws", "http://127.0.0.1", True),
        ("http", "https://127.0.0.1", True),  # a proxy in front of us speaks TLS
        ("https", "https://127.0.0.1", True),
        ("wss", "https://127.0.0.1", True),
        ("https", "http://127.0.0.1", False),
        ("wss", "http://127.0.0.1", False),
    ],
)
def test_where_we_speak_tls_a_page_of_our_name_without_it_is_a_forgery(scheme: str, origin: str, passes: bool) -> None:
    assert (refusal(request(scheme=scheme, origin=origin), Rules()) is None) == passes


def test_a_user_header_that_came_twice_is_refused() -> None:
    asked = request("GET", x_user="eva")
    assert refusal(asked, BEHIND_PROXY) is None
    asked["headers"].append((b"x-user", b"li"))
    assert "came twice" in (refusal(asked, BEHIND_PROXY) or "")


def test_what_a_proxy_passes_on_counts_as_sent_by_a_browser() -> None:
    assert "Origin" in (refusal(request(x_user="eva"), BEHIND_PROXY) or "")
    assert refusal(request(x_user="eva", origin="http://127.0.0.1"), BEHIND_PROXY) is None
