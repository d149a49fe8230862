"""The topics as the archiver sees them: which period comes next, and its records. The shell around `streams.bus`."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import Event
from streams.archive.catalogue import Catalogue, Stretch
from streams.archive.periods import Period, is_closed, next_period
from streams.archive.tables import place_of
from streams.bus.landmarks import Landmarks
from streams.bus.spans import Raw, read_offsets
from streams.bus.subscriber import FirstOnly, Received
from streams.settings import Settings
from streams.topics import KEY_PART, Topic, own

log = logging.getLogger(__name__)
MARGIN_MS = 60_000  # between this machine's clock and the brokers'
LOOKBACK = 1024  # records before a stretch: of which it may hold copies


@dataclass(frozen=True, slots=True)
class Due:
    """A period that can be archived: by partition, offsets from a first to before a last, and how many were gone."""

    period: Period
    stretches: Mapping[int, tuple[int, int]]
    expired: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """One event with the digest of its bytes in the topic; `is_copy`: a later record of an id that counts once."""

    event: Received[Any]
    sha256: str
    is_copy: bool
    value: bytes = field(repr=False)


class TopicLog:
    """One topic. An async context manager."""

    def __init__(self, settings: Settings, codec: Codec, topic: Topic) -> None:
        self.topic = topic
        self._bootstrap = settings.bootstrap
        self.name = settings.topic_prefix + own(topic, settings).name
        self._codec = codec
        self.landmarks = Landmarks(settings.bootstrap, self.name)
        self._period_ms = settings.archive_period_s * 1000

    async def __aenter__(self) -> Self:
        await self.landmarks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.landmarks.__aexit__(*exc_info)

    async def due(self, catalogue: Catalogue, now_ms: int) -> Due | None:
        """The first period that is not archived and to which nothing can be appended any more; None for none yet."""
        firsts = await self.landmarks.first_at(catalogue.archived_until_ms(self.topic.name))
        period = next_period({p: at.timestamp_ms if at else None for p, at in firsts.items()}, self._period_ms)
        if period is None:
            return None
        behind = await self.landmarks.first_at(period.end_ms)
        if not is_closed(period, [at is not None for at in behind.values()], now_ms, MARGIN_MS):
            return None
        bounds, done = await self.landmarks.bounds(), catalogue.offsets(self.topic.name)
        stretches: dict[int, tuple[int, int]] = {}
        for partition, (begin, end) in bounds.items():
            last = at.offset if (at := behind.get(partition)) else end
            if last > end:
                return None  # a transaction that began in the period is still open
            low = max(begin, done.get(partition, begin))
            stretches[partition] = (low, max(low, last))
        return Due(period, stretches, {p: max(0, bounds[p][0] - done.get(p, bounds[p][0])) for p in bounds})

    @contextlib.asynccontextmanager
    async def reading(
        self, stretches: Mapping[int, tuple[int, int]], lookback: int = LOOKBACK
    ) -> AsyncIterator[AsyncGenerator[list[Raw]]]:
        """The raw records of stretches, in order of append time, with `lookback` before each."""
        async with (
            read_offsets(self._bootstrap, self.name, stretches, lookback) as reading,
            contextlib.aclosing(reading.chunks()) as chunks,
        ):
            yield chunks

    def decoded(self, raw: Raw) -> Event | None:
        """The event; None for what is none of this topic or has no place in the archive."""
        try:
            if raw.value is None:
                return None
            record: Event = self._codec.decode(raw.value, self.topic.record)
        except (SchemaInvalidError, SchemaUnknownError) as error:
            log.info("%s partition %d offset %d is not archived: %s", self.name, raw.partition, raw.offset, error)
            return None
        return record if all(map(KEY_PART.fullmatch, place_of(record))) else None


class StretchCounter:
    """Folds the records of a period into what its stretches hold. Pure but for the records."""

    def __init__(self, topic_log: TopicLog, due: Due) -> None:
        self._log = topic_log
        self._due = due
        self._firsts: dict[int, FirstOnly] = {}
        self._digests: dict[int, Any] = {p: hashlib.sha256() for p in due.stretches}
        self._rows = dict.fromkeys(due.stretches, 0)
        self._passed_over = dict.fromkeys(due.stretches, 0)

    def take(self, raw: Raw) -> Found | None:
        """The record as it is archived; None for one looked back at, and for what is no event."""
        record = self._log.decoded(raw)
        looked_back = raw.offset < self._due.stretches[raw.partition][0]
        is_copy = record is not None and self._firsts.setdefault(raw.partition, FirstOnly()).is_copy(record, raw.offset)
        if looked_back:
            return None
        if record is None or raw.value is None:
            self._passed_over[raw.partition] += 1
            return None
        sha256 = hashlib.sha256(raw.value).hexdigest()
        add_to_digest(self._digests[raw.partition], raw.offset, sha256)
        self._rows[raw.partition] += 1
        at = datetime.fromtimestamp(raw.timestamp / 1000, UTC)
        return Found(Received(record, raw.partition, raw.offset, at, raw.key), sha256, is_copy, raw.value)

    def stretches(self) -> list[Stretch]:
        """What the period took of every partition."""
        return [
            Stretch(
                self._log.topic.name,
                partition,
                self._due.period,
                low,
                high,
                self._rows[partition],
                self._passed_over[partition],
                self._due.expired[partition],
                self._digests[partition].hexdigest(),
            )
            for partition, (low, high) in self._due.stretches.items()
        ]


def add_to_digest(digest: Any, offset: int, sha256: str) -> None:
    """What a stretch's digest covers of each row: one line of offset and the event's own digest, in order."""
    digest.update(f"{offset} {sha256}\n".encode())
