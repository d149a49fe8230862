"""Asks a program on this machine how it is: its `/alive` and `/progressing`.

Place in the flow: the supervisor of `lineside up` and `lineside health`. Blocks for up to a few seconds.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from streams.commands.patience import Sign
from streams.monitor import HOST

ANSWER_TIMEOUT_S = 3.0


def ask(port: int, path: str) -> tuple[bool, dict[str, Any]]:
    """Whether the answer is good, and its body; OSError where nobody answers as a program of ours does."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read())
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"no answer of ours at {HOST}:{port}{path}: {error!r}") from error
    finally:
        connection.close()
    return response.status == http.client.OK, body if isinstance(body, dict) else {}


def sign_of(port: int) -> Sign:
    """How the program with this metrics_port is."""
    try:
        if not ask(port, "/alive")[0]:
            return Sign.SILENT
        _, body = ask(port, "/progressing")
    except OSError:
        return Sign.SILENT
    return Sign.STUCK if body.get("stuck") else Sign.WELL


def free_port() -> int:
    """A port of this machine that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
