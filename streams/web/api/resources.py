"""What may be read, once: each resource's topic, what its filters look at, and its columns. Pure.

Place in the flow: the routes of tables and of live events are made from these rows; a new resource is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from schemas import records
from streams.bus.subscriber import Received
from streams.columns import Column, Kind, columns_of
from streams.downstream.overview.alarms import OF_THE_INSTALLATION
from streams.topics import ALARMS, DEFECTS, LINE_STATS, OUTCOMES, PARTS, VERDICTS, Topic
from streams.web.api.query import Filters

Facts = Mapping[str, Any]  # by the name of a filter: a value, or a tuple of which one must match


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of event to read. `facts` gives what filters compare; `outcomes` are the words of `outcome`."""

    name: str
    topic: Topic
    says: str
    facts: Callable[[Any], Facts]
    outcomes: type[StrEnum] | None
    filters: frozenset[str]
    columns: tuple[Column, ...]

    def check(self, filters: Filters) -> None:
        """ValueError for a filter that these events have nothing for, or an outcome that there is not."""
        for name, value in filters.asked().items():
            if name not in self.filters:
                raise ValueError(f"{self.name} have no {name}; filters are {', '.join(sorted(self.filters))}")
            if name == "outcome" and self.outcomes is not None and value not in list(self.outcomes):
                raise ValueError(f"outcome is one of {', '.join(self.outcomes)}; came {value!r:.80}")

    def matches(self, asked: Mapping[str, str], record: records.Event) -> bool:
        """Whether the event is what the filters ask for."""
        if not asked:
            return True
        facts = self.facts(record)
        return all(_holds(facts[name], value) for name, value in asked.items())


def _holds(fact: Any, value: str) -> bool:
    return value in fact if isinstance(fact, tuple) else fact == value


def _station(record: Any) -> dict[str, Any]:
    return {"plant": record.plant, "line": record.line, "station": record.station}


def _verdict(record: records.VerdictIssued) -> Facts:
    labels = tuple(finding.label for finding in record.findings)
    return {**_station(record), "outcome": record.outcome, "label": labels, "part_id": record.part_id}


def _part(record: records.PartDecided) -> Facts:
    return {**_station(record), "outcome": record.outcome, "label": record.labels, "part_id": record.part_id}


def _rework(record: records.ReworkOutcome) -> Facts:
    label = record.corrected_label or record.predicted_label
    return {**_station(record), "outcome": record.finding, "label": label, "part_id": record.part_id}


def _alarm(record: records.AlarmRaised) -> Facts:
    of_station = record.kind not in OF_THE_INSTALLATION
    place = record.subject.split("/") if of_station else ()
    return dict(zip(("plant", "line", "station"), (*place, None, None, None), strict=False))


def _surest(event: Received[Any]) -> records.Finding | None:
    verdict = getattr(event.record, "verdict", event.record)
    return max(verdict.findings, key=lambda finding: finding.score, default=None)


_TOP = (
    Column("top_label", Kind.TEXT, "Label of the surest finding.", lambda e: getattr(_surest(e), "label", None)),
    Column("top_score", Kind.NUMBER, "Score of the surest finding.", lambda e: getattr(_surest(e), "score", None)),
)
_EVERY_FILTER = frozenset(field.name for field in fields(Filters))
_PLACE_ONLY = frozenset({"plant", "line", "station"})
RESOURCES: Mapping[str, Resource] = {
    resource.name: resource
    for resource in (
        Resource(
            "defects",
            DEFECTS,
            "NG and UNSURE frames with their pictures.",
            lambda record: _verdict(record.verdict),
            records.Outcome,
            _EVERY_FILTER,
            columns_of(records.DefectDetected, *_TOP, unprefixed="verdict"),
        ),
        Resource(
            "verdicts",
            VERDICTS,
            "The decision about every frame. Only one of mode ACT may move a part.",
            _verdict,
            records.Outcome,
            _EVERY_FILTER,
            columns_of(records.VerdictIssued, *_TOP),
        ),
        Resource(
            "parts",
            PARTS,
            "The decision about every part, from all its views. Only one of mode ACT may be moved by it.",
            _part,
            records.PartOutcome,
            _EVERY_FILTER,
            columns_of(records.PartDecided),
        ),
        Resource(
            "outcomes",
            OUTCOMES,
            "What people decided at rework stations; here `outcome` is the finding.",
            _rework,
            records.ReworkFinding,
            _EVERY_FILTER,
            columns_of(records.ReworkOutcome),
        ),
        Resource(
            "alarms",
            ALARMS,
            "Conditions that somebody should know of; the newest record of an alarm_id is its state.",
            _alarm,
            None,
            _PLACE_ONLY,
            columns_of(records.AlarmRaised),
        ),
        Resource(
            "line-stats",
            LINE_STATS,
            "Counts, latencies and estimates by station and window; the highest revision of a window counts.",
            _station,
            None,
            _PLACE_ONLY,
            columns_of(records.LineWindow),
        ),
    )
}
