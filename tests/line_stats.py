"""Verdicts, parts and logs for the tests of line statistics: timelines in seconds, and a log that lives in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from schemas.records import Event, LineWindow, Outcome, PartDecided, PartOutcome, PartReason, Reason, VerdictIssued
from streams.bus.subscriber import Received
from streams.downstream.statistics.book import key_of
from streams.downstream.statistics.windows import FrameFold, Key, PartFold, WindowRule, from_ms
from streams.topics import Topic

NAMESPACE = UUID(int=2)
START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
START_S = int(START.timestamp())
RULE = WindowRule(width_ms=10_000, lateness_ms=20_000, memory_ms=60_000)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def number(second: float) -> int:
    """The window of a moment."""
    return RULE.number(round((START_S + second) * 1000))


def verdict(trigger: int, second: float, **changes: Any) -> VerdictIssued:
    """The verdict of a frame that was appended at `second`, triggered 100 ms earlier."""
    fields: dict[str, Any] = {
        "verdict_id": uuid5(NAMESPACE, f"{trigger}/{changes.get('camera')}/{changes.get('attempt')}"),
        "run": "live",
        "frame_id": uuid5(NAMESPACE, f"frame {trigger}"),
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "camera": "c1",
        "sku": "A",
        "trigger_seq": trigger,
        "captured_at": at(second),
        "outcome": Outcome.OK,
        "reason": Reason.SCORE,
        "model_id": "m1",
        "recipe_version": 4,
        "received_at": at(second),
        "decided_at": at(second),
        "queue_ms": 0.0,
        "decode_ms": 0.0,
        "infer_ms": 0.0,
        "deadline_met": True,
        "image_sha256": "0" * 64,
        "source_topic": "lineside.frames",
        "source_partition": 0,
        "source_offset": trigger,
        "source_timestamp": at(second),
        "gateway_ms": 100,
    }
    return VerdictIssued(**fields | changes)


def part(serial: int, second: float, **changes: Any) -> PartDecided:
    """A part whose newest frame was appended at `second`, its first view triggered 500 ms earlier."""
    fields: dict[str, Any] = {
        "decision_id": uuid5(NAMESPACE, f"part {serial}"),
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "sku": "A",
        "part_id": f"P{serial}",
        "outcome": PartOutcome.OK,
        "reason": PartReason.VIEWS,
        "views_expected": 1,
        "first_at": at(second - 0.5),
        "through_at": at(second),
        "decided_at": at(second),
    }
    return PartDecided(**fields | changes)


@dataclass
class MemoryLog:
    """`rebuild.Log` on lists: every topic's one partition. `reads` notes what was asked for."""

    records: dict[str, list[tuple[Event | None, datetime]]] = field(default_factory=lambda: defaultdict(list))
    begins: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reads: list[tuple[str, int, int]] = field(default_factory=list)

    def append(self, topic: Topic, record: Event | None, appended_at: datetime) -> int:
        """None is a record that can't be read."""
        self.records[topic.name].append((record, appended_at))
        return len(self.records[topic.name]) - 1

    async def bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        return self.begins[topic.name], len(self.records[topic.name])

    async def offset_at(self, topic: Topic, partition: int, at: datetime) -> int:
        log = self.records[topic.name]
        return bisect_left(log, at, self.begins[topic.name], key=lambda entry: entry[1])

    async def read(
        self, topic: Topic, partition: int, low: int, high: int, take: Callable[[Received[Any]], None]
    ) -> None:
        self.reads.append((topic.name, low, high))
        for offset in range(max(low, self.begins[topic.name]), min(high, len(self.records[topic.name]))):
            record, appended_at = self.records[topic.name][offset]
            if record is not None:
                take(Received(record, partition, offset, appended_at, None))


def halves(window: LineWindow) -> tuple[dict[str, Any], dict[str, Any]]:
    """What frames and what parts decided in a window."""
    from streams.downstream.statistics.book import FRAME_FIELDS, PART_FIELDS

    return tuple({n: getattr(window, n) for n in names} for names in (FRAME_FIELDS, PART_FIELDS))  # type: ignore[return-value]


def folded(
    verdicts: list[tuple[VerdictIssued, datetime]],
    parts: list[tuple[PartDecided, datetime]],
    rule: WindowRule = RULE,
    offsets: tuple[list[int], list[int]] | None = None,
) -> dict[Key, tuple[dict[str, Any], dict[str, Any]]]:
    """What an undisturbed fold over whole logs comes to, by window: the frames' half and the parts'.

    `offsets` are those of the records where some between them can't be read.
    """
    from streams.downstream.statistics.book import NO_FRAMES, NO_PARTS

    frame_fold, part_fold = FrameFold(rule), PartFold(rule)
    of_verdicts, of_parts = offsets or (range(len(verdicts)), range(len(parts)))
    for offset, (record, appended_at) in zip(of_verdicts, verdicts, strict=True):
        frame_fold.take(record, offset, appended_at)
    for offset, (decision, appended_at) in zip(of_parts, parts, strict=True):
        part_fold.take(decision, offset, appended_at)
    frames = {key: counts.fields() for key, counts in frame_fold.windows.items()}
    decided = {key: counts.fields() for key, counts in part_fold.windows.items()}
    return {key: (frames.get(key, NO_FRAMES), decided.get(key, NO_PARTS)) for key in frames.keys() | decided.keys()}


def highest(windows: list[LineWindow]) -> dict[Key, LineWindow]:
    """The highest revision of every window, in the order of the log; fails where one does not go upward."""
    found: dict[Key, LineWindow] = {}
    for window in windows:
        key = key_of(window)
        assert key not in found or window.revision == found[key].revision + 1, f"{key}: {window.revision}"
        found[key] = window
    return found


def start_of(key: Key) -> datetime:
    return from_ms(key[1] * RULE.width_ms)
