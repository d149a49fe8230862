"""A few hundred inspected frames of two lines with pictures, verdicts, defects and decisions, for tests of the sampler.

Every 25th frame shows the pixels of the one before it in a file of its own. Of ten frames six pass, one is unsure, one
is rejected by a hair, one clearly, and one is a dent or, seldom, a crack.
"""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid5

import numpy as np
from PIL import Image

from schemas.records import (
    DefectDetected,
    Finding,
    FrameCaptured,
    Outcome,
    ReworkFinding,
    ReworkOutcome,
    Strategy,
    VerdictIssued,
)
from streams.downstream.sampling.plan import Plan
from streams.inspection.decide import Judgement, Reason
from streams.store import FrameStore
from tests.builders import NAMESPACE, frame, verdict
from tests.contracts.samples import OUTCOME

SHARES = {
    Strategy.PASS_AUDIT: 0.4,
    Strategy.CORRECTED: 0.2,
    Strategy.DISAGREEMENT: 0.1,
    Strategy.RARE: 0.1,
    Strategy.UNCERTAIN: 0.2,
}
SIDE = 64  # pixels
COPY_EVERY = 25


def a_plan(**changes: Any) -> Plan:
    """200 samples a line and day, in quarters of an hour."""
    return Plan(**{"budget": 200, "shares": SHARES, "period_s": 900, "seed": 1, "near_bits": 0} | changes)


def shown(number: int) -> int:
    """Which frame's pixels a frame shows."""
    return number - 1 if number and number % COPY_EVERY == 0 else number


@cache
def picture(number: int) -> bytes:
    """Blocks of colour as PNG; the frame after a 24th, 49th … shows the same in another file."""
    blocks = np.random.default_rng(shown(number)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(blocks.repeat(SIDE // 8, axis=0).repeat(SIDE // 8, axis=1))
    image.save(file, "PNG", compress_level=9 if shown(number) == number else 1)
    return file.getvalue()


def captured(number: int) -> FrameCaptured:
    return frame(
        number,
        line=f"l{number % 2}",
        station=f"s{number // 2 % 2}",
        part_id=f"P{number}",
        image=picture(number),
        width=SIDE,
        height=SIDE,
    )


def judgement(number: int) -> Judgement:
    kind = shown(number) % 10
    if kind < 6:
        return Judgement(Outcome.OK, Reason.SCORE, scores={"good": 0.95, "scratch": 0.05})
    if kind == 6:
        return Judgement(Outcome.UNSURE, Reason.SCORE, scores={"good": 0.6, "scratch": 0.4})
    label = "scratch" if kind < 9 else "crack" if number % 100 == 9 else "dent"
    score = 0.53 if kind == 7 else 0.9
    found = Finding(label=label, score=score, threshold=0.5)
    return Judgement(Outcome.NG, Reason.SCORE, findings=(found,), scores={"good": 1 - score, label: score})


def judged(number: int, topic: str, partition: int, offset: int, at: datetime) -> VerdictIssued:
    """The verdict of a frame that stands at this place and was appended at this time."""
    plain = verdict(captured(number), judgement(number), offset)
    place = {"source_topic": topic, "source_partition": partition, "source_timestamp": at}
    return dataclasses.replace(plain, model_id="m1", gateway_ms=20, **place)  # type: ignore[arg-type]


def defect(of: VerdictIssued, store: FrameStore) -> DefectDetected:
    """The defect of a rejected frame, its picture in the store."""
    made = captured(of.trigger_seq)
    ref = store.put(picture(of.trigger_seq), of.image_sha256, "png")
    return DefectDetected(verdict=of, image_ref=ref, encoding=made.encoding, width=SIDE, height=SIDE)


def decided(of: VerdictIssued, finding: ReworkFinding, review: int = 1, label: str | None = None) -> ReworkOutcome:
    """What a person found about an inspected frame."""
    said = of.findings[0].label if of.findings else "good" if of.outcome is Outcome.OK else None
    return dataclasses.replace(
        OUTCOME,
        outcome_id=uuid5(NAMESPACE, f"{of.verdict_id}/{review}"),
        verdict_id=of.verdict_id,
        frame_id=of.frame_id,
        plant=of.plant,
        line=of.line,
        station=of.station,
        camera=of.camera,
        sku=of.sku,
        part_id=of.part_id,
        operator="ana" if review == 1 else "ben",
        finding=finding,
        predicted_label=said,
        corrected_label=label,
        supersedes=None,
        review=review,
        verdict_outcome=of.outcome,
        image_sha256=of.image_sha256,
        inspected_at=of.source_timestamp - timedelta(milliseconds=20),
        decided_at=of.source_timestamp + timedelta(minutes=20),
    )


def decisions(of: VerdictIssued) -> list[ReworkOutcome]:
    """Every clear reject is decided: a third is overkill, a third changed; of a few a second person says otherwise."""
    number = of.trigger_seq
    if of.outcome is not Outcome.NG or number % 10 == 7:
        return []
    first = [
        decided(of, ReworkFinding.FALSE_REJECT),
        decided(of, ReworkFinding.CONFIRMED, label="stain"),
        decided(of, ReworkFinding.CONFIRMED),
    ][number % 3]
    return [first, decided(of, ReworkFinding.FALSE_REJECT, review=2)] if number % 30 == 8 else [first]


@dataclass(frozen=True, slots=True)
class Timed:
    """When things of a history happen: frame n at start + n * step."""

    start: datetime
    step: timedelta

    def at(self, number: int) -> datetime:
        return self.start + number * self.step
