"""A read-only schema registry over HTTP on loopback, in the Confluent REST format.

Place in the flow: `lineside broker` and `lineside up` start it beside the embedded Kafka, so that ksqlDB, Connect,
kafkajs and Java decode our events from the first minute. It answers look-ups of what it was given at its start and
refuses all else. Does not know where schemas come from, nor Kafka.

Paths: the Confluent Schema Registry API reference. Registering a schema that is already there returns its id, as
clients with automatic registration expect; a new one is refused (42205).
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import unquote, urlsplit

from streams.bus.registry_lookup import READ_ONLY, Registry, RegistryEntry, RegistryError
from streams.errors import CallerError

__all__ = ["RegistryEntry", "RegistryServer"]

HOST = "127.0.0.1"
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
MAX_BODY_BYTES = 1 << 20
IDLE_TIMEOUT_S = 30.0

log = logging.getLogger(__name__)


Route = tuple[str, re.Pattern[str], Callable[..., Any]]
_S, _V, _I = "([^/]+)", "([^/]+)", "([0-9]{1,10})"
ROUTES: tuple[Route, ...] = tuple(
    (method, re.compile(path), answer)
    for method, path, answer in (
        ("GET", "/", lambda registry: {}),
        ("GET", "/subjects", Registry.subjects),
        ("GET", f"/subjects/{_S}/versions", Registry.versions),
        ("GET", f"/subjects/{_S}/versions/{_V}", Registry.version),
        ("GET", f"/subjects/{_S}/versions/{_V}/schema", Registry.raw_version),
        ("GET", f"/schemas/ids/{_I}", Registry.by_id),
        ("GET", f"/schemas/ids/{_I}/schema", Registry.raw_by_id),
        ("GET", f"/schemas/ids/{_I}/subjects", Registry.subjects_of_id),
        ("GET", f"/schemas/ids/{_I}/versions", Registry.versions_of_id),
        ("GET", "/schemas/types", Registry.types),
        ("GET", "/config", Registry.compatibility),
        ("GET", f"/config/{_S}", Registry.compatibility),
        ("GET", "/mode", Registry.mode),
        ("GET", f"/mode/{_S}", Registry.mode),
        ("POST", f"/subjects/{_S}", Registry.lookup),
        ("POST", f"/subjects/{_S}/versions", Registry.register),
    )
)


class _Handler(BaseHTTPRequestHandler):
    """One connection; `registry` is set by the server's own subclass."""

    registry: ClassVar[Registry]
    protocol_version = "HTTP/1.1"
    server_version = "Lineside"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S

    def answer(self) -> None:
        """Finds the route, runs it, sends JSON."""
        try:
            body = self._body()
            status, content = 200, self._route(body)
        except RegistryError as error:
            status, content = error.status, {"error_code": error.code, "message": str(error)}
        self._send(status, content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = answer  # noqa: N815

    def _route(self, body: bytes) -> Any:
        path = urlsplit(self.path).path.rstrip("/") or "/"
        matches = [(method, match, run) for method, regex, run in ROUTES if (match := regex.fullmatch(path))]
        for method, match, run in matches:
            if method == self.command:
                arguments: list[Any] = [unquote(part) for part in match.groups()]
                return run(self.registry, *arguments, *([_parsed(body)] if method == "POST" else []))
        if self.command != "GET":
            raise RegistryError(405, 405, f"{self.command} is not allowed: {READ_ONLY}")
        raise RegistryError(404, 404, "HTTP 404 Not Found")

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise RegistryError(413, 413, f"expected a body of at most {MAX_BODY_BYTES} bytes with its Content-Length")
        return self.rfile.read(int(length))

    def _send(self, status: int, content: Any) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(payload)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise RegistryError(422, 42201, 'expected {"schema": "<an Avro schema as text>"}')
    return parsed


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a registry client broke off", exc_info=True)


class RegistryServer:
    """The registry on 127.0.0.1; a port of 0 is a free one. CallerError where the port is taken."""

    def __init__(self, entries: Sequence[RegistryEntry], port: int = 0) -> None:
        self._handler = type("Handler", (_Handler,), {"registry": Registry(entries)})
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def start(self) -> str:
        """Starts to answer in a thread of its own and returns the address."""
        if self._server is None:
            try:
                self._server = _Server((HOST, self._port), self._handler)
            except OSError as error:
                raise CallerError(
                    f"the schema registry can't listen at {HOST}:{self._port}: {error.strerror}; name another port,"
                    " or 0 for a free one"
                ) from error
            self._port = self._server.server_address[1]
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.1,), name="registry", daemon=True
            )
            self._thread.start()
        return self.url

    def stop(self) -> None:
        """Stops answering; stopping twice is no error."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
