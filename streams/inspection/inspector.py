"""One frame from its bytes to its outputs: the order of questions that inspection asks.

Place in the flow: between the agent, which brings events, and the outbox, which publishes. Each question is answered by a
pure function or by a part given at start; this file only asks them in the right order:

    is it an event? ─ no ─▶ dead letter
    decided before? ─ yes ▶ the same verdict again
    still in time?  ─ no ─▶ the recipe's late_action
    picture there?  ─ no ─▶ ERROR and dead letter
    recipe, model?  ─ no ─▶ UNSURE, UNQUALIFIED
    decode, score, decide
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from models.preprocess import EncodedImage
from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import DeadLetter, DefectDetected, FrameCaptured, Header, Reason, Recipe, VerdictIssued
from streams.errors import FrameRejectedError
from streams.inspection.decide import (
    Judgement,
    Provenance,
    Source,
    issue,
    judge,
    late,
    rejected,
    remaining_ms,
    unqualified,
    verdict_id,
)
from streams.inspection.decode_pool import ExpiredError
from streams.inspection.engine_room import EngineRoom
from streams.inspection.outbox import Outputs
from streams.inspection.pictures import Pictures
from streams.inspection.recipes import RecipeBook
from streams.topics import station_key


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as Kafka delivered it."""

    source: Source
    generation: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None
    received_at: datetime
    received_s: float  # time.monotonic()
    ack: Callable[[], None]


class Inspector:
    """Answers the questions above for one worker.

    At most `claims` claim-checked pictures are held at once: their bytes are not part of the events that the worker's
    budget counts.
    """

    def __init__(
        self, codec: Codec, recipes: RecipeBook, rooms: Mapping[str, EngineRoom], pictures: Pictures, claims: int = 4
    ) -> None:
        self._codec = codec
        self._recipes = recipes
        self._rooms = rooms
        self._pictures = pictures
        self._claims = asyncio.Semaphore(claims)

    async def inspect(self, arrival: Arrival, published: Callable[[int], VerdictIssued | None]) -> Outputs:
        """Everything that one event leads to. `published` gives the verdict that an offset has already, if any."""
        try:
            frame = self._frame(arrival.value)
        except FrameRejectedError as error:
            return Outputs(dead_letter=dead_letter(arrival, Reason(error.reason), error.detail))
        known = published(arrival.source.offset)
        if known and known.verdict_id == verdict_id(frame.frame_id, frame.attempt):
            return await self._again(arrival, frame, known)
        return await self._decided(arrival, frame)

    def _frame(self, value: bytes | None) -> FrameCaptured:
        if value is None:
            raise FrameRejectedError(Reason.TOMBSTONE, "a frame event without a value")
        try:
            frame = self._codec.decode(value, FrameCaptured)
            station_key(frame.plant, frame.line, frame.station)
        except SchemaUnknownError as error:
            raise FrameRejectedError(Reason.SCHEMA_UNKNOWN, str(error)) from error
        except (SchemaInvalidError, ValueError) as error:
            raise FrameRejectedError(Reason.SCHEMA_INVALID, str(error)) from error
        return frame

    async def _decided(self, arrival: Arrival, frame: FrameCaptured) -> Outputs:
        recipe = self._recipes.in_force(frame.plant, frame.line, frame.sku, arrival.source.timestamp)
        left_ms = remaining_ms(frame, arrival.source.timestamp, arrival.received_at)
        expires_at = arrival.received_s + left_ms / 1000
        provenance, image, letter = Provenance(), b"", None
        try:
            if left_ms < 0:
                raise ExpiredError
            async with self._claims if frame.image is None else nullcontext():
                image = await self._pictures.fetch(frame, expires_at)
                judgement, provenance = await self._judgement(frame, recipe, image, expires_at)
        except ExpiredError:
            judgement = late(recipe, (time.monotonic() - expires_at) * 1000)
        except FrameRejectedError as error:
            judgement = rejected(Reason(error.reason), error.detail)
        if judgement.is_unreadable:
            letter = dead_letter(arrival, judgement.reason, judgement.detail)
        verdict = issue(
            frame,
            judgement,
            arrival.source,
            recipe=recipe,
            provenance=provenance,
            received_at=arrival.received_at,
            decided_at=datetime.now(UTC),
        )
        defect = await self._defect(verdict, frame, image) if judgement.is_defect else None
        return Outputs(verdict=verdict, defect=defect, dead_letter=letter)

    async def _judgement(
        self, frame: FrameCaptured, recipe: Recipe | None, image: bytes, expires_at: float
    ) -> tuple[Judgement, Provenance]:
        if recipe is None:
            return unqualified(f"no recipe for {frame.plant}/{frame.line} and SKU {frame.sku}"), Provenance()
        room = self._rooms.get(recipe.model_id)
        if room is None:
            return unqualified(f"model {recipe.model_id} is not on this worker"), Provenance()
        scores, provenance = await room.score(encoded_image(frame, image), expires_at)
        return judge(scores.tolist(), room.model.roles, recipe), provenance

    async def _again(self, arrival: Arrival, frame: FrameCaptured, known: VerdictIssued) -> Outputs:
        """A frame that has its verdict: nothing is decided again, only what follows from it is sent again."""
        judgement = Judgement(known.outcome, known.reason, known.detail)
        defect, letter = None, None
        if judgement.is_defect:
            defect = await self._defect(known, frame, frame.image or b"")
        elif judgement.is_unreadable:
            letter = dead_letter(arrival, known.reason, known.detail)
        return Outputs(verdict=known, redelivered=True, defect=defect, dead_letter=letter)

    async def _defect(self, verdict: VerdictIssued, frame: FrameCaptured, image: bytes) -> DefectDetected:
        reference = frame.image_ref or await self._pictures.keep(frame, image)
        return DefectDetected(verdict=verdict, image_ref=reference, heatmap_ref=None)


def encoded_image(frame: FrameCaptured, image: bytes) -> EncodedImage:
    """The picture of a frame as the one path of preprocessing takes it."""
    return EncodedImage(
        data=image,
        encoding=frame.encoding,
        width=frame.width,
        height=frame.height,
        stride=frame.stride,
        bits=frame.bits,
        sha256=frame.image_sha256,
    )


def dead_letter(arrival: Arrival, reason: Reason, detail: str) -> DeadLetter:
    """The whole event with the reason why it could not be handled."""
    return DeadLetter(
        reason=reason,
        detail=detail,
        source_topic=arrival.source.topic,
        source_partition=arrival.source.partition,
        source_offset=arrival.source.offset,
        source_timestamp=arrival.source.timestamp,
        key=arrival.key,
        headers=tuple(Header(key=name, value=value) for name, value in arrival.headers),
        value=arrival.value,
        at=datetime.now(UTC),
    )
