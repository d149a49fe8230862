"""Ends the process when it can't be trusted any more; the supervisor starts it again and Kafka redelivers.

A thread of its own watches, because what it watches for includes an event loop that hangs. It also notices when the
whole process stood still (SIGSTOP, a frozen virtual machine) for so long that its group has given its partitions to
others: then nothing that was decided before may be published any more, since others may have decided otherwise.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from schemas.records import Event
from streams.topics import Topic

log = logging.getLogger(__name__)
EXIT_STATUS = 70  # EX_SOFTWARE
STANDSTILL_S = 4.5  # with LOOK_S and a heartbeat shorter than a group's session, see `faust_app.py`
LOOK_S = 0.5


def end_process(why: str) -> None:
    """End at once, without draining: what is not yet acknowledged comes again."""
    log.critical("ending the process: %s; frames under way will be delivered again", why)
    logging.shutdown()
    os._exit(EXIT_STATUS)


class Sender(Protocol):
    """The part of `bus.publisher.Publisher` that is fenced."""

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]: ...


class Fenced:
    """A sender that asks first whether this process may still speak for its partitions."""

    def __init__(self, sender: Sender, check: Callable[[], None]) -> None:
        self._sender = sender
        self._check = check

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]:
        """As the sender's own, unless the process stood still."""
        self._check()
        return await self._sender.send(topic, record, key=key, partition=partition)


class Watchdog:
    """Ends the process when work is outstanding and nothing has completed for `stall_timeout_s` seconds, and when the
    process stood still for `standstill_s`."""

    def __init__(
        self,
        outstanding: Callable[[], bool],
        stall_timeout_s: float,
        die: Callable[[str], None] = end_process,
        standstill_s: float = STANDSTILL_S,
        what_waits: Callable[[], str] = lambda: "frames wait",
    ) -> None:
        """`what_waits`: in words, for whoever wants to know why the process ended."""
        self._standstill_s = standstill_s
        self._looked_at = math.inf  # not yet watching
        self._outstanding = outstanding
        self._what_waits = what_waits
        self._stall_timeout_s = stall_timeout_s
        self._die = die
        self._last_progress = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self.progressed()
        self._looked_at = time.monotonic()
        self._thread.start()

    def progressed(self) -> None:
        """A frame was completed, or there was nothing to do."""
        self._last_progress = time.monotonic()

    def stop(self) -> None:
        self._stopped.set()
        self._looked_at = math.inf

    def check_standstill(self) -> None:
        """End the process if it stood still: its watching thread, which looks every half second, did not."""
        stood_s = time.monotonic() - self._looked_at
        if stood_s > self._standstill_s:
            self._die(f"the process stood still for {stood_s:.0f} s: others have its partitions")

    def _run(self) -> None:
        while not self._stopped.wait(min(LOOK_S, self._stall_timeout_s / 4)):
            self.check_standstill()
            self._looked_at = time.monotonic()
            if not self._outstanding():
                self.progressed()
            elif time.monotonic() - self._last_progress > self._stall_timeout_s:
                self._die(f"{self._what_waits()} and none completed for {self._stall_timeout_s:g} s")
                return
