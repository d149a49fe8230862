"""A server on loopback that gives one file, as badly as a test wants."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class WeightsServer:
    """A context. `asked` are the ranges of all requests, empty for the whole; `cuts`: after how many bytes each of the
    first answers breaks off; without `knows_ranges` every answer is the whole file.
    """

    def __init__(self, data: bytes, cuts: tuple[int, ...] = (), knows_ranges: bool = True, status: int = 200) -> None:
        self.data, self.asked = data, list[str]()
        left, outer = list(cuts), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range", "")
                outer.asked.append(wanted)
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and knows_ranges else 0
                if start >= len(outer.data) or status != 200:
                    self.send_error(416 if status == 200 else status)
                    return
                rest = outer.data[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest[: left.pop(0)] if left else rest)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
