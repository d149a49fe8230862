"""The spool as the event loop sees it: frames are kept by a thread of its own, sent again in order, and noted as done.

Place in the flow: between `sending.py`, which decides when, and `spool.py`, which blocks. A frame that nobody can send
or read any more is kept in the spool's `aside/`, loudly, and the next one is sent. Knows no broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from streams.capture.captured import Captured, SpoolCodec
from streams.capture.changes import Changes
from streams.capture.counts import Counts
from streams.capture.session import Session, UnsendableError
from streams.capture.spool import Record, Spool

log = logging.getLogger(__name__)
READ_BYTES = 4 << 20
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Open:
    """A record that was read and is not done."""

    number: int
    is_done: bool = False


class Backlog:
    """See the module. `sync_numbers` makes trigger numbers durable, before frames that have them count as kept."""

    def __init__(
        self,
        spool: Spool,
        changes: Changes,
        counts: Counts,
        sync_numbers: Callable[[], None],
        progress: Callable[[], None],
    ) -> None:
        self.spool = spool
        self.is_writing = False
        self._changes, self._counts, self._sync_numbers, self._progress = changes, counts, sync_numbers, progress
        self._codec = SpoolCodec()
        self._open: deque[_Open] = deque()
        self._done_to = self._sent_to = spool.done
        self._thread = ThreadPoolExecutor(1, "spool")
        self._noting = changes.watch(asyncio.create_task(self._note()))
        counts.waiting = spool.frames
        progress()

    async def keep(self, batch: Sequence[Captured]) -> int:
        """How many of the batch, from its first on, are durable now; for fewer than all see `spool.full`."""
        self.is_writing = True
        try:
            kept = await self._on_disk(self._append, batch)
        finally:
            self.is_writing = False
        self._counts.spooled += kept
        self._counts.waiting = self.spool.frames
        self._changes.wake()
        return kept

    async def replay(self, session: Session, is_over: Callable[[], bool]) -> bool:
        """Sends the spool from its first frame that is not done. True once all was sent, and nothing is being written.

        False where `is_over()` says so before. LinesideError where the session fails. A session that has yet to confirm
        its first frame is not done with the spool: what comes then shall not wait for it in memory.
        """

        def is_all_sent() -> bool:
            return not self.is_writing and session.is_proven

        self._open.clear()
        if self._done_to > self.spool.done:
            await self._on_disk(self.spool.acknowledge, self._done_to)
        self._sent_to = self.spool.done  # by this session
        await self._on_disk(self.spool.rewind)
        while True:
            records = await self._on_disk(self.spool.read, READ_BYTES)
            for record in records:
                if is_over():
                    return False
                await self._send(session, record)
            self._sent_to = self.spool.unread_from
            self._advance()
            if not records:
                await self._changes.until(lambda: session.failure or self.spool.unread or is_all_sent())
                if session.failure is not None:
                    raise session.failure
                if not self.spool.unread and is_all_sent():
                    return True

    def put_aside(self, captured: Captured, body: bytes | None = None) -> None:
        """Keeps a frame that can't be sent, in the background."""
        frame = captured.frame
        name = f"unsendable-{frame.frame_id}"
        self._thread.submit(lambda: self.spool.put_aside(name, body or self._codec.encode(captured)))

    async def close(self) -> None:
        """Notes what is done and gives the spool back."""
        self._noting.cancel()
        await asyncio.wait((self._noting,))
        if self._done_to > self.spool.done:
            await self._on_disk(self.spool.acknowledge, self._done_to)
        self._counts.waiting = self.spool.frames
        await self._on_disk(self.spool.close)
        self._thread.shutdown()

    def _append(self, batch: Sequence[Captured]) -> int:
        bodies = [(captured.trigger.wall_ms, self._codec.encode(captured)) for captured in batch]
        try:
            self._sync_numbers()
        except OSError as error:
            self.spool.full = f"trigger numbers can't be made durable ({error.strerror})"
            return 0
        return self.spool.append(bodies)

    async def _send(self, session: Session, record: Record) -> None:
        opened = _Open(record.number)
        self._open.append(opened)
        try:
            captured = self._codec.decode(record.body)
        except ValueError as error:
            name = f"unreadable-{record.number}"
            log.error("record %d of the spool can't be read: %s; it lies in aside/%s", record.number, error, name)
            await self._on_disk(self.spool.put_aside, name, record.body)
            self._counts.refused += 1
            self._done(opened)
            return
        try:
            await session.send(captured, lambda: self._confirmed(opened))
        except UnsendableError as error:
            log.error("%s; it lies in %s", error, self.spool.folder / "aside")
            self.put_aside(captured, record.body)
            self._counts.refused += 1
            self._done(opened)

    def _confirmed(self, opened: _Open) -> None:
        self._counts.replayed += 1
        self._counts.confirmed += 1
        self._done(opened)
        self._progress()

    def _done(self, opened: _Open) -> None:
        opened.is_done = True
        self._advance()

    def _advance(self) -> None:
        """All below the first open record are done, damaged ones too, as are those behind the last that was sent."""
        while self._open and self._open[0].is_done:
            self._done_to = self._open.popleft().number + 1
        if not self._open:
            self._done_to = max(self._done_to, self._sent_to)
        self._changes.wake()

    async def _note(self) -> None:
        """Many confirmations share one note."""
        while True:
            await self._changes.until(lambda: self._done_to > self.spool.done)
            await self._on_disk(self.spool.acknowledge, self._done_to)
            self._counts.waiting = self.spool.frames
            self._changes.wake()

    async def _on_disk(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
