"""Pages of pictures: what meets a choice, what is shown of it, and where the next page begins. Pure.

Place in the flow: `album.py` reads verdicts for it. A cursor comes back from a browser and may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from schemas.records import Finding, ReworkOutcome, VerdictIssued
from streams.bus.subscriber import Received
from streams.downstream.overview.view import Choice, Shown, Span
from streams.downstream.rework.cases import Scope
from streams.downstream.statistics import latency
from streams.errors import CallerError

_FRAMES = re.compile(r"f(:[0-9]{1,5}\.[0-9]{1,18})*")
_JUDGED = re.compile(r"j:([0-9]{1,15}):([0-9a-f]{32})")


def triggered_at(verdict: VerdictIssued) -> datetime:
    """By the broker's clock, less what the gateway took; ValueError where that is no time."""
    try:
        return verdict.source_timestamp - timedelta(milliseconds=max(0, verdict.gateway_ms or 0))
    except OverflowError:
        raise ValueError(f"gateway_ms must be milliseconds since the trigger; came {verdict.gateway_ms}") from None


def surest(verdict: VerdictIssued) -> Finding | None:
    return max(verdict.findings, key=lambda finding: finding.score, default=None)


def meets(received: Received[VerdictIssued], scope: Scope, span: Span, choice: Choice) -> bool:
    """Whether a verdict is of scope and span, no replay, and as chosen."""
    verdict = received.record
    try:
        at = triggered_at(verdict)
    except ValueError:
        return False
    if verdict.simulated or not scope.covers(verdict) or not span.start <= at < span.end:
        return False
    found = surest(verdict)
    wanted = (
        (choice.label, found.label if found else None),
        (choice.reason, verdict.reason.value),
        (choice.latency_bucket, latency.bucket((received.timestamp - at) / timedelta(milliseconds=1))),
        (choice.part_id, verdict.part_id),
    )
    fits = all(want is None or want == came for want, came in wanted)
    return fits and (not choice.outcomes or verdict.outcome.value in choice.outcomes)


def shown(verdict: VerdictIssued, decision: ReworkOutcome | None) -> Shown:
    """What a gallery shows of a frame and the decision about it that stands."""
    found = surest(verdict)
    return Shown(
        verdict_id=str(verdict.verdict_id),
        station=(verdict.plant, verdict.line, verdict.station),
        camera=verdict.camera,
        part_id=verdict.part_id,
        outcome=verdict.outcome.value,
        label=found.label if found else None,
        score=found.score if found else None,
        threshold=found.threshold if found else None,
        reason=verdict.reason.value,
        model_id=verdict.model_id or "",
        triggered_at=triggered_at(verdict),
        decided_at=verdict.decided_at,
        deadline_met=verdict.deadline_met,
        finding=decision.finding.value if decision else None,
        frame_partition=verdict.source_partition,
        frame_offset=verdict.source_offset,
    )


def frames_cursor(ends: Mapping[int, int]) -> str:
    """Offsets (exclusive), by partition, before which the next page looks."""
    return "".join(["f", *(f":{partition}.{end}" for partition, end in sorted(ends.items()))])


def parse_frames_cursor(cursor: str) -> dict[int, int]:
    if not _FRAMES.fullmatch(cursor):
        raise _bad(cursor)
    return {int(p): int(end) for p, end in (entry.split(".") for entry in cursor.split(":")[1:])}


def judged_cursor(at_ms: int, verdict_id: UUID) -> str:
    """The last decision looked at."""
    return f"j:{at_ms}:{verdict_id.hex}"


def parse_judged_cursor(cursor: str) -> tuple[int, UUID]:
    found = _JUDGED.fullmatch(cursor)
    if not found:
        raise _bad(cursor)
    return int(found[1]), UUID(found[2])


def _bad(cursor: str) -> CallerError:
    return CallerError(f"a cursor must be one that came with a page of the same gallery; came {cursor[:40]!r}")
