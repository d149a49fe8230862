"""HTTP's side of signing in: the cookie, and the door of routes that machines read.

Place in the flow: pages sign a user in over their web socket (`forms.py`) and trade a ticket for the cookie here;
routes of the reading interface take `Depends(reader)`. Does not know NiceGUI.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from streams.web.access.users import Role, User
from streams.web.context import context_of
from streams.web.security import session_cookie

LOCAL_READER = User("local", "local", frozenset({Role.READER}))
TOKEN = HTTPBearer(auto_error=False, description="A token of `lineside users token`.")  # also says it in OpenAPI

router = APIRouter(include_in_schema=False)


class Ticket(BaseModel):
    """What a page's browser trades."""

    ticket: str


@router.post("/access/session", status_code=204)
async def take_cookie(body: Ticket, request: Request, response: Response) -> None:
    """Trade a ticket for the session's cookie."""
    session_id = context_of(request).tickets.trade(body.ticket)
    if session_id is None:
        raise HTTPException(403, "the ticket is unknown, used or too old; sign in again")
    is_https = request.url.scheme == "https"
    name = session_cookie(request)
    response.set_cookie(name, session_id, httponly=True, samesite="strict", secure=is_https, path="/")


async def reader(
    request: Request, token: Annotated[HTTPAuthorizationCredentials | None, Security(TOKEN)] = None
) -> User:
    """Who reads: a machine by its bearer token, or a person by cookie or proxy; 401 for nobody. `Depends(reader)`."""
    access = context_of(request).access
    if request.headers.get("authorization"):
        user = access.by_token(token.credentials) if token else None
    else:
        peer = request.client.host if request.client else ""
        user = access.by_proxy(request.headers, peer) or access.user_of(request.cookies.get(session_cookie(request)))
        user = user or (LOCAL_READER if access.open_mode else None)
    if user is None:
        detail = "sign in, or send a token of `lineside users token` as Authorization: Bearer"
        raise HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})
    return user
