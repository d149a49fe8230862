"""What a person sees of long work: steps, progress bars, tables. All goes to stderr: stdout is the result's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from streams.commands.report import Report

Advance = Callable[[int], None]


class Ui:
    """The terminal. On no terminal the bars are left out and the steps remain as lines."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress: Progress | None = None

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step that has no measurable progress."""
        started = time.monotonic()
        yield
        self.say(f"[green]✓[/] {name} ({time.monotonic() - started:.1f} s)")

    @contextlib.contextmanager
    def progress(self, name: str, total: int | None) -> Iterator[Advance]:
        """A bar; call what is given with the number done so far."""
        outermost = self._progress is None
        bars = self._progress or Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        if outermost:
            self._progress = bars
            bars.start()
        task = bars.add_task(name, total=total, note="")
        try:
            yield lambda done: bars.update(task, completed=done)
        finally:
            if outermost:
                bars.stop()
                self._progress = None

    def report(self, figures: Report) -> None:
        """The table at the end of a run."""
        table = Table(title=f"Lineside · {figures.source}", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column()
        for name, value in rows(figures):
            table.add_row(name, value)
        self._console.print(table)


def rows(figures: Report) -> Iterator[tuple[str, str]]:
    """The table's lines: name and value with unit."""
    yield "frames", str(figures.frames)
    yield "verdicts", f"{figures.verdicts}  ({', '.join(f'{k} {v}' for k, v in figures.outcomes.items())})"
    yield "lost", str(figures.lost)
    yield "duplicates", str(figures.duplicates)
    yield "dead letters", str(figures.dead_letters)
    quality = figures.quality
    if quality.labelled:
        yield "labelled frames", f"{quality.labelled}" + (" (held-out part alone)" if figures.held_out_only else "")
        for name in ("accuracy", "escape", "overkill", "unsure"):
            yield name, str(getattr(quality, name))
    yield "trigger to verdict", ", ".join(f"{k} {_number(v, 'ms')}" for k, v in figures.latency_ms.items())
    yield "throughput", _number(figures.images_per_s, "images/s")
    yield "engine", f"{figures.engine}, model {figures.model_id or 'none'}"
    yield (
        "batches",
        ", ".join(f"{times} of {size}" for size, times in figures.batches.items()) or "none",
    )


def _number(value: Any, unit: str) -> str:
    return "n/a" if value is None else f"{value:.1f} {unit}"
