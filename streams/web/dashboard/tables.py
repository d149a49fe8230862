"""The numbers behind each chart as CSV: for spreadsheets, with units in the header. Pure.

Columns keep their English names in every language, so that what reads them goes on. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from streams.downstream.overview.view import View
from streams.downstream.statistics.latency import EDGES_MS
from streams.web.api.writers import BOM, cell, csv_lines
from streams.web.dashboard.time_charts import PART_STATES

Table = tuple[list[str], list[list[Any]]]
"""Header and rows."""


def csv_table(name: str, view: View) -> bytes:
    """UTF-8 with a mark for spreadsheets; texts that would be calculated are defused. KeyError for no such table."""
    header, rows = _TABLES[name](view)
    return BOM.encode() + csv_lines([header, *[[cell(value) for value in row] for row in rows]])


def file_name(name: str, view: View) -> str:
    """`lineside-control-20260731T0600Z-20260731T1400Z.csv`."""
    start, end = (f"{at:%Y%m%dT%H%MZ}" for at in (view.span.start, view.span.end))
    return f"lineside-{name}-{start}-{end}.csv"


def _control(view: View) -> Table:
    finals = {window.start: window.final for window in view.series}
    header = ["window_start_utc", "width_s", "final", "parts_inspected", "parts_not_ok", "share_not_ok"]
    header += ["centre", "lower_limit", "upper_limit", "run_rules", "changeovers"]
    changes: dict[datetime, list[str]] = {}
    for change in view.changeovers:
        start = max((p.start for p in view.chart.points if p.start <= change.at), default=change.at)
        text = f"{'/'.join(change.station)} {change.kind} {change.before} -> {change.after}"
        changes.setdefault(start, []).append(text)
    width = view.step.total_seconds()
    rows: list[list[Any]] = []
    for p in view.chart.points:
        shares = [p.n, p.bad, p.share, view.chart.centre, p.lower, p.upper]
        notes = ["; ".join(p.rules), "; ".join(changes.get(p.start, ()))]
        rows.append([p.start, width, finals.get(p.start, True), *shares, *notes])
    return header, rows


def _pace(view: View) -> Table:
    states = [f"parts_{state.lower()}" for state in PART_STATES]
    header = ["window_start_utc", "width_s", "final", "parts_per_min", *states, "frames", "missing_triggers"]
    header += ["deadline_missed_frames", "latency_p50_ms", "latency_p95_ms"]
    rows = []
    for w in view.series:
        counts = [w.parts.get(state, 0) for state in PART_STATES]
        width_s = w.width.total_seconds()
        row: list[Any] = [w.start, width_s, w.final, sum(counts) * 60 / width_s, *counts, w.frames, w.missing_triggers]
        rows.append([*row, w.deadline_missed, w.latency_p50_ms, w.latency_p95_ms])
    return header, rows


def _pareto(view: View) -> Table:
    header = ["label", "ng_frames", "cumulated_share", "window_start_utc", "window_end_utc"]
    span = [view.span.start, view.span.end]
    return header, [[bar.label, bar.count, bar.cumulated, *span] for bar in view.pareto]


def _latency(view: View) -> Table:
    rows: list[list[Any]] = []
    for bucket, count in enumerate(view.latency.counts):
        low = EDGES_MS[bucket - 1] if bucket else 0.0
        high = EDGES_MS[bucket] if bucket < len(EDGES_MS) else None
        rows.append([low, high, count, view.latency.deadline_ms])
    return ["above_ms", "up_to_ms", "frames", "deadline_ms"], rows


def _quality(view: View) -> Table:
    kappa = view.agreement.finding
    rows: list[list[Any]] = [
        [name, e.value, e.low, e.high, e.n] for name, e in (("escape", view.escape), ("overkill", view.overkill))
    ]
    rows.append(["agreement_kappa", *((kappa.value, kappa.low, kappa.high, kappa.n) if kappa else (None,) * 3 + (0,))])
    return ["estimate", "value", "low_95", "high_95", "n_looks"], rows


def _missing(view: View) -> Table:
    held = view.missing
    header = ["what", "reason", "count", "plant", "line", "station", "from_utc", "to_utc"]
    rows: list[list[Any]] = [
        ["missing_triggers", None, held.missing_triggers, *[None] * 5],
        ["repeated_triggers", None, held.repeated_triggers, *[None] * 5],
        ["parts_not_inspected", None, held.parts_not_inspected, *[None] * 5],
        *(["frames_of_no_use", reason, n, *[None] * 5] for reason, n in held.reasons.items()),
    ]
    for block in held.blocks:
        where = [block.plant, block.line, block.station, block.started_at, block.ended_at]
        rows += [["block_of_parts_not_inspected", str(reason), n, *where] for reason, n in block.reasons.items()]
    return header, rows


def _alarms(view: View) -> Table:
    header = ["severity", "kind", "subject", "value", "limit", "since_utc", "cleared_utc", "detail"]
    return header, [
        [str(a.severity), str(a.kind), a.subject, a.value, a.limit, a.since, a.cleared, a.detail] for a in view.alarms
    ]


_TABLES: Mapping[str, Callable[[View], Table]] = {
    "control": _control,
    "pace": _pace,
    "pareto": _pareto,
    "latency": _latency,
    "quality": _quality,
    "missing": _missing,
    "alarms": _alarms,
}
