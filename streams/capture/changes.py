"""Waiting for a condition among tasks of one event loop. Knows nothing of what changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Whoever changes something calls `wake`, which wakes those whose condition holds now and nobody else.

    A crash of one task is raised to everybody.
    """

    def __init__(self) -> None:
        self.crash: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._waiting: dict[asyncio.Future[None], Callable[[], object]] = {}

    def wake(self) -> None:
        for future, ready in self._waiting.items():
            if not future.done() and (ready() or self.crash.done()):
                future.set_result(None)

    async def until(self, ready: Callable[[], object]) -> None:
        """Returns at once when `ready()` is true after a change; nothing runs in between."""
        while True:
            if self.crash.done():
                raise self.crash.result()
            if ready():
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[future] = ready
            try:
                await future
            finally:
                del self._waiting[future]

    def watch(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Tells everybody where the task ends by an error; gives it back."""
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.crash.done():
            self.crash.set_result(error)
        self.wake()
