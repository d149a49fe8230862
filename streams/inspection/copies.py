"""Frames that stand on the topic twice: a copy gets the decision that the first one got, also while that is being made.

Place in the flow: the inspector asks here before it decides. A gateway that lost its broker sends again what was not
confirmed; the copy is a frame of its own offset, which needs a verdict there, and of the same verdict_id, which must
not say something else (the deadline of the copy may have passed). Knows no Kafka.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from uuid import UUID

from schemas.records import VerdictIssued

REMEMBERED = 4096  # verdicts, some 12 MB; a gateway sends at most 256 frames twice


class Firsts:
    """The newest verdicts of one worker by their ids. Use it on one event loop."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._verdicts: OrderedDict[UUID, asyncio.Future[VerdictIssued]] = OrderedDict()

    async def of(self, verdict_id: UUID) -> VerdictIssued | None:
        """The first verdict of this id, once it is made; None where no frame with it is known."""
        future = self._verdicts.get(verdict_id)
        return None if future is None else await asyncio.shield(future)

    @contextlib.contextmanager
    def deciding(self, verdict_id: UUID) -> Iterator[asyncio.Future[VerdictIssued]]:
        """The block that makes the first verdict and sets it as the result; copies wait for it, and fail with it."""
        future: asyncio.Future[VerdictIssued] = asyncio.get_running_loop().create_future()
        self._verdicts[verdict_id] = future
        while len(self._verdicts) > self._remembered:
            self._verdicts.popitem(last=False)
        try:
            yield future
        except BaseException:
            self._verdicts.pop(verdict_id, None)
            future.cancel()
            raise

    def remember(self, verdict: VerdictIssued) -> None:
        """One that was published before."""
        if verdict.verdict_id not in self._verdicts:
            with self.deciding(verdict.verdict_id) as future:
                future.set_result(verdict)
