"""The process in which trials run: it may crash or hang, so it says before each trial which one begins.

It reports outcomes in small heaps over a pipe and knows nothing of what becomes of them. Its error stream is a file:
decoders written in C print there, and a crash leaves its stack there.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz.process_memory import forget_peak, resident_and_peak_bytes, settled_bytes
from tests.fuzz.subject import Subject

HEAP_S = 0.3  # between two reports
STDERR_MAX_BYTES = 1 << 20
SETTLED_EVERY = 500  # trials


@dataclass(frozen=True, slots=True)
class Work:
    """The numbers first, first + step … below `end`; `skipped` are known to end the process."""

    first: int
    step: int
    end: int
    skipped: frozenset[int]


@dataclass(slots=True)
class Report:
    """What happened since the last one. Trials: number, outcome, processor seconds, bytes of growth at the peak."""

    trials: list[tuple[int, str, float, int]] = field(default_factory=list)
    failures: list[tuple[int, str, str]] = field(default_factory=list)  # number, kind, text
    settled: list[tuple[int, int]] = field(default_factory=list)  # trials so far in this process, resident bytes
    peak_bytes: int = 0
    done: bool = False


def run_child(make: Callable[[], Subject], work: Work, current: Any, outcomes: Connection, stderr: Path) -> None:
    """Runs until the work is done. `current` is shared with the parent: number of the trial, when it began."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    _errors_go_to(stderr)
    subject = make()
    report, sent_s = Report(), time.monotonic()
    try:
        for count, number in enumerate(range(work.first, work.end, work.step)):
            if number in work.skipped:
                continue
            _one(subject, number, current, report)
            if count % SETTLED_EVERY == 0:
                gc.collect()
                report.settled.append((count, settled_bytes()))
            if time.monotonic() - sent_s > HEAP_S:
                outcomes.send(report)
                report, sent_s = Report(), time.monotonic()
                if stderr.stat().st_size > STDERR_MAX_BYTES:
                    os.ftruncate(2, 0)
        gc.collect()
        report.settled.append((work.end, settled_bytes()))
    finally:
        current[0] = -1
        subject.close()
    report.done = True
    outcomes.send(report)


def _errors_go_to(stderr: Path) -> None:
    descriptor = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable(file=2)


def _one(subject: Subject, number: int, current: Any, report: Report) -> None:
    current[1] = time.monotonic()
    current[0] = number
    case = subject.case(number)
    forget_peak()
    before, _ = resident_and_peak_bytes()
    began = time.process_time()
    try:
        outcome = subject.trial(case)
    except Exception as error:  # whatever it is, it is what we look for
        report.failures.append((number, type(error).__name__, traceback.format_exc()))
        outcome = "FAILED"
    seconds = time.process_time() - began
    _, peak = resident_and_peak_bytes()
    if peak - before > subject.allowed_growth_bytes():
        text = f"{(peak - before) >> 20} MiB at the peak, allowed are {subject.allowed_growth_bytes() >> 20}"
        report.failures.append((number, "memory", text))
    report.peak_bytes = max(report.peak_bytes, peak)
    report.trials.append((number, outcome, seconds, peak - before))
