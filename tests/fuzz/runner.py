"""Runs many trials in processes of their own and finds whatever goes wrong: exceptions, crashes, hangs, memory.

Between the command line and `child`. A process that dies or hangs costs the one trial that it was at: the next process
goes on behind the last reported one and leaves that one out. Numbers, not inputs, go to the processes: every input
follows from the seed and its number. Knows no pictures and no events.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from tests.fuzz.child import Report, Work, run_child
from tests.fuzz.figures import Failure, Figures
from tests.fuzz.subject import Subject

HANG_S = 5.0  # of processor time for one trial
PATIENCE = 6  # times that in wall time: the machine may be busy, and a trial that sleeps takes no processor time
LOOK_S = 0.25  # between two looks at the processes
STACK_CHARS = 6000


@dataclass(slots=True, eq=False)
class _Process:
    """One process and how far it came; `cpu_at` is its processor time when the present trial was first seen."""

    process: Any
    outcomes: Any
    current: Any
    stderr: Path
    work: Work
    next_number: int
    seen: int = -1
    cpu_at: float = 0.0


@dataclass
class Runner:
    """`count` trials of a subject; `make` is picklable and is called in each process."""

    make: Callable[[], Subject]
    count: int
    processes: int = 1
    hang_s: float = HANG_S
    progress: Callable[[Figures], None] = lambda _figures: None
    figures: Figures = field(default_factory=Figures)

    def run(self) -> Figures:
        """All trials; KeyboardInterrupt leaves what is known in `figures`."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            running = [
                self._started(Path(folder), i, Work(i, self.processes, self.count, frozenset()))
                for i in range(min(self.processes, self.count))
            ]
            try:
                while running:
                    running = [alive for one in running if (alive := self._looked_at(one)) is not None]
                    self.figures.seconds = time.monotonic() - began
                    self.progress(self.figures)
                    wait([one.outcomes for one in running], LOOK_S)
            finally:
                for one in running:
                    _end(one)
                self.figures.seconds = time.monotonic() - began
        return self.figures

    def _started(self, folder: Path, place: int, work: Work) -> _Process:
        context = multiprocessing.get_context("spawn")
        mine, its = context.Pipe(duplex=False)
        current = context.Array("d", [-1.0, 0.0], lock=False)
        stderr = folder / f"{place}-{work.first}.stderr"
        process = context.Process(target=run_child, args=(self.make, work, current, its, stderr), daemon=True)
        process.start()
        its.close()
        return _Process(process, mine, current, stderr, work, work.first)

    def _looked_at(self, one: _Process) -> _Process | None:
        """The process that goes on with this one's work, mostly itself; None where the work is done."""
        while one.outcomes.poll():
            try:
                report = one.outcomes.recv()
            except EOFError:
                break
            self._take(one, report)
            if report.done:
                _end(one)
                return None
        if not one.process.is_alive():
            one.process.join()
            return self._after(one, "crash", f"the process ended with {_status(one.process.exitcode)}")
        if self._hangs(one):
            return self._after(one, "hang", f"no outcome after {self.hang_s} s of processor time")
        return one

    def _take(self, one: _Process, report: Report) -> None:
        for trial in report.trials:
            self.figures.add(*trial)
            one.next_number = trial[0] + one.work.step
        for number, kind, text in report.failures:
            self.figures.failures.append(Failure(number, kind, text))
        self.figures.saw_memory(one.process.pid, report.settled, report.peak_bytes)

    def _hangs(self, one: _Process) -> bool:
        number, since = int(one.current[0]), one.current[1]
        if number < 0:
            return False
        try:
            times = psutil.Process(one.process.pid).cpu_times()
        except psutil.Error:
            return False
        cpu = times.user + times.system
        if number != one.seen:
            one.seen, one.cpu_at = number, cpu
            return False
        return cpu - one.cpu_at > self.hang_s or time.monotonic() - since > self.hang_s * PATIENCE

    def _after(self, one: _Process, kind: str, text: str) -> _Process | None:
        """What is lost with a process is only the trial that it was at."""
        number = int(one.current[0])
        if kind == "hang":
            _dump_stacks(one)
        _end(one)
        stack = one.stderr.read_text(errors="replace")[-STACK_CHARS:]
        if number < 0:
            raise RuntimeError(f"a process of the fuzzer ended outside of any trial: {text}\n{stack}")
        self.figures.failures.append(Failure(number, kind, f"{text}\n{stack}"))
        self.figures.add(number, "FAILED", 0.0, 0)
        skipped = one.work.skipped | {number}
        work = Work(one.next_number, one.work.step, one.work.end, skipped)
        if not set(range(work.first, work.end, work.step)) - skipped:
            return None
        return self._started(one.stderr.parent, number, work)


def _dump_stacks(one: _Process) -> None:
    """A fatal signal that faulthandler answers with the stacks of all threads."""
    psutil.Process(one.process.pid).send_signal(signal.SIGABRT)
    one.process.join(1.0)


def _end(one: _Process) -> None:
    if one.process.is_alive():
        one.process.kill()
    one.process.join()
    one.outcomes.close()


def _status(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"status {code}"
