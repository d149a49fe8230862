"""How many pictures a second an engine computes, with its lanes kept busy, and how long a batch takes alone.

Place in the flow: `lineside benchmark` and the benchmarks of engines. Pictures go in as uint8 from ordinary memory and
scores come back to it, as in inspection; decoding is not in it. Machines are noisy: engines are timed in turn, round
after round, and figures are medians of rounds. Knows no model.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.artifact import U8
    from models.engines import Engine

IN_FLIGHT = 2  # batches a lane: one computes, one waits
WARM_UP, ALONE = 3, 7  # batches


@dataclass(frozen=True, slots=True)
class Speed:
    """Pictures a second sustained, and the milliseconds of a batch that comes alone; medians of rounds."""

    images_per_s: float
    batch_ms: float


def speeds(
    engines: Sequence[Engine],
    pictures: U8,
    seconds: float,
    rounds: int,
    on_timed: Callable[[int], None] = lambda done: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Speed]:
    """Each engine's speed on a batch uint8 [b, h, w, 3], `seconds` a round, all engines one after the other a round."""
    found: list[list[tuple[float, float]]] = [[] for _ in engines]
    for number in range(rounds):
        for place, engine in enumerate(engines):
            found[place].append((_sustained(engine, pictures, seconds, clock), _alone_ms(engine, pictures, clock)))
            on_timed(number * len(engines) + place + 1)
    return [Speed(*(float(np.median(values)) for values in zip(*of, strict=True))) for of in found]


def _sustained(engine: Engine, pictures: U8, seconds: float, clock: Callable[[], float]) -> float:
    for _ in range(WARM_UP):
        engine.submit(pictures).result()
    waiting = deque(engine.submit(pictures) for _ in range(engine.concurrency * IN_FLIGHT))
    done, started = 0, clock()
    while (taken := clock() - started) < seconds:
        waiting.popleft().result()
        done += len(pictures)
        waiting.append(engine.submit(pictures))
    for future in waiting:
        future.result()
    return done / taken


def _alone_ms(engine: Engine, pictures: U8, clock: Callable[[], float]) -> float:
    found = []
    for _ in range(ALONE):
        started = clock()
        engine.submit(pictures).result()
        found.append((clock() - started) * 1000)
    return float(np.median(found))
