"""What is known when watching begins: topics read to their end, and the newest frames again. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from models.errors import ModelError
from models.reference import Told, told_by
from schemas.codec import Codec
from schemas.records import VerdictIssued
from streams.bus.offsets import end_offsets
from streams.bus.present import present
from streams.bus.subscriber import Received
from streams.registry.book import Book
from streams.settings import Settings
from streams.topics import VERDICTS, Topic

log = logging.getLogger(__name__)


async def read_through(settings: Settings, codec: Codec, topic: Topic, take: Callable[[Any, datetime], object]) -> None:
    """Every record that lies in a topic now, with its append time; one that `take` refuses by ValueError is logged."""
    async for received in present(settings, topic, codec=codec):
        try:
            take(received.record, received.timestamp)
        except ValueError as error:
            log.warning("refused %s offset %d: %s", topic.name, received.offset, error)


async def newest(
    settings: Settings, codec: Codec, frames: int, before: Mapping[int, int] | None = None
) -> AsyncGenerator[Received[VerdictIssued]]:
    """The newest `frames` verdicts of each partition, in the order of each, that lie before these offsets.

    Without `before` the present ends; partitions that it does not name are left out.
    """
    if before is None:
        before = await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)
    starts = {partition: max(0, offset - frames) for partition, offset in before.items() if offset}
    if not starts:
        return
    async for received in present(settings, VERDICTS, starts, codec):
        if received.offset < before[received.partition]:
            yield received


def told_of(book: Book, model_id: str, store: Path) -> Told | None:
    """What a released model's manifest tells; None where it is not released, or can't be read here."""
    if (release := book.get(model_id)) is None:
        return None
    sha256 = release.first.sha256
    try:
        told = told_by(store / sha256, sha256)
    except ModelError as error:
        log.warning("scores of %s are held against its first frames at each camera: %s", model_id, error)
        return None
    return told if told.model_id == model_id else None
