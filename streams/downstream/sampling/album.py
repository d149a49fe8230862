"""The samples there are: which pictures, since when, and how much of every budget they took. Pure.

Place in the flow: filled from the topic `samples` at the start and by the sampler's own picks from then on. A period
knows the samples of earlier periods alone, so that looking at history again gives what it gave the first time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from schemas.records import Encoding, SampleSelected, Strategy
from streams.downstream.sampling.line import LineKey, short
from streams.downstream.sampling.plan import Plan, day_of
from streams.downstream.sampling.selection import Look

_Budget = tuple[LineKey, datetime, Strategy]


@dataclass(frozen=True, slots=True)
class Print:
    """Where a sample's picture is, and how its bytes are laid out."""

    selected_at: datetime
    image_ref: str
    image_sha256: str
    encoding: Encoding
    width: int
    height: int


class Album:
    """All samples of an installation under a plan."""

    def __init__(self, plan: Plan, published: Iterable[SampleSelected] = ()) -> None:
        self._plan = plan
        self._owners: dict[bytes, UUID] = {}
        self._ids: set[UUID] = set()
        self._spent: Counter[_Budget] = Counter()
        self._coming: list[tuple[int | None, Print]] = []
        self._near: defaultdict[int, list[Print]] = defaultdict(list)
        self._sampled: set[bytes] = set()
        self._pixels: set[str] = set()
        self._today: defaultdict[tuple[LineKey, datetime], list[Look]] = defaultdict(list)
        for sample in published:
            self.published(sample)
            self._coming.append((_number(sample.near_hash), _print(sample)))
        self._coming.sort(key=lambda item: item[1].selected_at, reverse=True)

    @property
    def newest(self) -> datetime | None:
        """When the newest sample read back was selected."""
        return self._coming[0][1].selected_at if self._coming else None

    @property
    def sampled(self) -> Set[bytes]:
        """Pictures sampled so far, by `short` of their digest."""
        return self._sampled

    @property
    def pixels(self) -> Set[str]:
        """Pixel digests of samples so far, as far as they were looked at."""
        return self._pixels

    def begin(self, start: datetime) -> None:
        """Time has come to this period: samples selected at or before its start are known from now on."""
        while self._coming and self._coming[-1][1].selected_at <= start:
            near, print_ = self._coming.pop()
            self._sampled.add(short(print_.image_sha256))
            if near is not None:
                self._near[near].append(print_)

    def unseen(self, near_hash: int) -> list[Print]:
        """Earlier samples with this hash that were not looked at yet; from now on they count as seen."""
        return self._near.pop(near_hash, [])

    def saw(self, pixel_sha256: str) -> None:
        """The pixels of an earlier sample."""
        self._pixels.add(pixel_sha256)

    def today(self, line: LineKey, start: datetime) -> list[Look]:
        """Looks at what was chosen on a line on the day of a period."""
        return self._today[line, day_of(start)]

    def chose(self, line: LineKey, start: datetime, look: Look, image_sha256: str) -> None:
        """A pick of a period."""
        self._today[line, day_of(start)].append(look)
        self._pixels.add(look.pixel_sha256)
        self._sampled.add(short(image_sha256))

    def published(self, sample: SampleSelected) -> None:
        """A sample that stands in the topic."""
        self._ids.add(sample.sample_id)
        self._owners.setdefault(short(sample.image_sha256), sample.sample_id)
        self._spent[self._budget(sample)] += 1

    def is_published(self, sample_id: UUID) -> bool:
        return sample_id in self._ids

    def refusal(self, sample: SampleSelected) -> str | None:
        """Why a pick must not stand beside what runs with other settings published; None where it may."""
        if self._owners.get(short(sample.image_sha256), sample.sample_id) != sample.sample_id:
            return "its picture is a sample of another run"
        if self._spent[self._budget(sample)] >= self._plan.of_day(sample.strategy):
            return "the day's budget was spent by another run"
        return None

    def forget(self, before: datetime) -> None:
        """Lets go of looks at the picks of days before this one."""
        for key in [key for key in self._today if key[1] < before]:
            del self._today[key]

    def _budget(self, sample: SampleSelected) -> _Budget:
        selected_in = sample.selected_at - timedelta(seconds=self._plan.period_s)
        return (sample.plant, sample.line), day_of(selected_in), sample.strategy


def _number(near_hash: str | None) -> int | None:
    try:
        return int(near_hash or "", 16)
    except ValueError:
        return None


def _print(sample: SampleSelected) -> Print:
    return Print(
        selected_at=sample.selected_at,
        image_ref=sample.image_ref,
        image_sha256=sample.image_sha256,
        encoding=sample.encoding,
        width=sample.width,
        height=sample.height,
    )
