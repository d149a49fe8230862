"""What a dashboard shows of a scope and a span of time: plain values, ready to be drawn. Pure.

Made by the overview, drawn by the dashboard's page. Knows no page, no language, no topic. Times are UTC and, where they
are of frames or parts, by the broker's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from models.evaluate import Rate
from schemas.records import AlarmRaised, Estimate, Mode, Recipe
from streams.downstream.parts.blocks import Block
from streams.downstream.rework.agreement import Agreement
from streams.downstream.statistics.control_chart import PChart

Station = tuple[str, str, str]
"""Plant, line, station."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, end exclusive. `live` spans move with the clock."""

    start: datetime
    end: datetime
    live: bool = False

    @property
    def length(self) -> timedelta:
        return self.end - self.start


class LineState(StrEnum):
    """The word on a line's tile, the worst that holds."""

    NOT_INSPECTED = "NOT_INSPECTED"
    """Parts went by uninspected in the newest window."""
    ALARM = "ALARM"
    """An alarm of severity WARNING or above is open."""
    IDLE = "IDLE"
    """No frames in the newest windows."""
    RUNNING = "RUNNING"


@dataclass(frozen=True, slots=True)
class Tile:
    """One line at a glance, over the view's span; `parts_per_min` over its newest whole windows."""

    plant: str
    line: str
    state: LineState
    parts_per_min: float | None
    planned_parts_per_min: float | None
    first_pass_yield: Rate
    not_inspected: int
    open_rework: int
    """Defects without a decision."""
    alarms: int
    """Open ones."""
    trend: tuple[float | None, ...]
    """Parts a minute of the newest windows, oldest first: a sparkline."""
    newest_at: datetime | None
    """Trigger time of the newest window that has frames."""
    mode: Mode
    """The least binding one among the recipes of its stations' newest windows; UNKNOWN where none is known."""


@dataclass(frozen=True, slots=True)
class WindowSum:
    """All stations of the scope in one step of the time axis. A step is one window, or several whole ones."""

    start: datetime
    width: timedelta
    final: bool
    frames: int
    outcomes: Mapping[str, int]
    parts: Mapping[str, int]
    """Of pass 1, by outcome."""
    reworked: Mapping[str, int]
    missing_triggers: int
    deadline_missed: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Changeover:
    """From `at` on another recipe (`sku@version`) or model (model_id) was at work at a station."""

    at: datetime
    station: Station
    kind: str
    """`recipe` or `model`."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ParetoBar:
    """NG frames of one label, the most frequent first; `cumulated` is the share up to and with this bar."""

    label: str
    count: int
    cumulated: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Trigger to verdict. `counts` are frames in the buckets of streams.downstream.statistics.latency."""

    counts: tuple[int, ...]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    deadline_ms: int | None
    missed: int
    frames: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Triggers that no frame came of, and parts nobody inspected."""

    missing_triggers: int
    repeated_triggers: int
    parts_not_inspected: int
    reasons: Mapping[str, int]
    """Frames of no use by reason: LATE, CORRUPT, …"""
    blocks: tuple[Block, ...]
    """Newest first."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What a station works with now: the recipe in force by SKU, and the models of its newest window."""

    station: Station
    recipes: tuple[Recipe, ...]
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a dashboard shows. `version` changes when anything in it does."""

    version: int
    made_at: datetime
    newest_at: datetime | None
    """When the newest window in it was published; None where there is none."""
    through: Mapping[int, int]
    """By partition, the last offset of `verdicts` counted in."""
    span: Span
    step: timedelta
    tiles: tuple[Tile, ...]
    """All lines of the plant in scope, whatever the line in scope."""
    stations: tuple[Station, ...]
    """All that are known, for the choice of a scope."""
    frames: int
    parts: Mapping[str, int]
    """Of pass 1, by outcome."""
    parts_per_min: float | None
    first_pass_yield: Rate
    series: tuple[WindowSum, ...]
    chart: PChart
    """Of the share of NG and UNSURE among inspected parts of pass 1, one point a step of `series`."""
    changeovers: tuple[Changeover, ...]
    pareto: tuple[ParetoBar, ...]
    escape: Estimate
    """Share of passed frames that are bad, from pass audits that were triggered in the span."""
    overkill: Estimate
    """Good frames rejected per frame inspected, from decisions about frames triggered in the span."""
    audits_waiting: int
    """Pass audits chosen but not decided."""
    agreement: Agreement
    latency: Latency
    missing: Missing
    alarms: tuple[AlarmRaised, ...]
    """Open ones first, the newest first; then those that were cleared within the span."""
    in_force: tuple[InForce, ...]
    waiting: int | None
    """Frames that inspection has not committed yet, all stations; None where that can't be told."""


class What(StrEnum):
    """What a gallery shows."""

    FRAMES = "frames"
    ESCAPES = "escapes"
    """Passed frames that a person confirmed as bad."""
    OVERKILL = "overkill"
    """Rejected frames that a person found good."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which frames a gallery shows: of the scope and span of its view, those that meet every condition given."""

    what: What = What.FRAMES
    outcomes: tuple[str, ...] = ()
    """OK, NG, UNSURE, ERROR; empty for all."""
    label: str | None = None
    """Of the surest finding."""
    reason: str | None = None
    latency_bucket: int | None = None
    part_id: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of a gallery: where to get it, and what is known of it."""

    verdict_id: str
    station: Station
    camera: str
    part_id: str | None
    outcome: str
    label: str | None
    score: float | None
    threshold: float | None
    reason: str
    model_id: str
    triggered_at: datetime
    decided_at: datetime
    deadline_met: bool
    finding: str | None
    """What a person found, if somebody decided."""
    frame_partition: int
    frame_offset: int
    """Picture at /frames/<partition>/<offset>/picture."""


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `cursor` asks for the next page; None at the end."""

    items: tuple[Shown, ...]
    cursor: str | None
