"""Builders for rework: defects, samples, outcomes, claims and parts as they are read, for tests."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from schemas.records import (
    AuditEntry,
    DefectDetected,
    DefectLocated,
    Finding,
    PartDecided,
    ReworkFinding,
    ReworkOutcome,
    SampleSelected,
    StationClaim,
)
from streams.bus.subscriber import Received
from streams.downstream.rework.cases import CaseKey, Scope
from tests.contracts.samples import CLAIM, DEFECT, LOCATED, NAMESPACE, OUTCOME, PART, SAMPLE, VERDICT

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
EVERYTHING = Scope()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def verdict_id(n: int) -> UUID:
    return uuid5(NAMESPACE, f"case {n}")


def key(n: int, review: int = 1) -> CaseKey:
    return CaseKey(verdict_id(n), review)


def defect(n: int, score: float = 0.9, **changes: Any) -> DefectDetected:
    """The n-th frame, triggered n seconds after START; by default each shows a part of its own."""
    fields: dict[str, Any] = {
        "verdict_id": verdict_id(n),
        "part_id": f"P{n}",
        "pass_no": 1,
        "trigger_seq": n,
        "findings": (Finding(label="scratch", score=score, threshold=0.5),),
        "source_timestamp": at(n),
        "gateway_ms": 0,
    }
    return dataclasses.replace(DEFECT, verdict=dataclasses.replace(VERDICT, **fields | changes))


def located(n: int, **changes: Any) -> DefectLocated:
    """Where the defect of the n-th frame lies."""
    place = {name: getattr(VERDICT, name) for name in ("plant", "line", "station")}
    return dataclasses.replace(LOCATED, **{"verdict_id": verdict_id(n)} | place | changes)


def sample(n: int, **changes: Any) -> SampleSelected:
    """A pass audit of the n-th frame."""
    fields: dict[str, Any] = {
        "sample_id": uuid5(NAMESPACE, f"sample {n}"),
        "verdict_id": verdict_id(n),
        "part_id": f"P{n}",
        "inspected_at": at(n),
    }
    return dataclasses.replace(SAMPLE, **fields | changes)


def outcome(n: int, name: str, supersedes: str | None = None, **changes: Any) -> ReworkOutcome:
    """An outcome about the n-th frame; `name` makes its id."""
    fields: dict[str, Any] = {
        "outcome_id": uuid5(NAMESPACE, f"outcome {name}"),
        "verdict_id": verdict_id(n),
        "part_id": f"P{n}",
        "supersedes": uuid5(NAMESPACE, f"outcome {supersedes}") if supersedes else None,
        "finding": ReworkFinding.CONFIRMED,
    }
    return dataclasses.replace(OUTCOME, **fields | changes)


def claim(n: int, operator: str, **changes: Any) -> StationClaim:
    fields: dict[str, Any] = {
        "claim_id": uuid5(NAMESPACE, f"claim {n} {operator}"),
        "verdict_id": verdict_id(n),
        "operator": operator,
        "ttl_ms": 60_000,
    }
    return dataclasses.replace(CLAIM, **fields | changes)


def part(n: int, **changes: Any) -> PartDecided:
    """The n-th part, not inspected unless told otherwise, triggered n seconds after START."""
    fields: dict[str, Any] = {
        "decision_id": uuid5(NAMESPACE, f"part {n}"),
        "part_id": f"P{n}",
        "pass_no": 1,
        "first_at": at(n),
    }
    return dataclasses.replace(PART, **fields | changes)


def handled(first: PartDecided, last: PartDecided, **changes: Any) -> AuditEntry:
    fields: dict[str, Any] = {
        "chain_id": "station/R1/x",
        "chain_seq": 0,
        "actor": "ana",
        "action": "block.send-back",
        "subject": str(first.decision_id),
        "after": json.dumps({"last": str(last.decision_id)}),
        "at": START,
        "previous_sha256": "0" * 64,
        "sha256": "0" * 64,
    }
    return AuditEntry(**fields | changes)


def read(record: Any, offset: int = 0, seconds: float = 0.0, partition: int = 7) -> Received[Any]:
    """A record as the subscriber hands it out, appended `seconds` after START."""
    return Received(record, partition, offset, at(seconds), b"leipzig/L1/S2")
