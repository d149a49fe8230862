"""A subject with a fault planted in it, to see that the runner finds it. Light: its processes start in no time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from tests.fuzz.subject import Case, generator

EVERY, AT = 10, 3  # the fault is in each tenth input, from the fourth on
ALLOWED_BYTES = 64 << 20


def _raise() -> None:
    raise KeyError("planted")


def _hang() -> None:
    time.sleep(600)


def _exit() -> None:
    os._exit(3)


def _crash() -> None:
    os.abort()


def _swallow() -> None:
    bytearray(2 * ALLOWED_BYTES)[:: 1 << 12] = b"x" * (2 * ALLOWED_BYTES >> 12)


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "raise": _raise,
    "hang": _hang,
    "exit": _exit,
    "crash": _crash,
    "swallow": _swallow,
}


class Planted:
    """See `tests.fuzz.subject`; `fault` is a name of FAULTS."""

    def __init__(self, seed: int, fault: str) -> None:
        self._seed = seed
        self._fault = FAULTS[fault]

    def case(self, number: int) -> Case:
        return Case(generator(self._seed, "planted", number).randbytes(8), inner=number)

    def trial(self, case: Case) -> str:
        if case.inner % EVERY == AT:
            self._fault()
        return "passed"

    def allowed_growth_bytes(self) -> int:
        return ALLOWED_BYTES

    def close(self) -> None:
        pass
