"""Entries of the audit log tied by their hashes, and the check that none was changed, lost or swapped. Pure.

Each entry carries the sha256 of the one before and its own, over canonical JSON of all its other fields: keys
sorted, no spaces, UTF-8, times in UTC to the millisecond. A chain begins anew with each start of a writer. What was
cut off at the end of a chain can't be seen in what is left; keep its last sha256 elsewhere to notice that.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from schemas.records import AuditEntry

NO_ENTRY = "0" * 64  # what the first entry names as the one before


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state. `before` and `after` are JSON."""

    actor: str
    action: str
    subject: str
    before: str | None = None
    after: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold; `chain_seq` is the place that is wrong."""

    chain_id: str
    chain_seq: int
    what: str


class AuditChain:
    """The writing end of one chain."""

    def __init__(self, chain_id: str) -> None:
        self.chain_id = chain_id
        self._next_seq = 0
        self._previous = NO_ENTRY

    def next(self, change: Change, at: datetime) -> AuditEntry:
        """The entry of a change, which the following one will name. `at` is cut to the millisecond."""
        entry = AuditEntry(
            chain_id=self.chain_id,
            chain_seq=self._next_seq,
            **{field.name: getattr(change, field.name) for field in dataclasses.fields(change)},
            at=at.replace(microsecond=at.microsecond // 1000 * 1000),
            previous_sha256=self._previous,
            sha256="",
        )
        entry = dataclasses.replace(entry, sha256=digest(entry))
        self._next_seq += 1
        self._previous = entry.sha256
        return entry


def digest(entry: AuditEntry) -> str:
    """The sha256 that an entry must carry."""
    fields = entry.to_avro()
    del fields["sha256"]
    fields["at"] = entry.at.astimezone(UTC).isoformat(timespec="milliseconds")
    return sha256(json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def verify(entries: Iterable[AuditEntry]) -> list[Break]:
    """Every place where a chain does not hold; `entries` of any number of chains, in the order of the log.

    An entry that comes again unchanged is a copy, as after a broker's restart, and no break.
    """
    found: list[Break] = []
    last: dict[str, AuditEntry] = {}
    seen: set[tuple[str, int, str]] = set()
    for entry in entries:
        intact = digest(entry) == entry.sha256
        if intact and (entry.chain_id, entry.chain_seq, entry.sha256) in seen:
            continue
        if not intact:
            found.append(Break(entry.chain_id, entry.chain_seq, "changed: its sha256 is not that of its fields"))
        elif what := _misfit(last.get(entry.chain_id), entry):
            found.append(Break(entry.chain_id, entry.chain_seq, what))
        seen.add((entry.chain_id, entry.chain_seq, entry.sha256))
        last[entry.chain_id] = entry
    return found


def _misfit(before: AuditEntry | None, entry: AuditEntry) -> str | None:
    """Why an entry can't follow the one before it in the log; None where it does."""
    expected_seq = before.chain_seq + 1 if before else 0
    if entry.chain_seq < expected_seq:
        return f"swapped: expected number {expected_seq}, came {entry.chain_seq}"
    if entry.chain_seq > expected_seq:
        return f"missing: expected number {expected_seq}, came {entry.chain_seq}"
    if entry.previous_sha256 != (before.sha256 if before else NO_ENTRY):
        return "exchanged: it follows another entry than the one before it"
    return None
