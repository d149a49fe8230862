"""The time axis of a view: its steps, and what rows come to in each of them. Pure.

A step is one window or several whole ones, so that a span has few enough steps to be drawn. Steps of a live span stand
still while the span moves on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from schemas.records import PartOutcome
from streams.downstream.overview.rows import Columns, Row
from streams.downstream.overview.view import Span, WindowSum
from streams.downstream.statistics.control_chart import PChart, Sample, p_chart
from streams.downstream.statistics.windows import from_ms, to_ms

MOST_STEPS = 60
OF_WINDOWS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 480, 720, 1440)


@dataclass(frozen=True, slots=True)
class Axis:
    """Steps from `start_ms` to `end_ms` (exclusive), in ms since 1970; the last step may be cut off."""

    start_ms: int
    end_ms: int
    step_ms: int

    @property
    def starts_ms(self) -> range:
        return range(self.start_ms, self.end_ms, self.step_ms)

    @property
    def span(self) -> tuple[int, int]:
        return self.start_ms, self.end_ms


def axis_of(span: Span, width_ms: int) -> Axis:
    """The steps of a span. A live one begins with a whole step and ends with a whole window."""
    start, end = to_ms(span.start), to_ms(span.end)
    windows = max(1, -((start - end) // width_ms))
    fitting = (n for n in OF_WINDOWS if windows <= n * MOST_STEPS)
    step = width_ms * next(fitting, -(-windows // MOST_STEPS))
    if span.live:
        start -= start % step
        end += -end % width_ms
    return Axis(start, end, step)


def series(rows: Sequence[Row], axis: Axis, columns: Columns, now_ms: int) -> tuple[WindowSum, ...]:
    """The sums of every step, empty ones too."""
    parted: list[list[Row]] = [[] for _ in axis.starts_ms]
    for row in rows:
        parted[(row.start_ms - axis.start_ms) // axis.step_ms].append(row)
    return tuple(_step(start, axis, of, columns, now_ms) for start, of in zip(axis.starts_ms, parted, strict=True))


def chart(steps: Sequence[WindowSum]) -> PChart:
    """The p-chart of NG and UNSURE among inspected parts of pass 1."""
    return p_chart([_sample(step) for step in steps])


def _step(start_ms: int, axis: Axis, rows: Sequence[Row], columns: Columns, now_ms: int) -> WindowSum:
    found = columns.totals(rows)
    end_ms = start_ms + axis.step_ms
    return WindowSum(
        start=from_ms(start_ms),
        width=timedelta(milliseconds=axis.step_ms),
        final=end_ms <= min(now_ms, axis.end_ms) and all(row.final for row in rows),
        frames=found.frames,
        outcomes=found.outcomes,
        parts=found.parts,
        reworked=found.reworked,
        missing_triggers=found.missing_triggers,
        deadline_missed=found.deadline_missed,
        latency_p50_ms=found.latency_ms(0.5),
        latency_p95_ms=found.latency_ms(0.95),
    )


def _sample(step: WindowSum) -> Sample:
    inspected = sum(n for outcome, n in step.parts.items() if outcome != PartOutcome.NOT_INSPECTED)
    return Sample(step.start, inspected, inspected - step.parts.get(PartOutcome.OK, 0))
