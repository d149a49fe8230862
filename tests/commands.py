"""`lineside … --json` within the test's own process, and what it said."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from streams.cli import app

RUN = CliRunner()


def lineside(*arguments: object) -> dict[str, Any]:
    """The JSON on stdout of a command that must succeed; raises what the command raises."""
    done = RUN.invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return said
