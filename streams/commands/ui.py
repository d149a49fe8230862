"""What a person sees of long work: steps, progress bars, tables. All goes to stderr: stdout is the result's."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from streams.commands.report import Report


class Advance(Protocol):
    """Moves a bar to the number done so far; `total` and `note` change what stands beside it."""

    def __call__(self, done: int, note: str = "", total: int | None = None) -> None: ...


Done = TypeVar("Done")
MakeBar = Callable[[str, int | None], Advance]


async def stoppable(work: Callable[[Callable[[], None]], Done]) -> Done:
    """Work done off the event loop. Now and then it calls what it is given: that raises KeyboardInterrupt in it once
    the wait for it was cancelled (Ctrl-C).
    """
    cancelled = threading.Event()

    def go_on() -> None:
        if cancelled.is_set():
            raise KeyboardInterrupt

    try:
        return await asyncio.to_thread(work, go_on)
    except asyncio.CancelledError:
        cancelled.set()
        raise


class Ui:
    """The terminal. Where stderr is none, bars are left out and the steps remain as lines."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step that has no measurable progress."""
        started = time.monotonic()
        yield
        self.say(f"✓ {name} ({time.monotonic() - started:.1f} s)")

    @contextlib.contextmanager
    def bars(self) -> Iterator[MakeBar]:
        """Progress bars, one under the other, with rate and time left."""
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as progress:

            def make(name: str, total: int | None) -> Advance:
                task = progress.add_task(name, total=total, note="", rate="")

                def advance(done: int, note: str = "", total: int | None = None) -> None:
                    speed = progress.tasks[task].speed
                    more: dict[str, Any] = {"total": total} if total is not None else {}
                    rate = f"{speed:.0f}/s" if speed else ""
                    progress.update(task, completed=done, note=note, rate=rate, **more)

                return advance

            yield make

    def table(self, title: str, rows: Iterable[tuple[str, str]]) -> None:
        """Two columns: name and value."""
        table = Table(title=title, show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column()
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def show(self, table: Table) -> None:
        """A table of any columns."""
        self._console.print(table)

    def report(self, figures: Report) -> None:
        """The table at the end of a run."""
        self.table(f"Lineside · {figures.source}", report_rows(figures))


def report_rows(figures: Report) -> Iterator[tuple[str, str]]:
    """The report's lines: name and value with unit."""
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
    yield "batches", ", ".join(f"{times} of {size}" for size, times in figures.batches.items()) or "none"


def _number(value: float | None, unit: str) -> str:
    return "n/a" if value is None else f"{value:.1f} {unit}"
