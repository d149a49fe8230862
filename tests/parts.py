"""Verdicts about the views of parts, for tests of the part service: a timeline in milliseconds after LONG_AGO."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from schemas.records import Mode, Outcome, Reason, VerdictIssued
from streams.downstream.parts.assembler import Seen
from streams.inspection.decide import Judgement, rejected
from tests.builders import LONG_AGO, NAMESPACE, frame, verdict

OK = Judgement(Outcome.OK, Reason.SCORE)
NG = Judgement(Outcome.NG, Reason.SCORE)
UNSURE = Judgement(Outcome.UNSURE, Reason.SCORE)
ERROR = rejected(Reason.CORRUPT, "")
LATE = Judgement(Outcome.ERROR, Reason.LATE)
COLLECTED = Judgement(Outcome.ERROR, Reason.UNQUALIFIED)


def at(ms: float) -> datetime:
    return LONG_AGO + timedelta(milliseconds=ms)


def view(part: str | None, number: int, of: int = 4, judgement: Judgement = OK, **changes: Any) -> VerdictIssued:
    """The verdict about one view of a part; `seq` is the trigger number and `ms` the frame's append time."""
    seq, ms = changes.pop("seq", number), changes.pop("ms", 0)
    camera, attempt = changes.pop("camera", "c1"), changes.pop("attempt", 1)
    twin = changes.pop("twin", 0)  # another frame of the same trigger
    frame_id: UUID = uuid5(NAMESPACE, f"{part}/{number}/{camera}/{seq}/{twin}")
    fields = {"part_id": part, "view": number, "views": of, "camera": camera, "trigger_seq": seq, "attempt": attempt}
    shot = frame(frame_id=frame_id, **{"trigger_seq": seq} | fields | changes)
    issued = verdict(shot, judgement)
    replaced: dict[str, Any] = {"source_timestamp": at(ms), "mode": Mode.ACT}
    return VerdictIssued(**{name: getattr(issued, name) for name in issued.__slots__} | replaced)


def seen(issued: VerdictIssued, offset: int, ms: float) -> Seen:
    """A verdict as it lies in its partition, appended `ms` after LONG_AGO."""
    return Seen(issued, offset, at(ms))
