"""A person says that a camera's pictures are well as they are now: they become what is usual.

Place in the flow: under `lineside drift teach`. Into the audit log first, then to `camera-references`, where the
service finds it. Learns from the newest frames, by the same figures as the service. Raises no alarm and ends none: the
next windows do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from schemas.codec import Codec
from schemas.records import CameraReference, VerdictIssued
from streams.bus.publisher import Publisher
from streams.downstream.audit.log import AuditLog
from streams.downstream.drift.camera import Camera, Scope, reference, references_of
from streams.downstream.drift.figures import NAMES, OF_MODEL, UNKNOWN, figures_of, limits_of
from streams.downstream.drift.reading import newest, read_through, told_of
from streams.downstream.sampling.strategies import is_judged
from streams.errors import CallerError
from streams.inspection.recipes import RecipeBook
from streams.registry.book import Book
from streams.settings import Settings
from streams.topics import CAMERA_REFERENCES, MODELS, RECIPES

LEAST = 100  # frames that say how a camera's pictures are
READ = 50_000  # newest verdicts of each partition among which a camera's are looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Whose pictures shall be the usual ones, by how many `frames` of each SKU, not older than `since`.

    `camera` and `sku` None are all of the station's.
    """

    plant: str
    line: str
    station: str
    camera: str | None
    sku: str | None
    frames: int
    since: datetime | None
    by: str
    why: str

    def is_about(self, verdict: VerdictIssued) -> bool:
        return (
            (verdict.plant, verdict.line, verdict.station) == (self.plant, self.line, self.station)
            and self.camera in (None, verdict.camera)
            and self.sku in (None, verdict.sku)
            and (self.since is None or verdict.source_timestamp >= self.since)
            and verdict.picture is not None
            and is_judged(verdict)
        )


async def teach(
    settings: Settings, codec: Codec, lesson: Lesson, clock: Callable[[], datetime]
) -> list[CameraReference]:
    """The references that were published, one a camera and SKU; CallerError where there are too few frames."""
    if not lesson.why.strip():
        raise CallerError('say why, for the audit log, such as --why "new lamp"')
    seen = await _seen(settings, codec, lesson)
    made = await _references(settings, codec, seen, lesson, clock())
    if not made:
        most = max(map(len, seen.values()), default=0)
        raise CallerError(
            f"no camera of {lesson.plant}/{lesson.line}/{lesson.station} has {LEAST} frames that fit, at most {most}; "
            "inspect more parts first, or look further back by --since"
        )
    before: dict[Scope, CameraReference] = {}
    await read_through(settings, codec, CAMERA_REFERENCES, lambda record, _: before.update({_scope(record): record}))
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec) as publisher:
        audit = AuditLog(publisher, "drift", clock)
        for record in made:
            camera = Camera.of(record)
            await audit.record(
                lesson.by,
                "drift.teach",
                f"{camera.subject}/{record.sku}",
                before=_plain(before.get(_scope(record))),
                after=_plain(record),
                reason=lesson.why,
            )
            await (await publisher.send(CAMERA_REFERENCES, record, key=f"{camera.subject}/{record.sku}".encode()))
    return made


async def _seen(settings: Settings, codec: Codec, lesson: Lesson) -> dict[Scope, deque[VerdictIssued]]:
    found: dict[Scope, deque[VerdictIssued]] = {}
    async with aclosing(newest(settings, codec, READ)) as verdicts:
        async for received in verdicts:
            verdict = received.record
            if lesson.is_about(verdict):
                found.setdefault(_scope(verdict), deque(maxlen=lesson.frames)).append(verdict)
    return found


async def _references(
    settings: Settings, codec: Codec, seen: dict[Scope, deque[VerdictIssued]], lesson: Lesson, now: datetime
) -> list[CameraReference]:
    recipes, book, made = RecipeBook(), Book(), []
    await read_through(settings, codec, RECIPES, recipes.add)
    await read_through(settings, codec, MODELS, book.take)
    for scope, verdicts in sorted(seen.items()):
        if len(verdicts) < LEAST:
            continue
        model_id = verdicts[-1].model_id
        told = told_of(book, model_id or "", settings.model_store_dir)
        rows = []
        for verdict in verdicts:
            recipe = recipes.in_force(verdict.plant, verdict.line, verdict.sku, verdict.source_timestamp)
            row = list(figures_of(verdict, limits_of(verdict, told, recipe)[1]))
            if verdict.model_id != model_id:
                row[-len(OF_MODEL) :] = [UNKNOWN] * len(OF_MODEL)
            rows.append(row)
        times = [verdict.source_timestamp for verdict in verdicts]
        figures = references_of(np.asarray(rows, np.float64), NAMES, model_id)
        made.append(reference(scope, figures, len(rows), (min(times), max(times)), lesson.by, lesson.why.strip(), now))
    return made


def _scope(record: VerdictIssued | CameraReference) -> Scope:
    return Scope(Camera.of(record), record.sku)


def _plain(record: CameraReference | None) -> dict[str, object] | None:
    """For the audit log: by how many frames, and the middle of each figure."""
    if record is None:
        return None
    middles = {figure.name: figure.quantiles[len(figure.quantiles) // 2] for figure in record.figures}
    return {"frames": record.frames, "taught_by": record.taught_by, **middles}
