"""The watch put to Kafka: verdicts in, alarms with their pictures and cameras' references out. Decides nothing.

Place in the flow: reads `verdicts` in a group of its own, and `camera-references`, `alarms`, `recipes` and `models`
whole before the first frame. A restart knows what stands and what is usual, and looks again at the newest frames that
it had seen, so that its windows are full. What is published is confirmed before the offset is committed; what comes
again after a fault finds its alarm standing. Run one for an installation: windows are not shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from models.reference import told_by
from schemas.codec import Codec
from schemas.records import CameraReference, ModelReleased, VerdictIssued
from streams.bus.control import ControlReader, OnRecord
from streams.bus.frames_at import FrameReader, committed_by
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.downstream.drift.reading import newest, told_of
from streams.downstream.drift.watch import LESSON, NO_REJECTS, State, Watch
from streams.downstream.rework.link import now_ms
from streams.downstream.sampling.pictures import SamplePictures
from streams.errors import LinesideError
from streams.health import Work
from streams.inspection.recipes import RecipeBook
from streams.registry.book import Book
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import ALARMS, CAMERA_REFERENCES, MODELS, RECIPES, VERDICTS, Topic, frames_topics

log = logging.getLogger(__name__)
GROUP = "drift"
LOOKED_AT_AGAIN = 20_000  # newest verdicts of each partition, at a start


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOptions:
    """`models`: directories of models that are not released. The others as `watch.Watch` has them."""

    lesson: int = LESSON
    no_rejects: timedelta = NO_REJECTS
    models: Sequence[Path] = ()


class DriftService:
    """One run, until it is told to stop."""

    def __init__(self, settings: Settings, options: DriftOptions, clock: Callable[[], datetime] = now_ms) -> None:
        """ModelError for a model that can't be read."""
        self._settings, self._clock = settings, clock
        self._codec: Codec = codec_for(settings)
        self._recipes, self._book, self._looked_up = RecipeBook(), Book(), set[str]()
        self._watch = Watch(self._recipes, options.lesson, options.no_rejects)
        for directory in options.models:
            told = told_by(directory)
            self._watch.know(told)
            self._looked_up.add(told.model_id)
        self._next: dict[int, int] = {}
        self._steps = self._in_hand = 0

    def work(self) -> Work:
        """What waits, as `/progressing` shows it: the frame in hand."""
        return Work(0, self._in_hand, self._steps)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Watches what is judged from now on, or from where the group stopped, until `stop` is set.

        Raises BrokerUnreachableError, CallerError where a topic is missing, and whatever a refused send raises: what
        was in hand comes again then.
        """
        settings, codec = self._settings, self._codec
        async with AsyncExitStack() as stack:
            controls = [ControlReader(settings, codec, topic, take) for topic, take in self._feeds()]
            for control in controls:
                await stack.enter_async_context(control)
                await control.caught_up()
            publisher = await stack.enter_async_context(Publisher(settings.bootstrap, settings.topic_prefix, codec))
            store, pictures = FrameStore(settings.frame_store_url), dict[str, SamplePictures]()
            for name in frames_topics(settings):
                frames = await stack.enter_async_context(FrameReader(settings.bootstrap, name, codec))
                pictures[name] = SamplePictures(store, frames, name)
            await self._remember(publisher)
            working = asyncio.create_task(self._work(publisher, pictures))
            waits = [working, asyncio.create_task(stop.wait()), *(asyncio.create_task(c.wait()) for c in controls)]
            on_ready()
            done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in pending:
                wait.cancel()
            for wait in done:
                wait.result()
            with contextlib.suppress(asyncio.CancelledError):
                await working

    def _feeds(self) -> list[tuple[Topic, OnRecord]]:
        return [
            (RECIPES, lambda record, at: _done(self._recipes.add(record, at))),
            (MODELS, self._released),
            (CAMERA_REFERENCES, lambda record, _: self._watch.teach(record)),
            (ALARMS, lambda record, _: self._watch.stand(record)),
        ]

    def _released(self, record: ModelReleased, at: datetime) -> None:
        self._book.take(record, at)
        self._looked_up.discard(record.model_id)

    async def _remember(self, publisher: Publisher) -> None:
        """The newest frames that were looked at before the last end."""
        settings = self._settings
        topic = settings.topic_prefix + VERDICTS.name
        before = await committed_by(settings.bootstrap, settings.topic_prefix + GROUP, topic)
        async with aclosing(newest(settings, self._codec, LOOKED_AT_AGAIN, before)) as found:
            async for received in found:
                self._steps += 1
                await self._look_up(received.record)
                for reference in self._watch.remember(received.record, self._clock()):
                    await self._publish_reference(publisher, reference)

    async def _work(self, publisher: Publisher, pictures: Mapping[str, SamplePictures]) -> None:
        settings = self._settings
        subscription: Subscription[VerdictIssued] = Subscription(
            VERDICTS, self._clock(), settings=settings, codec=self._codec, group=settings.topic_prefix + GROUP
        )
        async with aclosing(aiter(subscription)) as events:
            async for received in events:
                self._steps += 1
                if received.offset < self._next.get(received.partition, 0):  # after a rebalance: no second picture
                    continue
                self._next[received.partition] = received.offset + 1
                self._in_hand = 1
                await self._look_up(received.record)
                for notice in self._watch.take(received.record, self._clock()):
                    if isinstance(notice, State):
                        await self._publish_state(publisher, pictures, notice)
                    else:
                        await self._publish_reference(publisher, notice)
                self._in_hand = 0

    async def _look_up(self, verdict: VerdictIssued) -> None:
        """Makes known what a model tells, the first time that it judges."""
        model_id = verdict.model_id
        if model_id is None or model_id in self._looked_up:
            return
        self._looked_up.add(model_id)
        told = await asyncio.to_thread(told_of, self._book, model_id, self._settings.model_store_dir)
        if told is not None:
            self._watch.know(told)

    async def _publish_state(self, publisher: Publisher, pictures: Mapping[str, SamplePictures], state: State) -> None:
        alarm = state.alarm
        if state.shown:
            alarm = replace(alarm, evidence=await self._kept(pictures, state))
        log.warning("%s of %s: %s", alarm.kind, alarm.subject, "over" if alarm.cleared else alarm.detail)
        await (await publisher.send(ALARMS, alarm, key=alarm.subject.encode()))
        self._watch.stand(alarm)

    async def _kept(self, pictures: Mapping[str, SamplePictures], state: State) -> tuple[str, ...]:
        """URIs of the pictures that show it, as far as they are still to be had."""
        found = []
        for verdict in state.shown:
            try:
                kept = await pictures[verdict.source_topic].keep(verdict, f"alarm-{state.alarm.alarm_id}")
                found.append(kept.image_ref)
            except (LinesideError, OSError, ValueError, KeyError) as error:  # an alarm without pictures is one, too
                log.warning("a picture of alarm %s is not kept: %s", state.alarm.alarm_id, error)
        return tuple(found)

    async def _publish_reference(self, publisher: Publisher, reference: CameraReference) -> None:
        where = f"{reference.plant}/{reference.line}/{reference.station}/{reference.camera}/{reference.sku}"
        log.info("learned how pictures of %s are, from %d frames", where, reference.frames)
        await (await publisher.send(CAMERA_REFERENCES, reference, key=where.encode()))


def _done(_: bool) -> None:
    """A recipe that takes no effect is nobody's mistake here."""
