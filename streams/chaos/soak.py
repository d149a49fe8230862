"""A long run under load in which a random process is killed every minute, and what lives through it stays small.

Beside workers that are killed one is never touched, as are the services downstream: their memory and descriptors are
sampled throughout. Judged is the growth from the middle third to the last third: before that, caches fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import psutil

from streams.chaos.fault import Fault, Limits
from streams.chaos.judgement import Outcome, judge
from streams.chaos.stage import Ground, Stage
from streams.commands.children import Child

SAMPLE_S = 5.0
KILL_EVERY_S = 60.0
MIB = 1 << 20
SETTINGS = {"archive_period_s": 120, "window_s": 60, "lateness_s": 120}
"""As on a line, but for the archive. In steps of 2 s, as faults have them, half an hour is fifteen hours of windows and
a month of the archive's periods, each of which looks back on a thousand records a partition."""
DOWNSTREAM = ("parts", "statistics", "dashboard", "archive")
VICTIMS = ("archive",)  # beside the workers that may be killed


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """`workers` may be killed; one more is never touched."""

    duration_s: float
    workers: int = 2
    rss_growth: float = 0.05  # at most, of the median from the middle third to the last
    descriptors: int = 4  # more than before are no leak: connections come and go
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """One process at one moment. `pid` tells whether it was started again."""

    at_s: float
    pid: int
    rss_bytes: int
    descriptors: int

    def to_json(self) -> dict[str, Any]:
        return {"at_s": round(self.at_s, 1), "rss_mib": round(self.rss_bytes / MIB, 1), "descriptors": self.descriptors}


@dataclass(frozen=True, slots=True)
class Steadiness:
    """One process that was never killed: medians of its middle and last third."""

    name: str
    rss_mib: tuple[float, float]
    descriptors: tuple[float, float]

    @property
    def growth(self) -> float:
        """Of its memory, as a share."""
        return self.rss_mib[1] / self.rss_mib[0] - 1


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak came to."""

    outcome: Outcome
    steady: tuple[Steadiness, ...]
    kills: int
    duration_s: float
    usages: Mapping[str, Sequence[Usage]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "passed": self.outcome.passed,
            "duration_s": self.duration_s,
            "kills": self.kills,
            "processes": [asdict(found) | {"rss_growth": round(found.growth, 4)} for found in self.steady],
            "promises": self.outcome.to_json(),
            "samples": {name: [usage.to_json() for usage in usages] for name, usages in self.usages.items()},
        }


@dataclass
class _Watch:
    """Samples of the processes that are never killed."""

    processes: dict[str, Child]
    usages: dict[str, list[Usage]] = field(default_factory=lambda: defaultdict(list))

    def sample(self, at_s: float) -> None:
        for name, child in self.processes.items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(child.pid)
                usage = Usage(at_s, process.pid, process.memory_info().rss, process.num_fds())
                self.usages[name].append(usage)


async def soak(ground: Ground, plan: SoakPlan, say: Callable[[str], None]) -> Soaked:
    """Load, kills and samples for `plan.duration_s`; then everything is judged."""
    fault = Fault(
        "soak",
        "",
        _nothing,
        Limits(),
        workers=plan.workers + 1,
        downstream=DOWNSTREAM,
        settings=SETTINGS,
    )
    async with Stage(ground, fault) as stage:
        kept = {"worker": stage.workers[0]} | {n: c for n, c in stage.downstream.items() if n not in VICTIMS}
        victims = [*stage.workers[1:], *(stage.downstream[name] for name in VICTIMS)]
        watch = _Watch(kept)
        kills = await _kill_and_sample(plan, victims, watch, say)
        await stage.drained()
        steady = tuple(steadiness(name, usages) for name, usages in watch.usages.items())
        for problem in unsteady(steady, watch.usages, plan):
            stage.expect(False, problem)
        outcome = judge("soak", fault.limits, await stage.read(), await stage.evidence())
    return Soaked(outcome, steady, kills, plan.duration_s, watch.usages)


async def _nothing(stage: Stage) -> None:
    """A soak harms by itself."""


async def _kill_and_sample(plan: SoakPlan, victims: list[Child], watch: _Watch, say: Callable[[str], None]) -> int:
    """Returns how often a process was killed."""
    dice, kills, started = random.Random(plan.seed), 0, time.monotonic()  # noqa: S311  # no secret
    every_s = min(KILL_EVERY_S, plan.duration_s / 6)
    while (now_s := time.monotonic() - started) < plan.duration_s:
        watch.sample(now_s)
        if now_s >= (kills + 1) * every_s and now_s < plan.duration_s - every_s / 2:
            victim = dice.choice(victims)
            victim.send_signal(signal.SIGKILL)
            kills += 1
            say(f"    {now_s / 60:.1f} min: killed {victim} ({kills})")
        await asyncio.sleep(SAMPLE_S)
    return kills


def steadiness(name: str, usages: list[Usage]) -> Steadiness:
    """Medians of the middle and the last third of the samples, by time. Pure."""
    third_s = usages[-1].at_s / 3
    middle = [u for u in usages if third_s <= u.at_s < 2 * third_s] or usages
    last = [u for u in usages if u.at_s >= 2 * third_s]
    rss = tuple(round(median(u.rss_bytes for u in part) / MIB, 1) for part in (middle, last))
    descriptors = tuple(float(median(u.descriptors for u in part)) for part in (middle, last))
    return Steadiness(name, (rss[0], rss[1]), (descriptors[0], descriptors[1]))


def unsteady(steady: tuple[Steadiness, ...], usages: dict[str, list[Usage]], plan: SoakPlan) -> list[str]:
    """What grew, and what ended although nobody killed it, in sentences. Pure."""
    problems = []
    for found in steady:
        if len({usage.pid for usage in usages[found.name]}) > 1:
            problems.append(f"{found.name} ended although nobody killed it")
        if found.growth > plan.rss_growth:
            problems.append(f"memory of {found.name} grew by {found.growth:.1%} from the middle to the last third")
        if found.descriptors[1] > found.descriptors[0] + plan.descriptors:
            problems.append(
                f"descriptors of {found.name} grew from {found.descriptors[0]:g} to {found.descriptors[1]:g}"
            )
    return problems
