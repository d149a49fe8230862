"""What an HTTP client is told when it gets no answer: problem details (RFC 9457) for every error of these routes.

Knows status codes and texts; the routes say which error is which. Never repeats an address or a path of this machine:
those are for the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from streams.errors import LinesideError

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


class ProblemError(Exception):
    """Ends a request with this status. `kind` names the problem in a URN, `detail` is a sentence for a person."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        body = {
            "type": f"urn:lineside:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} | self.headers
        return JSONResponse(body, self.status, headers, MEDIA_TYPE)


def try_again(kind: str, detail: str, status: int = 503) -> ProblemError:
    """A problem that passes: 503, or 429 where this server is busy."""
    return ProblemError(status, kind, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


class ProblemRoute(APIRoute):
    """A route whose every error is a problem, that of a wrong parameter and of a missing sign-in included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as problem:
                return problem.response()
            except RequestValidationError as error:
                return _of_parameters(error).response()
            except (HTTPException, StarletteHTTPException) as error:
                return _of_status(error).response()
            except LinesideError:
                log.exception("%s gets no answer", request.url.path)
                return try_again(
                    "unavailable", "What this needs does not answer just now; the log says why."
                ).response()

        return answer


def _of_parameters(error: RequestValidationError) -> ProblemError:
    wrong = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}; came {e.get('input')!r:.80}" for e in error.errors()]
    return ProblemError(422, "parameters", "; ".join(wrong[:5]))


def _of_status(error: StarletteHTTPException) -> ProblemError:
    return ProblemError(error.status_code, "refused", str(error.detail), headers=error.headers)


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 lays it out."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:lineside:problem:picture-missing"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["No picture with this digest is in the frame store."])


def documented(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` of these errors: `documented(s404="…")`."""
    content = {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}
    return {int(name[1:]): {"description": text, "content": content} for name, text in descriptions.items()}
