"""Ends the process when it can't be trusted any more; the supervisor starts it again and Kafka redelivers.

A thread of its own watches, because what it watches for includes an event loop that hangs.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
EXIT_STATUS = 70  # EX_SOFTWARE


def end_process(why: str) -> None:
    """End at once, without draining: what is not yet acknowledged comes again."""
    log.critical("ending the process: %s; frames under way will be delivered again", why)
    logging.shutdown()
    os._exit(EXIT_STATUS)


class Watchdog:
    """Ends the process when work is outstanding and nothing has completed for `stall_timeout_s` seconds."""

    def __init__(
        self, outstanding: Callable[[], bool], stall_timeout_s: float, die: Callable[[str], None] = end_process
    ) -> None:
        self._outstanding = outstanding
        self._stall_timeout_s = stall_timeout_s
        self._die = die
        self._last_progress = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self.progressed()
        self._thread.start()

    def progressed(self) -> None:
        """A frame was completed, or there was nothing to do."""
        self._last_progress = time.monotonic()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(min(1.0, self._stall_timeout_s / 4)):
            if not self._outstanding():
                self.progressed()
            elif time.monotonic() - self._last_progress > self._stall_timeout_s:
                self._die(f"frames wait and none completed for {self._stall_timeout_s:g} s")
                return
