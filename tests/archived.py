"""A few hundred frames inspected live on the real broker, with what follows from them, for tests of history."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from datetime import timedelta
from uuid import uuid5

from schemas.records import FrameCaptured, Outcome, ReworkFinding, ReworkOutcome, VerdictIssued
from streams.archive.archiver import open_archiver
from streams.bus.publisher import Publisher
from streams.bus.subscriber import subscribe
from streams.settings import Settings
from streams.topics import OUTCOMES, station_key
from tests.broker.running import inspected
from tests.builders import (
    CODEC,
    DENT_LEVEL,
    NAMESPACE,
    OK_LEVEL,
    SCRATCH_LEVEL,
    UNSURE_LEVEL,
    FakeEngine,
    frame,
    picture,
)
from tests.contracts.samples import OUTCOME

LEVELS = (OK_LEVEL, OK_LEVEL + 1, OK_LEVEL + 2, SCRATCH_LEVEL, OK_LEVEL + 3, UNSURE_LEVEL, OK_LEVEL + 4, DENT_LEVEL)
CLOSED_S = 120.0  # how far the archiver's clock is ahead: every period is over


def captured(number: int) -> FrameCaptured:
    """Two lines, two SKUs, two stations; of eight frames two are bad, one unsure. Every tenth has no picture in it."""
    level = LEVELS[number % len(LEVELS)]
    return frame(
        number,
        line=f"l{number % 2}",
        station=f"s{number // 2 % 2}",
        sku="AB"[number // 4 % 2],
        part_id=f"P-{number:05}",
        label="good" if level < UNSURE_LEVEL else "scratch",
        image=b"broken" if number % 50 == 49 else picture(level),
    )


async def a_live_history(
    settings: Settings, numbers: Iterable[int], engine: FakeEngine | None = None
) -> list[VerdictIssued]:
    """Frames captured and inspected; their verdicts."""
    await inspected(settings, [captured(number) for number in numbers], engine)
    return [v async for v in subscribe("verdicts", "earliest", settings=settings, follow=False)]


def correction(of: VerdictIssued, finding: ReworkFinding = ReworkFinding.CONFIRMED) -> ReworkOutcome:
    """What a person decided about an inspected frame."""
    return dataclasses.replace(
        OUTCOME,
        **{name: getattr(of, name) for name in ("verdict_id", "frame_id", "plant", "line", "station", "camera", "sku")},
        outcome_id=uuid5(NAMESPACE, f"outcome {of.verdict_id}"),
        part_id=of.part_id,
        finding=finding,
        supersedes=None,
        verdict_outcome=of.outcome,
        image_sha256=of.image_sha256,
        inspected_at=of.source_timestamp - timedelta(milliseconds=of.gateway_ms or 0),
    )


async def decide(settings: Settings, decisions: Iterable[ReworkOutcome]) -> None:
    """Publishes decisions of people."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        for made in decisions:
            await (await publisher.send(OUTCOMES, made, key=station_key(made.plant, made.line, made.station)))


async def archive(settings: Settings) -> int:
    """Archives all that is there; how many periods that were."""
    async with open_archiver(settings, lambda: time.time() + CLOSED_S) as archiver:
        return await archiver.catch_up()


def passed(verdicts: Iterable[VerdictIssued]) -> list[VerdictIssued]:
    return [v for v in verdicts if v.outcome is Outcome.OK]
