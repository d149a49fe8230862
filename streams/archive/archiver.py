"""`lineside archive`: period after period of every archived topic, as each closes. The shell that owns the loop.

Started again after any end it goes on behind the last committed period; what an end without notice left is removed
first. A period holds the same rows and pictures whenever it is written. Knows neither columns nor pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from streams.archive.catalogue import Catalogue
from streams.archive.compaction import compact_closed_days, remove_remains
from streams.archive.events import EventArchiver
from streams.archive.frames import FrameArchiver
from streams.archive.log import TopicLog
from streams.archive.pictures import PictureKeeper
from streams.archive.tables import TABLES
from streams.bus.admin import wait_for_broker
from streams.bus.frames_at import FrameReader
from streams.bus.registry_client import codec_for
from streams.health import Work
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import FRAMES, frames_topic

log = logging.getLogger(__name__)
LOOK_S = 10.0  # between two looks for a period that has closed
OnPeriod = Callable[[str, int, int], None]
"""Takes a topic, the end of the period being archived (ms since 1970), and the records read so far of it."""


class Archiver:
    """Writes one archive; make it with `open_archiver`."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        logs: dict[str, TopicLog],
        frames: FrameReader,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._logs = logs
        self._clock = clock
        self._is_writing = False
        self._steps = 0
        codec, keeper = codec_for(settings), PictureKeeper(FrameStore(settings.frame_store_url))
        self._frames = FrameArchiver(settings, codec, logs, frames, keeper)
        self._events = {
            name: EventArchiver(settings.archive_dir, topic_log, frames, keeper)
            for name, topic_log in logs.items()
            if name != FRAMES.name
        }

    def work(self) -> Work:
        """What waits, as `/progressing` shows it: a period that is being written."""
        return Work(0, int(self._is_writing), self._steps)

    async def catch_up(self, on_period: OnPeriod = lambda topic, end_ms, read: None) -> int:
        """Archives every period that is closed by now, a period of each topic in turn; how many those were."""
        periods = 0
        self._is_writing = True
        try:
            while written := [name for name in self._logs if await self._next(name, on_period)]:
                periods += len(written)
        finally:
            self._is_writing = False
        await asyncio.to_thread(compact_closed_days, self._catalogue)
        await asyncio.to_thread(remove_remains, self._catalogue, self._clock())
        return periods

    async def run(self, stop: asyncio.Event) -> None:
        """Archives periods as they close until `stop` is set; the one under way is given up then, without harm."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                work = asyncio.create_task(self.catch_up())
                await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    work.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await work
                    return
                if count := work.result():
                    log.info("%d periods archived", count)
                await asyncio.wait((stopping,), timeout=LOOK_S)
        finally:
            stopping.cancel()

    async def _next(self, name: str, on_period: OnPeriod) -> bool:
        """Archives a topic's next period; False where none is to be had yet."""
        self._steps += 1
        now_ms = int(self._clock() * 1000)
        due = await self._logs[name].due(self._catalogue, now_ms)
        if due is None:
            return False
        if gone := sum(due.expired.values()):
            log.warning("%d records of %s expired before they were archived", gone, name)
        read = 0

        def progress(records: int) -> None:
            nonlocal read
            read += records
            self._steps += 1
            on_period(name, due.period.end_ms, read)

        if name == FRAMES.name:
            return await self._frames.archive(due, self._catalogue, now_ms, progress)
        await self._events[name].archive(due, self._catalogue, progress)
        return True


@contextlib.asynccontextmanager
async def open_archiver(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[Archiver]:
    """`clock` gives seconds since 1970.

    CallerError where another archiver writes, or for an archive of other topics; BrokerUnreachableError.
    """
    cluster = await wait_for_broker(settings.bootstrap)
    codec = codec_for(settings)
    async with contextlib.AsyncExitStack() as stack:
        catalogue = stack.enter_context(Catalogue(settings.archive_dir, writing=True))
        catalogue.belongs_to(cluster, settings.topic_prefix + settings.pool)
        logs = {
            name: await stack.enter_async_context(TopicLog(settings, codec, table.topic))
            for name, table in TABLES.items()
        }
        frames = FrameReader(settings.bootstrap, frames_topic(settings), codec)
        await stack.enter_async_context(frames)
        yield Archiver(settings, catalogue, logs, frames, clock)
