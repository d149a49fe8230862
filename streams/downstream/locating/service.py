"""The second stage put together: rejected frames in, where their defects lie out. Decides nothing.

Place in the flow: reads `defects` in a group of its own, so that several share the partitions; writes `locations`, to
the partition of the same number, before the defect's offset is committed. What comes again after a fault is looked at
again and has the same id. It never holds up a verdict: where it is behind, what is older than `max_age_s` is passed by
with reason LATE. A picture that was in hand at two unclean ends is not tried a third time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from models.errors import ModelError
from models.preprocess import RejectedImageError
from schemas.records import DefectDetected, DefectLocated, Reason
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.downstream.locating.location import LOOKED, Locating, encoded, is_looked_at, located
from streams.downstream.rework.link import now_ms
from streams.errors import FrameRejectedError
from streams.health import Work
from streams.inspection.journal import Journal, lives_cost
from streams.inspection.pictures import Pictures
from streams.inspection.quarantine import LIVES
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import DEFECTS, LOCATIONS

if TYPE_CHECKING:
    from models.locator import Place

log = logging.getLogger(__name__)
GROUP = "locator"
MAX_AGE_S = 3600.0
DETAIL_MAX_CHARS = 300
JOURNAL = "locator-in-hand"  # folder in the data directory


class LocatorService:
    """One run, until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        locator: Locating,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], datetime] = now_ms,
    ) -> None:
        self._settings, self._locator, self._max_age_s, self._clock = settings, locator, max_age_s, clock
        self._pictures = Pictures(FrameStore(settings.frame_store_url))
        self._folder = settings.data_dir / JOURNAL
        self._lives: Mapping[tuple[int, int], int] = {}
        self._steps = self._in_hand = 0

    def work(self) -> Work:
        """What waits, as `/progressing` shows it: the picture in hand."""
        return Work(0, self._in_hand, self._steps)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Looks at what is rejected from now on, or from where the group stopped, until `stop` is set.

        Raises BrokerUnreachableError, CallerError where a topic is missing, and whatever a refused send raises: what
        was in hand comes again then.
        """
        codec, settings = codec_for(self._settings), self._settings
        self._lives = await asyncio.to_thread(lives_cost, self._folder)
        subscription: Subscription[DefectDetected] = Subscription(
            DEFECTS, self._clock(), settings=settings, codec=codec, group=settings.topic_prefix + GROUP
        )
        with contextlib.closing(Journal(self._folder)) as journal:
            async with Publisher(settings.bootstrap, settings.topic_prefix, codec) as publisher:
                working = asyncio.create_task(self._work(subscription, publisher, journal))
                stopping = asyncio.create_task(stop.wait())
                on_ready()
                await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                if working.done():
                    working.result()
                working.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await working

    async def _work(self, subscription: Subscription[DefectDetected], publisher: Publisher, journal: Journal) -> None:
        async with aclosing(aiter(subscription)) as events:
            async for received in events:
                self._steps += 1
                if not is_looked_at(received.record.verdict):
                    continue
                self._in_hand = 1
                with journal.in_hand(received.partition, received.offset):
                    record = await self._answer(received)
                await (await publisher.send(LOCATIONS, record, key=received.key, partition=received.partition))
                self._in_hand = 0

    async def _answer(self, received: Received[DefectDetected]) -> DefectLocated:
        """What was found, or why nobody looked."""
        began, defect = time.monotonic(), received.record
        found: Sequence[Place] = ()
        why_not = self._passed_by(received)
        if why_not is None:
            try:
                data = await self._pictures.by_reference(defect.image_ref)
                found = await asyncio.to_thread(self._locator.places, encoded(defect, data))
            except (FrameRejectedError, RejectedImageError) as error:
                why_not = Reason(error.reason), error.detail
            except (ModelError, RuntimeError, MemoryError) as error:  # torch's errors are RuntimeErrors
                why_not = Reason.ENGINE_FAILED, f"{type(error).__name__}: {error}"[:DETAIL_MAX_CHARS]
        if why_not is not None:
            log.warning("verdict %s is not located: %s %s", defect.verdict.verdict_id, *why_not)
        took_ms = (time.monotonic() - began) * 1000
        return located(defect, self._locator, found, self._clock(), took_ms, why_not or LOOKED)

    def _passed_by(self, received: Received[DefectDetected]) -> tuple[Reason, str] | None:
        lives = self._lives.get((received.partition, received.offset), 0)
        if lives >= LIVES:
            return Reason.ENGINE_FAILED, f"it was in hand at {lives} unclean ends of a locator here"
        age_s = (self._clock() - received.timestamp).total_seconds()
        if age_s > self._max_age_s:
            return Reason.LATE, f"{age_s:.0f} s old, expected at most {self._max_age_s:.0f} s"
        return None
