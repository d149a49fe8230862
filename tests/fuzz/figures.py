"""What a run of the fuzzer gave: outcomes, failures, the slowest, memory. Pure bookkeeping and its words."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

KEPT = 5  # of the slowest and the largest
WARM_TRIALS = 2000  # memory is flat from here on
FLAT_BYTES = 48 << 20  # what a process may gain after that: fragments, caches of fixed size


@dataclass(frozen=True, slots=True)
class Failure:
    """One input that did not end as it must. `kind`: an exception's name, `crash`, `hang` or `memory`."""

    number: int
    kind: str
    text: str


@dataclass
class Figures:
    """Grows with each trial; `seconds` is wall time."""

    seconds: float = 0.0
    trials: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)  # processor s, number, outcome
    largest: list[tuple[int, int, str]] = field(default_factory=list)  # bytes at the peak, number, outcome
    peak_bytes: int = 0
    _settled: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def add(self, number: int, outcome: str, seconds: float, growth_bytes: int) -> None:
        self.trials += 1
        self.outcomes[outcome] += 1
        for heap, value in ((self.slowest, seconds), (self.largest, growth_bytes)):
            heapq.heappush(heap, (value, number, outcome))  # type: ignore[misc]
            if len(heap) > KEPT:
                heapq.heappop(heap)

    def saw_memory(self, process: int, settled: Sequence[tuple[int, int]], peak_bytes: int) -> None:
        self.peak_bytes = max(self.peak_bytes, peak_bytes)
        self._settled.setdefault(process, []).extend(settled)

    @property
    def drift_bytes(self) -> int:
        """The most that a process gained between being warm and its end; 0 where none lived that long."""
        return max((_drift(seen) for seen in self._settled.values()), default=0)

    @property
    def is_flat(self) -> bool:
        return self.drift_bytes <= FLAT_BYTES

    @property
    def is_good(self) -> bool:
        return not self.failures and self.is_flat

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": self.trials,
            "seconds": round(self.seconds, 1),
            "per_second": round(self.trials / self.seconds, 1) if self.seconds else 0.0,
            "outcomes": dict(self.outcomes.most_common()),
            "failures": [{"number": f.number, "kind": f.kind} for f in self.failures],
            "slowest": [{"s": round(s, 3), "number": n, "outcome": o} for s, n, o in sorted(self.slowest)[::-1]],
            "largest": [{"mib": b >> 20, "number": n, "outcome": o} for b, n, o in sorted(self.largest)[::-1]],
            "peak_rss_mib": self.peak_bytes >> 20,
            "drift_mib": round(self.drift_bytes / 2**20, 1),
            "is_flat": self.is_flat,
        }


def _drift(seen: Sequence[tuple[int, int]]) -> int:
    warm = [resident for count, resident in seen if count >= WARM_TRIALS]
    return warm[-1] - warm[0] if len(warm) > 1 else 0
