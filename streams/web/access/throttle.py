"""Growing pauses after failed guesses. Pure: times are arguments. Nobody is ever locked out for good.

A guess is counted BEFORE it is checked, so that a thousand at once gain nothing; success takes the account's count
back.
"""

from __future__ import annotations

from dataclasses import dataclass

FORGET_S = 3_600.0
MAX_KEYS = 20_000


@dataclass(frozen=True, slots=True)
class Pauses:
    """`free` guesses cost nothing; each further one doubles the pause from `first_s` up to `longest_s`."""

    free: int
    first_s: float
    longest_s: float

    def after(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        over = failures - self.free
        return 0.0 if over <= 0 else min(self.longest_s, self.first_s * 2.0 ** min(over - 1, 30))


ACCOUNT = Pauses(free=4, first_s=1.0, longest_s=60.0)
ADDRESS = Pauses(free=20, first_s=1.0, longest_s=300.0)


class Throttle:
    """Counts by key (an account's name, an address). Bounded: the longest quiet key goes first."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._failures: dict[str, tuple[int, float]] = {}  # key: failures, time of the last; in order of that time

    def wait_s(self, key: str, now_s: float) -> float:
        """Seconds until the next guess for `key` is looked at; 0: now."""
        failures, last_s = self._failures.get(key, (0, 0.0))
        if now_s - last_s > FORGET_S:
            return 0.0
        return max(0.0, last_s + self._pauses.after(failures) - now_s)

    def count(self, key: str, now_s: float) -> None:
        """One guess more."""
        failures, last_s = self._failures.pop(key, (0, now_s))
        self._failures[key] = (1 if now_s - last_s > FORGET_S else failures + 1, now_s)
        while len(self._failures) > MAX_KEYS:
            del self._failures[next(iter(self._failures))]

    def forgive(self, key: str) -> None:
        """The guess was right."""
        self._failures.pop(key, None)
