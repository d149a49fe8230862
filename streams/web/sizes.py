"""How much of a request is taken before anybody knows who sent it: heads, bodies, messages of a web socket.

Place in the flow: `shell` gives the limits to the server and puts `BodyLimitMiddleware` right behind the security
layer. No page and no route takes files. Knows no user and no route.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD_MAX_BYTES = 64 << 10  # a request line and its headers: a cursor takes 20,000, cookies 4,000 each
BODY_MAX_BYTES = 1 << 20  # the largest is a poll of NiceGUI's, which allows a million bytes itself
MESSAGE_MAX_BYTES = 1 << 20  # of a page to its server: events of fields and buttons, a few hundred bytes each
MESSAGES_MAX = 32  # that wait to be read


class BodyLimitMiddleware:
    """ASGI layer: a body over the limit is refused by its own word, or cut off where it grows beyond it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if not _is_taken(Headers(scope=scope).get("content-length", "0")):
            return await PlainTextResponse(_why(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)(scope, receive, send)
        taken = 0

        async def receive_bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_MAX_BYTES:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _why())
            return message

        return await self._app(scope, receive_bounded, send)


def _is_taken(content_length: str) -> bool:
    digits = len(str(BODY_MAX_BYTES))
    return content_length.isdecimal() and len(content_length) <= digits and int(content_length) <= BODY_MAX_BYTES


def _why() -> str:
    return f"expected a body of at most {BODY_MAX_BYTES} bytes"
