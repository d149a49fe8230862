"""The table of a run for people, and its JSON for machines. Pure but for the console it is given."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.chaos.judgement import Outcome
from streams.chaos.soak import Soaked

COLUMNS = (
    *("fault", "frames", "lost", "dupli-\ncates", "contra-\ndictions"),
    *("order\nbreaks", "promise-1\nbreaks", "recovery\ns", "longest\nwait s", ""),
)


def table(outcomes: Sequence[Outcome]) -> Table:
    """One row a fault."""
    made = Table(title="Lineside · chaos", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, name in enumerate(COLUMNS):
        made.add_column(name, justify="right" if 0 < number < len(COLUMNS) - 1 else "left", no_wrap=True)
    for found in outcomes:
        verdict = Text("pass", "green") if found.passed else Text("FAIL", "bold red")
        made.add_row(*_cells(found), verdict)
    return made


def _cells(found: Outcome) -> list[str]:
    counts = (
        found.frames,
        found.lost,
        found.duplicates,
        found.contradictions,
        found.order_breaks,
        found.promise_1_breaks,
    )
    return [found.fault, *map(str, counts), _seconds(found.recovery_s), f"{found.longest_wait_s:.1f}"]


def _seconds(recovery_s: float | None) -> str:
    if recovery_s is None:
        return "-"
    return "never" if math.isinf(recovery_s) else f"{recovery_s:.1f}"


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    """The table, and below it what is wrong, in sentences."""
    console.print(table(outcomes))
    for found in outcomes:
        for problem in found.problems:
            console.print(f"{found.fault}: {problem}", highlight=False, markup=False, soft_wrap=True)


def to_json(outcomes: Sequence[Outcome], left_out: Sequence[str] = ()) -> dict[str, Any]:
    """Figures of a run, with the machine that they are of; `left_out` are faults that it did not come to."""
    return {
        "passed": not left_out and all(found.passed for found in outcomes),
        "left_out": list(left_out),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()},
        "faults": [found.to_json() for found in outcomes],
    }


def show_soak(console: Console, soaked: Soaked) -> None:
    """Promises, then memory and descriptors of what was never killed, then what is wrong."""
    console.print(table([soaked.outcome]))
    made = Table(
        title=f"{soaked.duration_s / 60:g} min, {soaked.kills} kills; medians of middle and last third",
        title_justify="left",
    )
    for name in ("process", "RSS MiB", "growth", "descriptors"):
        made.add_column(name, justify="left" if name == "process" else "right", no_wrap=True)
    for found in soaked.steady:
        rss, fds = (f"{a:g} → {b:g}" for a, b in (found.rss_mib, found.descriptors))
        made.add_row(found.name, rss, f"{found.growth:+.1%}", fds)
    console.print(made)
    for problem in soaked.outcome.problems:
        console.print(problem, highlight=False, markup=False, soft_wrap=True)
