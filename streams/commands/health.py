"""`lineside health`: asks the programs of this machine how they are, for people and for containers' health checks."""

from __future__ import annotations

import json
from typing import Any

from streams.commands.asking import ask
from streams.commands.ui import Ui
from streams.errors import CallerError
from streams.settings import Settings


def show_health(settings: Settings, ports: list[int], as_json: bool) -> bool:
    """Whether all of them are alive and progress. CallerError where there is nobody to ask."""
    named = [(str(port), port) for port in ports]
    if not named:
        files = sorted((settings.data_dir / "logs").glob("*.port"))
        named = [(file.stem, int(file.read_text())) for file in files]
    if not named:
        raise CallerError(
            f"no program of `lineside up` is known in {settings.data_dir}; name a metrics port, or that data directory"
        )
    answers = [_answer(name, port) for name, port in named]
    if as_json:
        print(json.dumps(answers, indent=2))
    else:
        Ui().table("Health", [(f"{a['program']} ({a['port']})", str(a.get("why", "well"))) for a in answers])
    return not any("why" in answer for answer in answers)


def _answer(name: str, port: int) -> dict[str, Any]:
    try:
        return {"program": name, "port": port, **ask(port, "/progressing")[1]}  # which is no better than /alive
    except OSError as error:
        return {"program": name, "port": port, "why": f"nobody answers: {error}"}
