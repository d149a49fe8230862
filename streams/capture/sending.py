"""★ The sending of a gateway: directly while the broker is there, through the spool while it is not, in order always.

Place in the flow: the gateway puts captured frames in, in the order of their triggers; `session.py` is a producer's
life, `backlog.py` the spool. Frames that nobody has taken over yet wait in memory, in order:

    AWAY       no broker: all that waits goes to the spool, many frames a sync; the broker is looked for
    REPLAYING  the broker is back: the spool is sent first, and what comes meanwhile goes behind it
    DIRECT     all of the spool was sent: what waits is sent; a failed or silent session leads back to AWAY

A frame is taken over once the broker has confirmed it or the disk has synced it. A session is ended for good before
what it left unconfirmed goes to the spool, so copies come in order, behind all that was sent before. Knows no source.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from streams.capture.backlog import Backlog
from streams.capture.captured import Captured
from streams.capture.changes import Changes
from streams.capture.counts import Counts
from streams.capture.dialling import Dialler
from streams.capture.session import Session, UnsendableError
from streams.errors import LinesideError

log = logging.getLogger(__name__)
WINDOW_FRAMES = 256
WINDOW_BYTES = 64 << 20
SYNC_BYTES = 16 << 20  # that share a sync
CATCH_UP_FRAMES = 64  # with fewer left in the spool what comes may wait for their sending, and needs no disk
FULL_RETRY_S = 0.5
REMIND_S = 10.0
PAUSED_POLL_S = 0.05


class Mode(Enum):
    AWAY = "away"
    REPLAYING = "replaying"
    DIRECT = "direct"


@dataclass(slots=True, eq=False)
class _Waiting:
    """A frame, and whom to tell when it is taken over."""

    captured: Captured
    taken_over: Callable[[], None]
    is_told: bool = False

    @property
    def size(self) -> int:
        return len(self.captured.picture)

    def tell(self) -> None:
        if not self.is_told:
            self.is_told = True
            self.taken_over()


class Sending:
    """See the module. `can_wait`: where the spool is full the source is let wait; else frames are refused."""

    def __init__(self, dialler: Dialler, backlog: Backlog, changes: Changes, counts: Counts, can_wait: bool) -> None:
        self.mode = Mode.AWAY
        self._dialler, self._backlog, self._changes, self._counts = dialler, backlog, changes, counts
        self._can_wait = can_wait
        self._unsent: deque[_Waiting] = deque()
        self._sent: dict[int, _Waiting] = {}  # by id, in order; in DIRECT alone
        self._bytes = 0
        self._session: Session | None = None
        self._is_leaving = False
        self._said_s: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Looks for the broker once, then begins. CallerError as `Dialler.first`."""
        session = await self._dialler.first()
        self.mode = Mode.REPLAYING if session else Mode.AWAY
        for work in (self._run(session), self._spool()):
            self._tasks.append(self._changes.watch(asyncio.create_task(work)))

    def has_room(self, size: int) -> bool:
        """Whether a picture of `size` bytes may be put; one always has room, however large."""
        return not self._count or (self._count < WINDOW_FRAMES and self._bytes + size <= WINDOW_BYTES)

    async def room_for(self, size: int) -> None:
        """Waits until a picture of `size` bytes may be put.

        For a camera not long: a broker that is too slow for it is left, so that its frames go through the spool.
        """
        if not self._can_wait:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._dialler.silence_s):
                    await self._changes.until(lambda: self.has_room(size))
            if self.mode is Mode.DIRECT and self._session is not None and not self.has_room(size):
                self._session.give_up("the broker confirms too slowly for the cameras")
        await self._changes.until(lambda: self.has_room(size))

    def put(self, captured: Captured, taken_over: Callable[[], None]) -> None:
        """The next frame; `taken_over` is called once broker or disk has it."""
        waiting = _Waiting(captured, taken_over)
        self._unsent.append(waiting)
        self._bytes += waiting.size
        self._changes.wake()

    async def finish(self) -> None:
        """Returns when the broker has confirmed everything, the spool included, however long it is away."""
        while not self._is_idle():
            await self._changes.until(lambda: self._is_idle() or self.mode is Mode.AWAY)
            if not self._is_idle():
                waiting = self._backlog.spool.frames + self._count
                self._say(
                    logging.WARNING,
                    "nothing more is captured; {} for the broker. Ctrl-C leaves them in the spool for the next start",
                    f"{waiting} frames wait",
                )
                await self._changes.until(lambda: self._is_idle() or self.mode is not Mode.AWAY)

    async def leave(self) -> None:
        """Ends: what is in flight is finished where the broker is there, all else is left in the spool."""
        self._is_leaving = True
        self._changes.wake()
        try:
            if self._tasks:
                await self._changes.until(lambda: not self._count)
                await self._changes.until(lambda: self._tasks[0].done() or self.mode is Mode.AWAY)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._backlog.close()

    @property
    def _count(self) -> int:
        return len(self._unsent) + len(self._sent)

    def _is_done(self) -> bool:
        return self._is_leaving and not self._count

    def _is_idle(self) -> bool:
        return not self._count and not self._backlog.spool.frames

    async def _run(self, session: Session | None) -> None:
        """One session after the other."""
        while not self._is_leaving or session is not None:
            session = session or await self._dialler.next()
            try:
                await self._serve(session)
            except LinesideError as error:
                log.debug("the session is over: %s", error)  # the dialler tells people
            finally:
                await self._end(session)
            session = None

    async def _serve(self, session: Session) -> None:
        """Sends what there is until the session fails or all is done; in a pause the spool takes what comes."""
        self._session = session
        while not await self._send_until_paused(session):
            log.info("gateways are asked to pause: frames go to the spool")
            self.mode = Mode.AWAY
            self._changes.wake()
            while session.is_paused and session.failure is None and not self._is_leaving:  # noqa: ASYNC110  # no event
                await asyncio.sleep(PAUSED_POLL_S)
        await session.drained()

    async def _send_until_paused(self, session: Session) -> bool:
        """The spool, then what comes; False for a pause, nothing being in flight. LinesideError where it fails."""
        self.mode = Mode.REPLAYING
        self._changes.wake()
        if waiting := self._backlog.spool.frames:
            log.info("the broker is there; %d frames of the spool are sent first", waiting)
        if await self._backlog.replay(session, lambda: self._is_leaving or session.is_paused):
            self.mode = Mode.DIRECT
            if waiting:
                log.info("the spool is sent; frames go directly to the broker again")
            while not session.is_paused and not self._is_done():
                await self._changes.until(lambda: self._unsent or session.failure or self._is_done())
                if session.failure is not None:
                    raise session.failure
                if self._unsent and not session.is_paused:
                    await self._send_first(session)
        await session.drained()
        return self._is_leaving or not session.is_paused

    async def _send_first(self, session: Session) -> None:
        waiting = self._unsent[0]
        try:
            await session.send(waiting.captured, lambda: self._confirmed(waiting))
        except UnsendableError as error:
            log.error("%s; it lies in %s", error, self._backlog.spool.folder / "aside")
            self._backlog.put_aside(waiting.captured)
            self._refuse([waiting])
            return
        self._unsent.popleft()
        self._sent[id(waiting)] = waiting

    def _confirmed(self, waiting: _Waiting) -> None:
        if self._sent.pop(id(waiting), None) is not None:
            self._bytes -= waiting.size
        self._counts.confirmed += 1
        waiting.tell()

    async def _end(self, session: Session) -> None:
        """Ends a session for good, and only then lets go to the spool what it left unconfirmed."""
        try:
            await session.close()
            await asyncio.sleep(0)  # the last confirmations arrive
        finally:
            self._counts.sent += session.sent
            self._counts.claim_checks += session.claim_checks
            self._dialler.ended(session)
            self._unsent.extendleft(reversed(self._sent.values()))
            self._sent.clear()
            self.mode = Mode.AWAY
            self._changes.wake()

    async def _spool(self) -> None:
        """Moves what waits to the disk whenever that must be."""
        while True:
            await self._changes.until(self._must_spool)
            batch = self._batch()
            kept = await self._backlog.keep([waiting.captured for waiting in batch])
            for waiting in batch[:kept]:
                self._unsent.popleft()
                self._bytes -= waiting.size
                waiting.tell()
            self._changes.wake()
            if kept < len(batch):
                await self._find_no_room(batch[kept:])

    def _batch(self) -> list[_Waiting]:
        """The first frames that wait; one at least."""
        batch, size = [self._unsent[0]], self._unsent[0].size
        for waiting in itertools.islice(self._unsent, 1, None):
            if (size := size + waiting.size) > SYNC_BYTES:
                break
            batch.append(waiting)
        return batch

    def _must_spool(self) -> bool:
        if not self._unsent or self.mode is Mode.DIRECT:
            return False
        if self.mode is Mode.AWAY:
            return True
        if self._is_leaving:
            return self._backlog.spool.unread > 0  # else they are sent in a moment
        return not self._can_wait and (self._backlog.spool.unread > CATCH_UP_FRAMES or self._is_half_full())

    def _is_half_full(self) -> bool:
        return self._count >= WINDOW_FRAMES // 2 or self._bytes >= WINDOW_BYTES // 2

    async def _find_no_room(self, rest: Sequence[_Waiting]) -> None:
        """The spool is full: what can wait does, as does what may still be sent; everything else is refused."""
        why = self._backlog.spool.full
        sending = self.mode is Mode.REPLAYING and not self._is_half_full()
        if not self._is_leaving and (self._can_wait or sending):
            self._say(logging.WARNING, "{}: the source waits until frames can be sent", why)
            await asyncio.sleep(FULL_RETRY_S)
            return
        self._refuse(rest)
        self._say(
            logging.ERROR,
            "{}; bring the broker back, or make room and raise LINESIDE_SPOOL_MAX_BYTES",
            f"{why}: {rest[0].captured} and {len(rest) - 1} more are refused, {self._counts.refused} so far",
        )

    def _refuse(self, waiting: Sequence[_Waiting]) -> None:
        """They were the last to come, or the first: nobody will have them, and their numbers show that."""
        for each in waiting:
            self._unsent.remove(each)
            self._bytes -= each.size
        self._counts.refused += len(waiting)
        self._changes.wake()

    def _say(self, level: int, sentence: str, what: str) -> None:
        """Each sentence at most every few seconds."""
        if time.monotonic() - self._said_s.get(sentence, -REMIND_S) > REMIND_S:
            self._said_s[sentence] = time.monotonic()
            log.log(level, sentence.format(what))
