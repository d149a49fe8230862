"""What a long-running program shows of itself: `/metrics`, `/alive`, `/progressing`, and systemd's watchdog.

Place in the flow: every command that serves until told to stop runs inside `monitored`. A task on the program's event
loop looks at its work; threads of their own answer, because an event loop that hangs must show as not alive. Listens
on 127.0.0.1 alone. What is good and what not, `health.py` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from streams.errors import OperatorError
from streams.health import Health, Limits, Work
from streams.sd_notify import notify, watchdog_every_s
from streams.settings import Settings

HOST = "127.0.0.1"
LOOK_S = 0.5
REQUEST_TIMEOUT_S = 5.0


class Monitor:
    """Looks at one program. `watch` says what its work is, as soon as it has some."""

    def __init__(self, health: Health) -> None:
        self.health = health
        self.port = 0  # 0: nobody listens
        self._work: Callable[[], Work] = Work

    def watch(self, work: Callable[[], Work]) -> None:
        """`work` is called on the event loop, twice a second; it must not wait."""
        self._work = work

    async def look(self) -> None:
        """Runs for ever on the event loop that shall be watched."""
        while True:
            self.health.look(time.monotonic(), self._work())
            await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def monitored(settings: Settings, program: str, registry: CollectorRegistry = REGISTRY) -> AsyncIterator[Monitor]:
    """The program's block, seen from outside; metrics_port 0 leaves the HTTP server out.

    OperatorError where another program listens on the metrics_port.
    """
    limits = Limits(settings.progress_within_s, settings.stall_timeout_s)
    monitor = Monitor(Health(program, version("lineside"), time.monotonic(), limits))
    with contextlib.ExitStack() as stack:
        if settings.metrics_port:
            server = _listen(settings.metrics_port, monitor.health, registry)
            monitor.port = server.server_port
            stack.callback(server.server_close)
            threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
            stack.callback(server.shutdown)
        if every_s := watchdog_every_s():
            ended = threading.Event()
            threading.Thread(target=feed, args=(monitor.health, every_s, ended), name="watchdog", daemon=True).start()
            stack.callback(ended.set)
        looking = asyncio.create_task(monitor.look(), name="health")
        try:
            yield monitor
        finally:
            notify("STOPPING=1")
            looking.cancel()


def feed(health: Health, every_s: float, ended: threading.Event) -> None:
    """Systemd's watchdog hears of a program as long as it is to be trusted; a drain may be as long as it takes."""
    while not ended.wait(every_s):
        if health.is_trusted(time.monotonic()):
            notify("WATCHDOG=1")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    """GET of three paths; everything else is 404."""

    timeout = REQUEST_TIMEOUT_S
    server_version = "lineside"
    sys_version = ""

    def __init__(self, health: Health, registry: CollectorRegistry, *args: object) -> None:
        self._health = health
        self._registry = registry
        super().__init__(*args)  # type: ignore[arg-type]  # it serves its request in there

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._send(200, CONTENT_TYPE_LATEST, generate_latest(self._registry))
            return
        questions = {"/alive": self._health.alive, "/progressing": self._health.progressing}
        if path not in questions:
            self._send(404, "text/plain", b"there are /metrics, /alive and /progressing\n")
            return
        answer = questions[path](time.monotonic())
        self._send(200 if answer.is_good else 503, "application/json", json.dumps(answer.body).encode() + b"\n")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Supervisors ask every few seconds: that is no news."""


def _listen(port: int, health: Health, registry: CollectorRegistry) -> _Server:
    try:
        return _Server((HOST, port), functools.partial(_Handler, health, registry))
    except OSError as error:
        raise OperatorError(
            f"metrics and health can't be served at {HOST}:{port} ({error.strerror}); end the program that listens"
            " there, or set another LINESIDE_METRICS_PORT"
        ) from error
