"""One page of history: raw records in, the rows that were asked for out, until the page is full.

The FIRST record of an id counts, also where it lies on an earlier page: reading begins LOOKBACK records early, and
those are only remembered. Knows neither Kafka nor HTTP; runs in a thread, a chunk at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schemas import records
from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from streams.bus.spans import Raw
from streams.bus.subscriber import FirstOnly, Received
from streams.web.api.query import Filters
from streams.web.api.resources import Resource
from streams.web.api.writers import Writer

log = logging.getLogger(__name__)
LOOKBACK = 512  # records a partition: what a worker has in flight, and copies lie no further apart


@dataclass(frozen=True, slots=True)
class Question:
    """What the rows of a page must be."""

    resource: Resource
    filters: Filters
    since_ms: int
    until_ms: int | None
    limit: int


class Page:
    """Takes chunks in order of append time. `position`: the next offset of every partition; `rows`: those written."""

    def __init__(self, question: Question, starts: Mapping[int, int], codec: Codec, writer: Writer) -> None:
        self._question = question
        self._asked = question.filters.asked()
        self._starts = starts
        self._codec = codec
        self._writer = writer
        self._firsts: dict[int, FirstOnly] = {}
        self.position = dict(starts)
        self.rows = 0

    @property
    def full(self) -> bool:
        return self.rows >= self._question.limit

    def take(self, chunk: Sequence[Raw]) -> None:
        """Write what was asked for of a chunk; stops within it where the page is full."""
        found: list[Received[Any]] = []
        for raw in chunk:
            if self.rows + len(found) >= self._question.limit:
                break
            event = self._event(raw)
            if raw.offset >= self._starts[raw.partition]:
                self.position[raw.partition] = raw.offset + 1
                if event is not None and self._asked_for(event, raw.timestamp):
                    found.append(event)
        self._writer.write(found)
        self.rows += len(found)

    def _asked_for(self, event: Received[Any], timestamp_ms: int) -> bool:
        question = self._question
        in_time = question.since_ms <= timestamp_ms and (question.until_ms is None or timestamp_ms < question.until_ms)
        return in_time and question.resource.matches(self._asked, event.record)

    def _event(self, raw: Raw) -> Received[records.Event] | None:
        """The event; None for a later copy, and for what is no event of this topic."""
        topic = self._question.resource.topic
        try:
            record = self._codec.decode(raw.value or b"", topic.record)
        except (SchemaInvalidError, SchemaUnknownError) as error:
            log.warning("skipped %s partition %d offset %d: %s", topic.name, raw.partition, raw.offset, error)
            return None
        if self._firsts.setdefault(raw.partition, FirstOnly()).is_copy(record, raw.offset):
            return None
        at = datetime.fromtimestamp(raw.timestamp / 1000, UTC)
        return Received(record, raw.partition, raw.offset, at, raw.key)
