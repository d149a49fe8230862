"""The sampler put together: topics, frame store, publisher and core. Decides nothing.

Reads without a group and takes all partitions: run one for an installation. A second one would choose the same and
publish it again, under the same ids, of which the first counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from models.likeness import descriptor
from schemas.codec import Codec
from schemas.records import AlarmRaised, DefectDetected, ReworkOutcome, SampleSelected, VerdictIssued
from streams.bus.frames_at import FrameReader, RecordReader
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.downstream.sampling.album import Album
from streams.downstream.sampling.line import DAY
from streams.downstream.sampling.pictures import Embed, SamplePictures
from streams.downstream.sampling.plan import Plan, day_of
from streams.downstream.sampling.reading import EPOCH, InspectedUpTo, ReadUpTo
from streams.downstream.sampling.sampler import DECISIONS_KEPT, Sampler, Tally
from streams.errors import OperatorError
from streams.health import Work
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import ALARMS, DEFECTS, OUTCOMES, SAMPLES, VERDICTS, frames_topic

log = logging.getLogger(__name__)
GRACE_S = 30.0  # our clock may be this far before the broker's: only then is a period over there too
RETRY_S = 5.0
INSPECTED_TIMEOUT_S = 60.0  # for one that doesn't follow: frames without a verdict for longer than this have no worker
FRAMES_KEPT = 7 * DAY
DEFECTS_SEARCHED = 5_000  # from a part's trigger on; a spooled frame's defect comes later than its trigger
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which periods are sampled. `since` None: from the day of the newest sample, else today. `until` None: to now."""

    since: datetime | None = None
    until: datetime | None = None


class KafkaHistory:
    """`sampler.History` on Kafka. An async context manager."""

    def __init__(self, settings: Settings, codec: Codec, frames: FrameReader, first: datetime, follow: bool) -> None:
        begin = first - DAY
        self.steps = 0  # rises as long as topics are read, or waited for
        self._follow = follow
        self._topic = frames_topic(settings)
        self._inspected = InspectedUpTo(settings, frames, begin)
        self._verdicts: ReadUpTo[VerdictIssued] = ReadUpTo(
            settings, codec, VERDICTS, begin, lambda received: received.record.source_timestamp
        )
        self._outcomes: ReadUpTo[ReworkOutcome] = ReadUpTo(settings, codec, OUTCOMES, first - DECISIONS_KEPT)
        self._alarms: ReadUpTo[AlarmRaised] = ReadUpTo(settings, codec, ALARMS, EPOCH)  # one may stand for long
        name = settings.topic_prefix + DEFECTS.name
        self._defects = RecordReader(settings.bootstrap, name, codec, DefectDetected)

    async def __aenter__(self) -> KafkaHistory:
        async with contextlib.AsyncExitStack() as stack:
            for part in (self._verdicts, self._outcomes, self._alarms, self._defects):
                await part.start()
                stack.push_async_callback(part.stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def verdicts(self, until: datetime) -> AsyncIterator[tuple[Received[VerdictIssued], datetime]]:
        """Waits for inspection; OperatorError where it doesn't come and nobody said to follow it."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + INSPECTED_TIMEOUT_S
        while True:
            missing = await self._inspected.missing(until)
            async with aclosing(self._verdicts.records(until)) as found:
                async for received, at in found:
                    self.steps += 1
                    self._inspected.saw(received)
                    if received.record.source_topic == self._topic:  # not of another pool, nor of a replay
                        yield received, at
            if not missing:
                return
            if not (missing := await self._inspected.missing(until)):
                continue
            what = f"frames before {until:%Y-%m-%d %H:%M} UTC in the partitions {missing} have no verdict yet"
            if not self._follow and loop.time() > give_up_s:
                raise OperatorError(f"{what}; run `lineside worker`, or choose an earlier --until")
            log.info("waiting: %s", what)
            self.steps += 1
            await asyncio.sleep(RETRY_S)

    async def outcomes(self, until: datetime) -> AsyncIterator[tuple[Received[ReworkOutcome], datetime]]:
        async with aclosing(self._outcomes.records(until)) as found:
            async for item in found:
                self.steps += 1
                yield item

    async def alarms(self, until: datetime) -> AsyncIterator[tuple[Received[AlarmRaised], datetime]]:
        async with aclosing(self._alarms.records(until)) as found:
            async for item in found:
                self.steps += 1
                yield item

    async def defect(self, outcome: ReworkOutcome, partition: int) -> DefectDetected | None:
        """Looked up in the same-numbered partition from the part's trigger on; None for a pass or a replay."""
        found = await self._defects.find(
            partition,
            outcome.inspected_at,
            lambda defect: defect.verdict.verdict_id == outcome.verdict_id,
            DEFECTS_SEARCHED,
        )
        return None if found is None or found.verdict.simulated else found


class SamplerService:
    """One run, once over a range or for ever."""

    def __init__(self, settings: Settings, plan: Plan, embed: Embed = descriptor, clock: Clock = utc_now) -> None:
        self._settings = settings
        self._plan = plan
        self._embed = embed
        self._clock = clock
        self._codec = codec_for(settings)
        self._is_sampling = False
        self._steps: Callable[[], int] = lambda: 0

    def work(self) -> Work:
        """What waits, as `/progressing` shows it: periods that are being sampled."""
        return Work(0, int(self._is_sampling), self._steps())

    async def once(self, range_: Range, dry_run: bool = False) -> Tally:
        """Samples the closed periods of a range. OperatorError where frames of it stay without a verdict."""
        async with self._sampler(range_.since, dry_run, follow=False) as sampler:
            await sampler.advance(min(range_.until or self._closed(), self._closed()))
            return sampler.tally

    async def follow(self, since: datetime | None, stop: asyncio.Event, on_ready: Callable[[], None]) -> Tally:
        """Samples each period after it has closed, until `stop` is set."""
        async with self._sampler(since, False, follow=True) as sampler:
            on_ready()
            stopping = asyncio.create_task(stop.wait())
            working = asyncio.create_task(self._work(sampler))
            await asyncio.wait((stopping, working), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if working.done():
                working.result()
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
            return sampler.tally

    async def _work(self, sampler: Sampler) -> None:
        while True:
            before = sampler.tally.published
            self._is_sampling = True
            await sampler.advance(self._closed())
            self._is_sampling = False
            if sampler.tally.published > before:
                log.info("%d samples published", sampler.tally.published - before)
            over = self._plan.start_of(self._closed()) + timedelta(seconds=self._plan.period_s + GRACE_S)
            await asyncio.sleep(max(1.0, (over - self._clock()).total_seconds()))

    def _closed(self) -> datetime:
        """The newest end of a period that is over on the broker too."""
        return self._plan.start_of(self._clock() - timedelta(seconds=GRACE_S))

    @contextlib.asynccontextmanager
    async def _sampler(self, since: datetime | None, dry_run: bool, follow: bool) -> AsyncIterator[Sampler]:
        settings, codec = self._settings, self._codec
        album = Album(self._plan, await self._published())
        first = since or self._resume_at(album)
        name = frames_topic(settings)
        async with contextlib.AsyncExitStack() as stack:
            frames = await stack.enter_async_context(FrameReader(settings.bootstrap, name, codec))
            history = await stack.enter_async_context(KafkaHistory(settings, codec, frames, day_of(first), follow))
            pictures = SamplePictures(FrameStore(settings.frame_store_url), frames, name, self._embed)
            sender = None
            if not dry_run:
                sender = Publisher(settings.bootstrap, settings.topic_prefix, codec)
                await stack.enter_async_context(sender)
            sampler = Sampler(self._plan, history, pictures, album, sender, first)
            self._steps = lambda: history.steps + sampler.steps
            yield sampler

    def _resume_at(self, album: Album) -> datetime:
        """The day of the newest sample, as far as its frames are still to be had; today where there is none."""
        now = self._clock()
        newest = album.newest
        return day_of(now) if newest is None else day_of(min(now, max(newest, now - FRAMES_KEPT + DAY)))

    async def _published(self) -> list[SampleSelected]:
        subscription: Subscription[SampleSelected] = Subscription(
            SAMPLES, "earliest", settings=self._settings, codec=self._codec, follow=False
        )
        async with aclosing(aiter(subscription)) as events:
            return [received.record async for received in events]
