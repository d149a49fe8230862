"""A part's whole history, oldest first: what the tables and the topics tell of one id. Pure; fed by its command.

Offsets and digests stand beside every fact, so that each can be looked up again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.records import AuditEntry, SampleSelected, StationClaim
from streams.bus.subscriber import Received
from streams.inspection.recipes import RecipeBook, of_part

QUERIES: Mapping[str, str] = {
    "frames": "SELECT * EXCLUDE (event) FROM frames WHERE part_id = $part",
    "verdicts": "SELECT * EXCLUDE (event) FROM verdicts WHERE part_id = $part AND NOT simulated",
    "defects": "SELECT * EXCLUDE (event) FROM defects WHERE part_id = $part",
    "parts": "SELECT * EXCLUDE (event) FROM parts WHERE part_id = $part",
    "outcomes": "SELECT * EXCLUDE (event) FROM outcomes WHERE part_id = $part",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened: when (append time), where it stands, and what it says, for people and in full."""

    at: datetime
    what: str
    topic: str
    partition: int
    offset: int
    sha256: str | None
    says: str
    more: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        place = {"topic": self.topic, "partition": self.partition, "offset": self.offset, "sha256": self.sha256}
        return {"at": self.at.isoformat(), "what": self.what, **place, "says": self.says, **self.more}


def step_of_row(table: str, row: Mapping[str, Any], recipes: RecipeBook) -> Step:
    """A row of an archive table."""
    says = {"frames": _frame, "verdicts": _verdict, "defects": _defect, "parts": _part, "outcomes": _outcome}[table](
        row
    )
    more = {name: value for name, value in row.items() if value is not None and name not in ("event_sha256", "is_copy")}
    if table == "verdicts":
        recipe = recipes.in_force(row["plant"], row["line"], row["sku"], row["source_timestamp"])
        if recipe is not None and recipe.version == row["recipe_version"]:
            recipe = of_part(recipe, row["part_id"] or str(row["frame_id"]))
            more["recipe"] = {"version": recipe.version, "thresholds": dict(recipe.thresholds), "author": recipe.author}
            says += f", recipe {recipe.version} by {recipe.author}"
    return Step(
        row["appended_at"],
        table.removesuffix("s"),
        table,
        row["partition"],
        row["offset"],
        row["event_sha256"],
        says,
        more,
    )


def step_of_event(topic: str, received: Received[Any]) -> Step:
    """An event of a topic that is not archived: samples, claims, audit."""
    record = received.record
    match record:
        case SampleSelected():
            says = f"{record.strategy}: {record.why}"
        case StationClaim():
            says = f"{record.operator} at {record.rework_station} {'releases' if record.released else 'opens'} it"
        case AuditEntry():
            says = f"{record.actor}: {record.action} {record.subject}"
        case _:
            says = type(record).__name__
    place = (topic, received.partition, received.offset)
    return Step(received.timestamp, topic.removesuffix("s"), *place, None, says, {})


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Oldest first; what came at once, in the order of the flow."""
    flow = ("frames", "verdicts", "defects", "parts", "samples", "claims", "audit", "outcomes")
    return sorted(steps, key=lambda step: (step.at, flow.index(step.topic), step.partition, step.offset))


def is_about(record: Any, part_id: str, ids: frozenset[str]) -> bool:
    """Whether an event tells of a part, by its id or by the ids of its verdicts and cases."""
    if isinstance(record, AuditEntry):
        return any(value in record.subject for value in (part_id, *ids))
    return bool(record.part_id == part_id)


def _frame(row: Mapping[str, Any]) -> str:
    kept = row.get("kept_for")
    picture = f"picture kept ({kept})" if kept else "picture not archived"
    if row.get("inclusion_probability") and row["inclusion_probability"] < 1:
        picture += f", probability {row['inclusion_probability']:.3f}"
    return (
        f"{row['camera']} #{row['trigger_seq']} view {row['view']} of {row['views']}, pass {row['pass_no']}, {picture}"
    )


def _verdict(row: Mapping[str, Any]) -> str:
    found = ", ".join(
        f"{f['label']} {f['score']:.3f} (limit {f['threshold']:g})" for f in json.loads(row["findings"] or "[]")
    )
    by = f"model {row['model_id']} on {row['device']} {row['precision']}" if row["device"] else row["detail"]
    return f"{row['outcome']} {found or row['reason']}, {by}"


def _defect(row: Mapping[str, Any]) -> str:
    return f"{row['outcome']}, picture {row['image_ref']}"


def _part(row: Mapping[str, Any]) -> str:
    return f"{row['outcome']} {row['reason']} {row['detail']}".strip()


def _outcome(row: Mapping[str, Any]) -> str:
    label = row["corrected_label"] or row["predicted_label"] or ""
    said = (row["finding"], label, row["disposition"], row["comment"])
    return f"{row['operator']} at {row['rework_station']}: {' '.join(word for word in said if word)}"
