"""What `parts` says about parts that people must know of: uninspected blocks, and the decisions of rejected parts.
Pure.

Place in the flow: the board's memory of the topics `parts` and `audit`. Of parts that passed at their first
inspection nothing is kept but that one passed, which ends a block. That a block was dealt with is an entry of the
audit log: its subject is the first decision_id, and `after` names the last. What joins the block later is not dealt
with by it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from schemas.records import AuditEntry, PartDecided, PartOutcome
from streams.downstream.parts.blocks import Block, blocks
from streams.downstream.rework.cases import Read
from streams.downstream.rework.decisions import BlockAction

Station = tuple[str, str, str]
At = tuple[datetime, PartDecided]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class _Handled:
    entry: AuditEntry
    last: UUID  # decision_id
    at: datetime


def handled_note(block: Block) -> dict[str, object]:
    """What the audit entry about a block says in `after`."""
    return {"last": str(block.last.decision_id), "parts": block.count}


class PartLog:
    """Decisions about parts, each partition of the topic given in its order."""

    def __init__(self) -> None:
        self._runs: defaultdict[Station, list[At]] = defaultdict(list)
        self._of_part: defaultdict[str, list[At]] = defaultdict(list)
        self._handled: dict[UUID, _Handled] = {}  # by the first decision of the block
        self._blocks: list[Block] | None = []

    def part(self, read: Read[PartDecided]) -> None:
        part, at = read.record, (read.timestamp, read.record)
        if part.part_id and (part.outcome is not PartOutcome.OK or part.pass_no > 1):
            self._of_part[part.part_id].append(at)
        run = self._runs[part.plant, part.line, part.station]
        if _uninspected(part) or (run and _uninspected(run[-1][1])):
            run.append(at)
            self._blocks = None

    def audit(self, read: Read[AuditEntry]) -> None:
        """Takes entries about blocks in, leaves others; ValueError where one can't be understood."""
        entry = read.record
        if entry.action in set(BlockAction):
            try:
                last = UUID(json.loads(entry.after or "")["last"])
            except (TypeError, KeyError, AttributeError, RecursionError) as error:
                raise ValueError(f"{entry.action} without the last decision of its block: {error}") from None
            self._handled.setdefault(UUID(entry.subject), _Handled(entry, last, read.timestamp))
            self._blocks = None

    def of(self, part_id: str) -> Iterator[At]:
        """The decisions about a part that are kept, with their append times."""
        return iter(self._of_part.get(part_id, ()))

    def blocks(self) -> list[Block]:
        """What nobody has dealt with, by its beginning."""
        if self._blocks is None:
            self._blocks = blocks(part for run in self._runs.values() for part in self._not_handled(run))
        return self._blocks

    def handling(self, block: Block) -> AuditEntry | None:
        """What was done with a block; of several that dealt with it the first counts."""
        handled = self._handled.get(block.first.decision_id)
        return handled.entry if handled else None

    def forget(self, before: datetime) -> None:
        """Drop what came before this time."""
        self._runs, self._of_part = _since(before, self._runs), _since(before, self._of_part)
        self._handled = {first: handled for first, handled in self._handled.items() if handled.at >= before}
        self._blocks = None

    def _not_handled(self, run: list[At]) -> Iterator[PartDecided]:
        places = {part.decision_id: place for place, (_, part) in enumerate(run)}
        skipped_to = -1
        for place, (_, part) in enumerate(run):
            if part.decision_id in self._handled:
                last = self._handled[part.decision_id].last
                skipped_to = max(skipped_to, places.get(last, place))
            if place > skipped_to:
                yield part


def _uninspected(part: PartDecided) -> bool:
    return part.outcome is PartOutcome.NOT_INSPECTED


def _since(before: datetime, kept: Mapping[K, list[At]]) -> defaultdict[K, list[At]]:
    newer = {name: [at for at in ats if at[0] >= before] for name, ats in kept.items()}
    return defaultdict(list, {name: ats for name, ats in newer.items() if ats})
