"""Makes the book of a partition from the topics alone: at every assignment, and so after every loss.

Place in the flow: between the assignment of a partition and its first event. Events are acknowledged as they are taken
in, up to one window's width ahead of what is published of them. So verdicts and parts are read again from before all
windows that can be unpublished at the committed offset; and the revisions published, so that theirs go on upward.
Knows no Faust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from schemas.records import LineWindow
from streams.bus.subscriber import Received
from streams.downstream.statistics.book import Looks, PartitionBook
from streams.downstream.statistics.run_rules import charted_from
from streams.downstream.statistics.windows import FrameFold, PartFold, WindowRule, from_ms, to_ms
from streams.topics import LINE_STATS, PARTS, VERDICTS, Topic

BLOCK = 32  # records looked at in search of one that can be read


class Log(Protocol):
    """The part of `bus.history.History` that is needed here."""

    async def bounds(self, topic: Topic, partition: int) -> tuple[int, int]: ...

    async def offset_at(self, topic: Topic, partition: int, at: datetime) -> int: ...

    async def read(
        self, topic: Topic, partition: int, low: int, high: int, take: Callable[[Received[Any]], None]
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Reads books of partitions from the log."""

    log: Log
    rule: WindowRule
    looks: Looks

    async def book(self, partition: int, committed: Mapping[str, int]) -> PartitionBook:
        """The book as it stands at the committed offsets, by topic's name; a topic without one was never read."""
        frames, parts = FrameFold(self.rule), PartFold(self.rule)
        open_from = [
            await self._feed(VERDICTS, partition, committed.get(VERDICTS.name), frames),
            await self._feed(PARTS, partition, committed.get(PARTS.name), parts),
        ]
        book = PartitionBook(partition, frames, parts, self.looks)
        numbers = [number for number in open_from if number is not None]
        if numbers:
            await self.learn(book, charted_from(min(numbers)))
        return book

    async def starts(self, partition: int, committed: Mapping[str, int | None]) -> dict[str, int]:
        """Where verdicts and parts are read from, by topic's name: behind the last one that a published window counts.

        Not at the committed offsets, which people may have moved: `book` reads again what is before.
        """
        begin, end = await self.log.bounds(LINE_STATS, partition)
        windows: list[LineWindow] = []
        await self.log.read(
            LINE_STATS, partition, max(begin, end - BLOCK), end, lambda received: windows.append(received.record)
        )
        counted = {
            VERDICTS: max((window.through_offset for window in windows), default=-1),
            PARTS: max((window.through_part_offset for window in windows), default=-1),
        }
        found = {}
        for topic, last in counted.items():
            if topic.name in committed:
                low, high = await self.log.bounds(topic, partition)
                following = last + 1 if last >= 0 or not windows else committed[topic.name] or low
                found[topic.name] = following if low <= following <= high else low
        return found

    async def learn(self, book: PartitionBook, number: int) -> None:
        """Tells a book of the revisions published of all windows from `number` on."""
        low = await self.log.offset_at(LINE_STATS, book.partition, from_ms(number * self.rule.width_ms))
        _, high = await self.log.bounds(LINE_STATS, book.partition)
        windows: list[LineWindow] = []
        await self.log.read(LINE_STATS, book.partition, low, high, lambda received: windows.append(received.record))
        book.learn(windows, number)

    async def _feed(
        self, topic: Topic, partition: int, committed: int | None, fold: FrameFold | PartFold
    ) -> int | None:
        """Feeds a fold up to the committed offset; the first window that may be open or unpublished, None for none."""
        begin, end = await self.log.bounds(topic, partition)
        until = committed if committed is not None and begin <= committed <= end else begin
        fold.next_offset = until
        last = await self._last(topic, partition, begin, until)
        near = last or await self._first(topic, partition, until, end)
        if near is None:
            return None
        open_from = self.rule.covers_from(fold.time_of(near.record, near.timestamp))
        start = await self.log.offset_at(topic, partition, from_ms(self.rule.reads_from_ms(open_from)))
        if last and start > begin:
            fold.covered_from = open_from
        elif begin > 0 and (oldest := await self._first(topic, partition, begin, end)):
            fold.covered_from = self.rule.number(to_ms(oldest.timestamp)) + 1  # the first one left is not whole
        fold.next_offset = min(start, until)
        await self.log.read(topic, partition, start, until, lambda r: fold.take(r.record, r.offset, r.timestamp))
        fold.next_offset = until
        return open_from

    async def _last(self, topic: Topic, partition: int, begin: int, until: int) -> Received[Any] | None:
        """The last event before an offset; unreadable records are passed over."""
        found: list[Received[Any]] = []
        while not found and until > begin:
            low = max(begin, until - BLOCK)
            await self.log.read(topic, partition, low, until, found.append)
            until = low
        return found[-1] if found else None

    async def _first(self, topic: Topic, partition: int, begin: int, end: int) -> Received[Any] | None:
        """The first event from an offset on."""
        found: list[Received[Any]] = []
        while not found and begin < end:
            await self.log.read(topic, partition, begin, min(end, begin + BLOCK), found.append)
            begin += BLOCK
        return found[0] if found else None
