"""What a run on real Kafka came to: captured, decided, dead-lettered, committed, and which promises that breaks. Pure.

Place in the flow: `reading.py` fills it from the topics and from samples of the committed offsets; `judgement.py` and
the tests ask it. The topics are the truth: a frame exists if `frames` holds it. It knows no Kafka and no clock.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from schemas.records import DeadLetter, DefectDetected, PartDecided, VerdictIssued
from streams.inspection.decide import Judgement

GRACE_MS = 100  # results appended this soon after a process was killed may still be its own
T = TypeVar("T")
Log = dict[int, list[tuple[int, T]]]
"""Records in log order, by partition: (log offset, record)."""


def _log() -> Log[T]:
    return defaultdict(list)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the group had committed at one moment, and where the result topics ended just after it was asked."""

    committed: dict[int, int]
    verdict_ends: dict[int, int]
    deadletter_ends: dict[int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """The moment a cause ended (milliseconds since 1970), and the partitions that it had stopped."""

    at_ms: int
    partitions: Collection[int]


@dataclass
class Results:
    """Everything on the topics so far, in log order."""

    frames: dict[int, dict[int, UUID | None]] = field(default_factory=lambda: defaultdict(dict))
    """Readable records of `frames`: partition, offset, frame_id (None where the bytes are no frame)."""
    frame_ms: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """When the broker appended it: partition, offset, milliseconds since 1970."""
    verdicts: Log[VerdictIssued] = field(default_factory=_log)
    letters: Log[DeadLetter] = field(default_factory=_log)
    defects: Log[DefectDetected] = field(default_factory=_log)
    parts: Log[PartDecided] = field(default_factory=_log)
    first_ms: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """When the broker appended the first result of a frame: partition, frame's offset, milliseconds since 1970."""

    @property
    def ids(self) -> set[str]:
        return {str(v.verdict_id) for log in self.verdicts.values() for _, v in log}

    @property
    def frame_count(self) -> int:
        return sum(len(log) for log in self.frames.values())

    def saw_result(self, partition: int, source_offset: int, appended_ms: int) -> None:
        self.first_ms[partition].setdefault(source_offset, appended_ms)

    def effective(self) -> list[VerdictIssued]:
        """The first verdict of every id."""
        first: dict[UUID, VerdictIssued] = {}
        for log in self.verdicts.values():
            for _, verdict in log:
                first.setdefault(verdict.verdict_id, verdict)
        return list(first.values())

    def lost(self) -> list[tuple[int, int]]:
        """(partition, offset) of frames without verdict and dead letter in the same-numbered partition."""
        return [(p, offset) for p, log in self.frames.items() for offset in log.keys() - self._answered(p)]

    def phantoms(self) -> list[tuple[int, int]]:
        """(partition, offset) of results about frames that are none: aborted, or of another partition."""
        partitions = self.verdicts.keys() | self.letters.keys()
        return [(p, offset) for p in partitions for offset in self._answered(p) - self.frames[p].keys()]

    def _answered(self, partition: int) -> set[int]:
        verdicts = {v.source_offset for _, v in self.verdicts[partition] if v.source_partition == partition}
        return verdicts | {d.source_offset for _, d in self.letters[partition] if d.source_partition == partition}

    def copies(self) -> dict[str, list[VerdictIssued]]:
        """Verdicts of every id that stands on the topic more than once, first one first."""
        by_id: dict[str, list[VerdictIssued]] = defaultdict(list)
        for log in self.verdicts.values():
            for _, verdict in log:
                by_id[str(verdict.verdict_id)].append(verdict)
        return {key: found for key, found in by_id.items() if len(found) > 1}

    def duplicates(self) -> int:
        """Copies of verdicts beyond the first."""
        return sum(len(found) - 1 for found in self.copies().values())

    def contradictions(self) -> list[str]:
        """Ids whose copies do not all say what the first one says, and attempts at a frame with two ids."""
        differ = [key for key, found in self.copies().items() if len({(v.outcome, v.reason) for v in found}) > 1]
        ids: dict[tuple[UUID, int, str], set[UUID]] = defaultdict(set)
        for log in self.verdicts.values():
            for _, v in log:
                ids[v.frame_id, v.attempt, v.run].add(v.verdict_id)
        return differ + [str(frame) for (frame, _, _), found in ids.items() if len(found) > 1]

    def refused(self) -> set[tuple[int, int]]:
        """(partition, offset) of events with a dead letter."""
        return {(p, letter.source_offset) for p, log in self.letters.items() for _, letter in log}

    def missing_defects(self) -> list[UUID]:
        """Effective verdicts that people shall look at without a defect in the same-numbered partition."""
        told = {(p, defect.verdict.verdict_id) for p, log in self.defects.items() for _, defect in log}
        return [
            verdict.verdict_id
            for verdict in self.effective()
            if Judgement(verdict.outcome, verdict.reason).is_defect
            and (verdict.source_partition, verdict.verdict_id) not in told
        ]

    def order_breaks(self) -> int:
        """Effective verdicts of a station whose source offset does not grow."""
        return _breaks(self.verdicts)

    def defect_order_breaks(self) -> int:
        """The same of the defects."""
        return _breaks({p: [(at, d.verdict) for at, d in log] for p, log in self.defects.items()})

    def part_order_breaks(self) -> int:
        """First decisions of a station that know of older frames than the one before: `through_at` never goes back."""
        breaks = 0
        for log in self.parts.values():
            newest: dict[tuple[str, str, str], datetime] = {}
            seen: set[UUID] = set()
            for _, part in log:
                if part.decision_id in seen:
                    continue
                seen.add(part.decision_id)
                station = (part.plant, part.line, part.station)
                breaks += station in newest and part.through_at < newest[station]
                newest[station] = part.through_at
        return breaks

    def uncovered(self, samples: list[Sample]) -> list[tuple[int, int]]:
        """(partition, offset) below what a sample saw committed that had no readable result at that moment.

        Ends and commits only grow, so each offset is judged at the first sample that has it below the committed one.
        Where `frames` was read, offsets without a readable record (of aborted transactions) need no result.
        """
        missing = []
        for partition in {p for sample in samples for p in sample.committed}:
            verdict_at = _first_at((v.source_offset, at) for at, v in self.verdicts[partition])
            letter_at = _first_at((d.source_offset, at) for at, d in self.letters[partition])
            judged = 0
            for sample in samples:
                committed = sample.committed.get(partition, 0)
                for offset in range(judged, committed):
                    decided = verdict_at.get(offset, math.inf) < sample.verdict_ends[partition]
                    refused = letter_at.get(offset, math.inf) < sample.deadletter_ends[partition]
                    if not decided and not refused and self._exists(partition, offset):
                        missing.append((partition, offset))
                judged = max(judged, committed)
        return missing

    def _exists(self, partition: int, offset: int) -> bool:
        return not self.frames or offset in self.frames[partition]

    def recovery_s(self, mark: Mark) -> float:
        """Seconds from the end of a cause to the first newly decided frame, of the slowest partition that it stopped.

        Infinite where a partition never came back; by the broker's append times.
        """
        return max(self.waits_s(mark).values(), default=0.0)

    def longest_wait_s(self) -> float:
        """The longest that any frame waited for its first result, from append to append."""
        return max(
            (
                (at - self.frame_ms[p][o]) / 1000
                for p, log in self.first_ms.items()
                for o, at in log.items()
                if o in self.frame_ms[p]
            ),
            default=0.0,
        )

    def waits_s(self, mark: Mark) -> dict[int, float]:
        """The same by partition."""
        waits: dict[int, float] = {}
        for partition in mark.partitions:
            later = [ms for ms in self.first_ms[partition].values() if ms >= mark.at_ms + GRACE_MS]
            waits[partition] = (min(later) - mark.at_ms) / 1000 if later else math.inf
        return waits


def _breaks(logs: Log[VerdictIssued]) -> int:
    breaks, seen = 0, set()
    for log in logs.values():
        newest: dict[tuple[str, str, str], int] = {}
        for _, verdict in log:
            if verdict.verdict_id in seen:
                continue
            seen.add(verdict.verdict_id)
            station = (verdict.plant, verdict.line, verdict.station)
            breaks += verdict.source_offset <= newest.get(station, -1)
            newest[station] = verdict.source_offset
    return breaks


def _first_at(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """The earliest place in the log of the result for each frame offset."""
    first: dict[int, int] = {}
    for source_offset, at in pairs:
        first[source_offset] = min(at, first.get(source_offset, at))
    return first
