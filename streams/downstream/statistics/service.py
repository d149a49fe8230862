"""The service behind `lineside statistics`: folds `verdicts` and `parts`, publishes `line-stats` and run-rule alarms.

Place in the flow: behind inspection and the part agent, before the dashboard. The pure core is `windows.py` and
`book.py`; here are the clock, Kafka and the order of things: rebuild, take in, publish. Where anything fails the
process ends; the next owner of its partitions rebuilds from the topics, so nothing is lost by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.codec import SchemaInvalidError, SchemaUnknownError
from schemas.records import AlarmKind, AlarmRaised
from streams.bus.ages import look
from streams.bus.control import ControlReader
from streams.bus.history import History
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.downstream.statistics.agent import Arrival, attach, on_assignments
from streams.downstream.statistics.book import PartitionBook, key_of
from streams.downstream.statistics.control_chart import import_costly
from streams.downstream.statistics.quality import Findings
from streams.downstream.statistics.rebuild import Rebuilder
from streams.downstream.statistics.run_rules import judge, next_alarm
from streams.downstream.statistics.secret_alarms import SecretAlarms
from streams.downstream.statistics.windows import Station, WindowRule
from streams.faust_app import faust_app, why_it_gave_up
from streams.health import Work
from streams.holding import Holding
from streams.inspection.watchdog import end_process
from streams.settings import Settings
from streams.topics import ALARMS, LINE_STATS, OUTCOMES, PARTS, SAMPLES, VERDICTS, station_key

log = logging.getLogger(__name__)
GROUP = "statistics"
PUBLISH_EVERY_S = 0.4  # a screen follows at this pace, so an event is on it within a second
GATHER_MS = 60
LOOK_AT_ENDS_EVERY_S = 1.0
DRAIN_TIMEOUT_S = 50.0  # shorter than the rebalance timeout


@dataclass(eq=False, slots=True)
class _Held:
    """A partition of this assignment. The lock keeps taking in and publishing apart."""

    book: PartitionBook
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    released: bool = False
    judged: dict[Station, int] = field(default_factory=dict)


def rule_of(settings: Settings) -> WindowRule:
    return WindowRule(settings.window_s * 1000, settings.lateness_s * 1000)


class StatisticsService:
    """One statistics worker; start it on the loop that it shall live on. `die` ends the process."""

    def __init__(self, settings: Settings, die: Callable[[str], Any] = end_process) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._rule = rule_of(settings)
        self._codec = codec_for(settings)
        self._die = die
        self._findings = Findings()
        self._alarms: dict[str, AlarmRaised] = {}
        self._secrets = SecretAlarms(lambda: look(settings))
        self._publisher = Publisher(settings.bootstrap, self._prefix, self._codec)
        self._history = History(settings.bootstrap, self._prefix, self._codec)
        self._rebuilder = Rebuilder(self._history, self._rule, self._findings)
        self._controls = [
            ControlReader(
                settings, self._codec, OUTCOMES, lambda record, _: self._look(self._findings.outcome(record))
            ),
            ControlReader(settings, self._codec, SAMPLES, lambda record, _: self._look(self._findings.sample(record))),
            ControlReader(settings, self._codec, ALARMS, lambda record, _: self._stand(record)),
        ]
        self._held: dict[int, _Held] = {}
        self._rebuilt = asyncio.Event()
        self._rebuilding: asyncio.Task[None] | None = None
        self._ends: dict[str, dict[int, int]] = {VERDICTS.name: {}, PARTS.name: {}}
        self._draining = False
        self._unread = 0
        self._taken = 0
        self._faust = faust_app(settings, GROUP, GATHER_MS)
        self._faust.starts = self._starts
        needs = [self._prefix + topic.name for topic in (LINE_STATS, VERDICTS, PARTS)]
        self._holding = Holding(self._faust, settings.bootstrap, needs, before_reading=self._take_up)
        self._begun: asyncio.Future[dict[int, dict[str, int]]] | None = None  # where each partition is read from
        attach(self._faust, (self._prefix + VERDICTS.name, self._prefix + PARTS.name), self.accept)
        on_assignments(self._faust, self._assigned, self._revoked)

    def work(self) -> Work:
        """What waits, as `/progressing` shows it."""
        return Work(self._unread, 0, self._taken)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; then all that was taken in is published and acknowledged."""
        await asyncio.to_thread(import_costly)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._publisher)
            await stack.enter_async_context(self._history)
            stack.callback(self._holding.stop)
            for control in self._controls:
                await stack.enter_async_context(control)
                await control.caught_up()
            secrets = asyncio.create_task(self._secrets.run(self._publisher))
            stack.callback(secrets.cancel)
            await self._faust.start()
            publishing = asyncio.create_task(self._publish_regularly())
            await _first(stop.wait(), self._rebuilt.wait(), self._faust._crashed.wait())
            if self._rebuilt.is_set():
                on_ready()
            await _first(stop.wait(), self._faust._crashed.wait(), *(control.wait() for control in self._controls))
            if self._faust._crashed.is_set():
                self._die(why_it_gave_up(self._faust, self._settings))
            await self._drain()
            publishing.cancel()

    async def accept(self, arrival: Arrival) -> None:
        """Take one event in. Waits while its partition is rebuilt or published."""
        try:
            await self._rebuilt.wait()
            held = self._held.get(arrival.partition)
            if held is None:  # of a partition that is another's now: our acknowledgement of it commits nothing
                return
            async with held.lock:
                await self._take(held, arrival)
                self._taken += 1
        except Exception as error:  # without a fold the event may not be acknowledged
            self._die(f"counting {arrival.topic}/{arrival.partition}@{arrival.offset} failed: {error!r}")

    async def _take(self, held: _Held, arrival: Arrival) -> None:
        of_frames = arrival.topic == self._prefix + VERDICTS.name
        topic, fold = (VERDICTS, held.book.frames) if of_frames else (PARTS, held.book.parts)
        try:
            if arrival.value is None:
                raise SchemaInvalidError("no value")
            record: Any = self._codec.decode(arrival.value, topic.record)
        except (SchemaInvalidError, SchemaUnknownError) as error:
            log.warning("passed over %s/%d@%d: %s", arrival.topic, arrival.partition, arrival.offset, error)
            fold.pass_over(arrival.offset)
            return
        if fold.outruns_changes(fold.time_of(record, arrival.appended_at)):
            await self._publish_due(held)
        fold.take(record, arrival.offset, arrival.appended_at)
        if self._draining:
            await self._publish_due(held)

    async def _assigned(self, partitions: frozenset[int]) -> None:
        self._begun = asyncio.get_running_loop().create_future()
        self._rebuilding = asyncio.create_task(self._rebuild(partitions, self._begun))

    async def _starts(self, committed: Mapping[Any, int | None]) -> dict[Any, int]:
        """Where each partition of a new assignment is read from, whatever was done to the group's offsets."""
        await self._holding.assigned(committed)
        offsets: dict[int, dict[str, int | None]] = {}
        for tp, offset in committed.items():
            offsets.setdefault(tp.partition, {})[tp.topic.removeprefix(self._prefix)] = offset
        begun = {
            partition: await self._rebuilder.starts(partition, found)
            for partition, found in offsets.items()
            if partition not in {tp.partition for tp in self._faust.held}
        }
        if self._begun and not self._begun.done():
            self._begun.set_result(begun)
        return {
            tp: begun[tp.partition][tp.topic.removeprefix(self._prefix)] for tp in committed if tp.partition in begun
        }

    async def _revoked(self) -> None:
        """What is unpublished goes out before another worker reads it back."""
        if self._rebuilding:
            self._rebuilding.cancel()
        self._rebuilt.clear()
        await self._publish_all()
        for held in self._held.values():
            held.released = True
        self._held = {}
        self._ends = {VERDICTS.name: {}, PARTS.name: {}}  # who gets a partition again must look at its end again

    async def _take_up(self, partitions: frozenset[int]) -> None:
        """Partitions that were held: nothing of them is published, they are read from their beginning."""
        for partition in partitions:
            self._held.setdefault(partition, _Held(await self._rebuilder.book(partition, {})))

    async def _rebuild(self, partitions: frozenset[int], begun: asyncio.Future[dict[int, dict[str, int]]]) -> None:
        try:
            for partition, offsets in sorted((await begun).items() if partitions else ()):
                self._held[partition] = _Held(await self._rebuilder.book(partition, offsets))
        except Exception as error:
            self._die(f"rebuilding statistics failed: {error!r}")
        self._rebuilt.set()

    async def _publish_regularly(self) -> None:
        looked_s, loop = -math.inf, asyncio.get_running_loop()
        due_s = loop.time()
        try:
            while True:
                due_s = max(due_s + PUBLISH_EVERY_S, loop.time())
                await asyncio.sleep(due_s - loop.time())
                now_s = loop.time()
                if now_s - looked_s >= LOOK_AT_ENDS_EVERY_S:
                    looked_s = now_s
                    await self._look_at_ends()
                await self._publish_all()
        except Exception as error:
            self._die(f"publishing statistics failed: {error!r}")

    async def _look_at_ends(self) -> None:
        held = self._held
        self._unread = sum(self._faust.unread().values())
        ends = {topic.name: await self._history.ends(topic, held) for topic in (VERDICTS, PARTS)}
        if held is self._held:  # else they are of an assignment that has ended
            self._ends = ends

    async def _publish_all(self) -> None:
        await asyncio.gather(*(self._publish(held) for held in self._held.values()))

    async def _publish(self, held: _Held) -> None:
        async with held.lock:
            if not held.released:
                await self._publish_due(held)

    async def _publish_due(self, held: _Held) -> None:
        """Send what is due of one partition and wait for its confirmation; the lock is held."""
        book = held.book
        if (number := book.reads_back_from()) is not None:
            await self._rebuilder.learn(book, number)
        now, caught_up = datetime.now(UTC), self._caught_up(book)
        windows = book.due(now, caught_up)
        confirmations = []
        for window in windows:
            key = station_key(window.plant, window.line, window.station)
            confirmations.append(await self._publisher.send(LINE_STATS, window, key=key, partition=book.partition))
        await asyncio.gather(*confirmations)
        book.published(windows, caught_up)
        for station in {key_of(window)[0] for window in windows if window.final} | (book.past.keys() - held.judged):
            await self._judge(held, station, now)

    def _caught_up(self, book: PartitionBook) -> tuple[bool, bool]:
        frames_end, parts_end = (self._ends[topic.name].get(book.partition, math.inf) for topic in (VERDICTS, PARTS))
        return book.frames.next_offset >= frames_end, book.parts.next_offset >= parts_end

    async def _judge(self, held: _Held, station: Station, now: datetime) -> None:
        """Look at the chart of a station's newest final window, once for each such window."""
        judgement = judge(held.book.past[station])
        number = judgement.number if judgement else -1
        if judgement and number > held.judged.get(station, -1):
            width = timedelta(milliseconds=self._rule.width_ms)
            alarm = next_alarm(station, judgement.point, width, self._alarms.get("/".join(station)), now)
            if alarm:
                await (await self._publisher.send(ALARMS, alarm, key=alarm.subject.encode()))
                self._stand(alarm)
        held.judged[station] = max(number, held.judged.get(station, -1))

    def _look(self, station: Station) -> None:
        for held in self._held.values():
            held.book.look_again(station)

    def _stand(self, alarm: AlarmRaised) -> None:
        self._secrets.stand(alarm)
        if alarm.kind is AlarmKind.RUN_RULE:
            self._alarms[alarm.subject] = alarm

    async def _drain(self) -> None:
        """Publish before every acknowledgement, so that the next owner finds all of it; then leave the group."""
        self._draining = True
        await self._publish_all()
        try:
            await asyncio.wait_for(self._faust.stop(), DRAIN_TIMEOUT_S)
        except TimeoutError:
            self._die(f"events were not taken in within {DRAIN_TIMEOUT_S:.0f} s of the stop")


async def _first(*waits: Any) -> None:
    """Returns when the first is done; raises what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
