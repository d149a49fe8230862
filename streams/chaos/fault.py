"""What a fault is, and the registry of all faults.

A fault is one async function that gets a `Stage` on which everything runs and causes its harm there; the runner brings
the load, the ledger and the verdict. To add one, write into a module of `streams/chaos/faults/`:

    @fault("kill-worker", "SIGKILL of one of two workers", recovery_s=15)
    async def kill_worker(stage: Stage) -> None:
        stage.workers[0].send_signal(signal.SIGKILL)
        stage.cause_ended()
        await stage.load_on()

Knows nothing of how it is run.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from streams.commands.children import CLI
from streams.errors import CallerError

if TYPE_CHECKING:
    from streams.chaos.stage import Stage

Cause = Callable[["Stage"], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


class Size(IntEnum):
    """How much a run may cost: of faults chosen where nobody names them, and of the load around each."""

    QUICK = 0  # seconds
    NORMAL = 1  # tens of seconds
    LONG = 2  # minutes

    @property
    def calm_s(self) -> float:
        """How long the load goes on before, between and after what happens."""
        return (3.0, 8.0, 30.0)[self]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a fault may cost. Nothing may be lost, contradict itself or leave its order, whatever happens."""

    recovery_s: float = 30.0
    duplicates: int | None = None  # None: as many as come, since each carries the first one's id
    promise_1: bool = True  # False where the cause itself commits past frames
    wait_s: float | None = None  # of any frame for its result; None: as long as the cause takes
    drain_s: float = 90.0  # until every frame has its answer, from the end of the load


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of harm. `size` is the smallest run that has it where nobody names it."""

    name: str
    help: str
    cause: Cause
    limits: Limits = Limits()  # frozen
    size: Size = Size.NORMAL
    workers: int = 2
    module: str = CLI  # of which the workers are run
    downstream: tuple[str, ...] = ()  # commands, such as parts
    rate: float = 1.0  # of the load that was asked for
    deadline_ms: int | None = 1_000  # of every second frame
    settings: Mapping[str, Any] = field(default_factory=dict)


def fault(
    name: str,
    help: str,
    *,
    recovery_s: float = 30.0,
    duplicates: int | None = None,
    wait_s: float | None = None,
    promise_1: bool = True,
    **options: Any,
) -> Callable[[Cause], Cause]:
    """Register an async function as a fault; `options` are fields of `Fault`."""

    def register(cause: Cause) -> Cause:
        if name in FAULTS:
            raise ValueError(f"there are two faults {name!r}")
        FAULTS[name] = Fault(
            name, help, cause, Limits(recovery_s, duplicates, wait_s=wait_s, promise_1=promise_1), **options
        )
        return cause

    return register


def one_after_the_other(*names: str) -> Cause:
    """The causes of several faults on one stage, each after the one before has been recovered from."""

    async def cause(stage: Stage) -> None:
        for name in names:
            await all_faults()[name].cause(stage)
            await stage.recovered()

    return cause


def all_faults() -> dict[str, Fault]:
    """Every fault by name, in the order of their modules and lines."""
    from streams.chaos import faults

    for module in pkgutil.iter_modules(faults.__path__):
        importlib.import_module(f"{faults.__name__}.{module.name}")
    return FAULTS


def chosen(names: list[str], size: Size) -> list[Fault]:
    """The faults named, else those of a run of this size; CallerError for a name that is none."""
    known = all_faults()
    if unknown := sorted(set(names) - known.keys()):
        raise CallerError(f"there is no fault {unknown[0]!r}; faults are {', '.join(known)}")
    return [known[name] for name in names] or [found for found in known.values() if found.size <= size]
