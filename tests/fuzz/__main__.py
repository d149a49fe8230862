"""`python -m tests.fuzz`: hostile pictures and events by the hundred thousand, each of which must end as it must.

    python -m tests.fuzz --pictures 100000 --events 100000 [--seed N] [--json]
    python -m tests.fuzz --seed N --only picture:4711        # one input again, in this process

Exit status 0 where all ended well and memory stayed flat, else 1. Failing inputs go to a folder, each with the command
that makes it again.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.fuzz.events import Events
from tests.fuzz.figures import Figures
from tests.fuzz.pictures import Pictures
from tests.fuzz.runner import HANG_S, Runner
from tests.fuzz.subject import Subject

SUBJECTS: dict[str, Callable[[int], Subject]] = {"picture": Pictures, "event": Events}
console = Console(stderr=True)


def main(
    pictures: Annotated[int, typer.Option(min=0, help="pictures to decode")] = 10_000,
    events: Annotated[int, typer.Option(min=0, help="events to inspect")] = 10_000,
    seed: Annotated[int | None, typer.Option(help="of all random numbers; a new one unless told")] = None,
    processes: Annotated[int, typer.Option(min=1)] = 2,
    hang_s: Annotated[float, typer.Option(help="processor seconds that one input may take")] = HANG_S,
    folder: Annotated[Path, typer.Option(help="where failing inputs go")] = Path("fuzz-failures"),
    only: Annotated[str, typer.Option(help="one input, such as picture:4711, in this process")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="figures as JSON on standard output")] = False,
) -> None:
    """Mutated pictures and events against the real code."""
    seed = secrets.randbelow(2**31) if seed is None else seed
    if only:
        _again(seed, only)
        return
    told: dict[str, Any] = {"seed": seed, "processes": processes}
    good = True
    for kind, count in (("picture", pictures), ("event", events)):
        if count:
            figures, ended = _run(kind, seed, count, processes, hang_s)
            _keep_failures(folder, kind, seed, figures)
            told[f"{kind}s"] = figures.to_json()
            good = good and figures.is_good
            if not as_json:
                _print(kind, seed, figures)
            if not ended:
                good = False
                break
    if as_json:
        print(json.dumps(told, indent=2))
    raise SystemExit(0 if good else 1)


def _run(kind: str, seed: int, count: int, processes: int, hang_s: float) -> tuple[Figures, bool]:
    """The figures, and whether all trials were made."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{kind}s", total=count)

        def progress(figures: Figures) -> None:
            failed = f", {len(figures.failures)} FAILED" if figures.failures else ""
            bar.update(task, completed=figures.trials, description=f"{kind}s, seed {seed}{failed}")

        runner = Runner(partial(SUBJECTS[kind], seed), count, processes, hang_s, progress)
        try:
            return runner.run(), True
        except KeyboardInterrupt:
            return runner.figures, False


def _again(seed: int, only: str) -> None:
    kind, _, number = only.partition(":")
    subject = SUBJECTS[kind](seed)
    try:
        case = subject.case(int(number))
        console.print(f"{len(case.data)} bytes", case.told)
        console.print(subject.trial(case))
    finally:
        subject.close()


def _keep_failures(folder: Path, kind: str, seed: int, figures: Figures) -> None:
    """Each failing input, made again from its number, and beside it what was wrong and how to see it again."""
    if not figures.failures:
        return
    folder.mkdir(parents=True, exist_ok=True)
    subject = SUBJECTS[kind](seed)
    try:
        for failure in figures.failures:
            case = subject.case(failure.number)
            name = f"{kind}-{seed}-{failure.number}"
            (folder / f"{name}.bin").write_bytes(case.data)
            again = f"python -m tests.fuzz --seed {seed} --only {kind}:{failure.number}"
            told = json.dumps(case.told, indent=2, default=repr)
            (folder / f"{name}.txt").write_text(f"{failure.kind}\n{again}\n{told}\n\n{failure.text}\n")
    finally:
        subject.close()


def _print(kind: str, seed: int, figures: Figures) -> None:
    found = figures.to_json()
    table = Table(title=f"{found['inputs']:,} {kind}s, seed {seed}", title_justify="left", show_header=False)
    for outcome, count in found["outcomes"].items():
        table.add_row(outcome, f"{count:,}")
    table.add_section()
    table.add_row("time", f"{found['seconds']} s, {found['per_second']} a second")
    table.add_row("slowest", "\n".join(f"{s['s']} s  {kind}:{s['number']}  {s['outcome']}" for s in found["slowest"]))
    table.add_row(
        "largest", "\n".join(f"{b['mib']} MiB  {kind}:{b['number']}  {b['outcome']}" for b in found["largest"])
    )
    table.add_row("peak memory", f"{found['peak_rss_mib']} MiB")
    table.add_row("gained while warm", f"{found['drift_mib']} MiB{'' if found['is_flat'] else ': NOT FLAT'}")
    for failure in figures.failures:
        table.add_row(f"FAILED {failure.kind}", f"{kind}:{failure.number}")
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    typer.run(main)
