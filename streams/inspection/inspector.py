"""One frame from its bytes to its outputs: the order of questions that inspection asks.

Place in the flow: between the agent, which brings events, and the outbox, which publishes. Each question is answered
by a pure function or by a part given at start; this file only asks them in the right order:

    is it an event? ─ no ─▶ dead letter
    decided before? ─ yes ▶ the same verdict again
    a copy?         ─ yes ▶ what the first one got
    still in time?  ─ no ─▶ the recipe's late_action
    picture there?  ─ no ─▶ the recipe's error_action, and dead letter
    recipe, model?  ─ no ─▶ UNSURE, UNQUALIFIED (ERROR where the recipe only collects: never a defect)
    suspect?        ─ yes ▶ decoded and scored alone, in a child process
    decode, score, decide
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID

from models.preprocess import EncodedImage
from schemas.bounds import MAX_ITEMS
from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import DeadLetter, DefectDetected, FrameCaptured, Header, Reason, Recipe, VerdictIssued
from streams.errors import FrameRejectedError
from streams.inspection.copies import Firsts
from streams.inspection.decide import (
    Judgement,
    Provenance,
    Source,
    VerdictAt,
    copied,
    issue,
    judge,
    late,
    rejected,
    remaining_ms,
    unqualified,
    verdict_id,
)
from streams.inspection.decode_pool import ExpiredError
from streams.inspection.limits import ATTRIBUTES_MAX, DETAIL_MAX_CHARS, check_texts
from streams.inspection.model_variants import variant_of
from streams.inspection.outbox import Outputs
from streams.inspection.pictures import Pictures, ends_at
from streams.inspection.quarantine import Quarantine, Room
from streams.inspection.recipes import RecipeBook
from streams.topics import FRAMES, station_key

_REPEATED_TEXTS = ("camera", "sku", "part_id", "lot_id", "order_id", "label", "image_ref", "image_sha256")
HEADER_BYTES = 8  # of a header beside its key and value, in Kafka as in Avro, at most


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
        self,
        codec: Codec,
        recipes: RecipeBook,
        rooms: Mapping[str, Room],
        pictures: Pictures,
        claims: int = 4,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._codec = codec
        self._recipes = recipes
        self._rooms = rooms
        self._pictures = pictures
        self.quarantine = quarantine or Quarantine()
        self._firsts = Firsts()
        self._claims = asyncio.Semaphore(claims)

    async def inspect(
        self,
        arrival: Arrival,
        published: Mapping[VerdictAt, VerdictIssued],
        newest: Mapping[UUID, VerdictIssued] = MappingProxyType({}),
    ) -> Outputs:
        """Everything that one event leads to.

        `published` holds the verdicts that its partition has already about this frame and its neighbours, `newest` the
        last ones that it had at the assignment, by their ids.
        """
        try:
            frame = self._frame(arrival.value)
        except FrameRejectedError as error:
            return Outputs(dead_letter=dead_letter(arrival, Reason(error.reason), error.detail))
        decision = verdict_id(frame.frame_id, frame.attempt)
        known = published.get((arrival.source.offset, decision))
        if known:
            self._firsts.remember(known)
            return await self._again(arrival, frame, known)
        if first := newest.get(decision) or await self._firsts.of(decision):
            return Outputs(verdict=copied(first, arrival.source))
        with self._firsts.deciding(decision) as verdict:
            outputs = await self._decided(arrival, frame)
            assert outputs.verdict is not None, "a frame gets a verdict"
            verdict.set_result(outputs.verdict)
        return outputs

    def _frame(self, value: bytes | None) -> FrameCaptured:
        if value is None:
            raise FrameRejectedError(Reason.TOMBSTONE, "a frame event without a value")
        try:
            frame = self._codec.decode(value, FrameCaptured)
            check(frame)
        except SchemaUnknownError as error:
            raise FrameRejectedError(Reason.SCHEMA_UNKNOWN, str(error)) from error
        except (SchemaInvalidError, ValueError) as error:
            raise FrameRejectedError(Reason.SCHEMA_INVALID, str(error)) from error
        return frame

    async def _decided(self, arrival: Arrival, frame: FrameCaptured) -> Outputs:
        recipe = self._recipes.of_frame(frame, arrival.source.timestamp)
        left_ms = remaining_ms(frame, arrival.source.timestamp, arrival.received_at)
        expires_at = arrival.received_s + left_ms / 1000
        provenance, image, letter = Provenance(), b"", None
        try:
            if time.monotonic() >= expires_at:
                raise ExpiredError
            async with self._picture(frame, expires_at) as image:
                judgement, provenance = await self._judged(arrival.source, frame, recipe, image, expires_at)
        except ExpiredError:
            judgement = late(recipe, (time.monotonic() - expires_at) * 1000)
        except FrameRejectedError as error:
            judgement = rejected(Reason(error.reason), error.detail, recipe)
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

    async def _judged(
        self, source: Source, frame: FrameCaptured, recipe: Recipe | None, image: bytes, expires_at: float
    ) -> tuple[Judgement, Provenance]:
        if self.quarantine.holds(source, frame.attempt):
            return await judgement_of(self.quarantine.rooms, frame, recipe, image, expires_at)
        with self.quarantine.in_hand(source):
            return await judgement_of(self._rooms, frame, recipe, image, expires_at)

    @asynccontextmanager
    async def _picture(self, frame: FrameCaptured, expires_at: float) -> AsyncIterator[bytes]:
        """The frame's picture; a claim-checked one takes one of the few places while it is needed."""
        if frame.image is not None:
            yield frame.image
            return
        async with ends_at(expires_at):
            await self._claims.acquire()
        try:
            yield await self._pictures.fetch(frame, expires_at)
        finally:
            self._claims.release()

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
        claimed = frame.image_ref if frame.image is None else None
        return DefectDetected(
            verdict=verdict,
            image_ref=claimed or await self._pictures.keep(frame, image),
            encoding=frame.encoding,
            width=frame.width,
            height=frame.height,
            stride=frame.stride,
            bits=frame.bits,
        )


async def judgement_of(
    rooms: Mapping[str, Room], frame: FrameCaptured, recipe: Recipe | None, image: bytes, expires_at: float
) -> tuple[Judgement, Provenance]:
    """The decision about a picture by the recipe in force, live or replayed; `rooms` by the names of model variants.

    Raises FrameRejectedError for a picture that can't be inspected, and ExpiredError past `expires_at`.
    """
    if recipe is None:
        return unqualified(f"no recipe for {frame.plant}/{frame.line} and SKU {frame.sku}"), Provenance()
    variant = variant_of(recipe)
    if (room := rooms.get(str(variant))) is None:
        return unqualified(f"model {variant} is not on this worker", recipe=recipe), Provenance()
    scores, provenance, places = await room.score(encoded_image(frame, image), expires_at)
    return judge(scores.tolist(), room.model.roles, recipe, places), provenance


def check(frame: FrameCaptured) -> None:
    """ValueError where what follows from a frame could not be keyed, sent or read."""
    station_key(frame.plant, frame.line, frame.station)
    check_texts((name, getattr(frame, name)) for name in _REPEATED_TEXTS)
    if len(frame.attributes) > ATTRIBUTES_MAX:
        raise ValueError(f"{len(frame.attributes)} attributes, at most {ATTRIBUTES_MAX} are taken")
    check_texts(("an attribute", text) for pair in frame.attributes.items() for text in pair)
    for name in ("pass_no", "view", "views", "attempt", "gateway_ms"):
        if getattr(frame, name) < 0:
            raise ValueError(f"{name} must be 0 or more; came {getattr(frame, name)}")


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
    """The whole event with the reason why it could not be handled.

    An event that came past its topic's limit by compression is larger than any topic takes, one of more headers than
    any reader takes could not be read back: their bytes stay there.
    """
    nbytes = len(arrival.value or b"") + 2 * len(arrival.key or b"")  # the key is also the dead letter's own
    nbytes += sum(HEADER_BYTES + len(name.encode()) + len(value or b"") for name, value in arrival.headers)
    fits = nbytes <= FRAMES.max_message_bytes and len(arrival.headers) <= MAX_ITEMS
    headers = tuple(Header(key=name, value=value) for name, value in arrival.headers) if fits else ()
    return DeadLetter(
        reason=reason,
        detail=detail[:DETAIL_MAX_CHARS] + ("" if fits else f" (not kept here: {nbytes} bytes)"),
        source_topic=arrival.source.topic,
        source_partition=arrival.source.partition,
        source_offset=arrival.source.offset,
        source_timestamp=arrival.source.timestamp,
        key=arrival.key if fits else None,
        headers=headers,
        value=arrival.value if fits else None,
        at=datetime.now(UTC),
    )
