"""How much is sampled and when: budgets a line and day, periods, and the keyed draw behind every random choice. Pure.

A day and its periods are UTC. A frame belongs to the period in which the broker appended it: that clock only goes
forward within a partition, so that a closed period stays closed. Knows no event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.records import Strategy

DAY_S = 86_400
ORDER = (
    Strategy.PASS_AUDIT,
    Strategy.CORRECTED,
    Strategy.DISAGREEMENT,
    Strategy.RARE,
    Strategy.NOVEL,
    Strategy.DRIFTED,
    Strategy.UNCERTAIN,
)
"""The strategies of the mix; a picture that several want goes to the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sampler's settings. ValueError where a period doesn't divide the day, shares are more than the whole, …"""

    budget: int  # samples a line and day
    shares: Mapping[Strategy, float]
    period_s: int
    seed: int
    near_bits: int  # a perceptual hash that differs in no more bits is a picture that is known already

    def __post_init__(self) -> None:
        if self.budget < 1 or self.period_s < 1 or DAY_S % self.period_s:
            raise ValueError(
                f"expected a budget of at least 1 and a period that divides the day into equal parts; "
                f"came {self.budget} and {self.period_s} s"
            )
        if not 0 <= self.near_bits <= 64:
            raise ValueError(f"expected 0 to 64 bits by which near pictures differ; came {self.near_bits}")
        shares = self.shares.values()
        if set(self.shares) - set(ORDER) or not all(share >= 0 for share in shares) or not sum(shares) <= 1 + 1e-9:
            came = ", ".join(f"{strategy}={share:g}" for strategy, share in self.shares.items())
            raise ValueError(f"expected shares of {', '.join(ORDER)}, none below 0 and 1 together at most; came {came}")

    @property
    def periods_a_day(self) -> int:
        return DAY_S // self.period_s

    def of_day(self, strategy: Strategy) -> int:
        """A strategy's budget a line and day."""
        return int(self.budget * self.shares.get(strategy, 0.0) + 1e-9)

    def through(self, strategy: Strategy, slot: int) -> int:
        """What of the day's budget may be spent by the end of a slot: what was left over stays."""
        return -(-self.of_day(strategy) * (slot + 1) // self.periods_a_day)

    def start_of(self, at: datetime) -> datetime:
        """The start of the period that a time lies in."""
        return datetime.fromtimestamp(int(at.timestamp()) // self.period_s * self.period_s, UTC)

    def slot_of(self, start: datetime) -> int:
        """The number of a period within its day, from 0."""
        return int(start.timestamp()) % DAY_S // self.period_s

    def periods(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Starts of the periods that lie wholly in [since, until); `since` is the start of one."""
        width = timedelta(seconds=self.period_s)
        while since + width <= until:
            yield since
            since += width


def day_of(at: datetime) -> datetime:
    """The start of a time's day."""
    return datetime.fromtimestamp(int(at.timestamp()) // DAY_S * DAY_S, UTC)


def draw(seed: int, *words: str) -> float:
    """A number in [0, 1) that depends on the seed and the words alone, and looks random: keyed blake2b."""
    key = seed.to_bytes(16, "big", signed=True)
    digest = hashlib.blake2b("\0".join(words).encode(), digest_size=8, key=key).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
