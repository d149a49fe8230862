"""Frames that may have cost a worker its life: noted while in hand, recognised when they come again, tried alone then.

    in hand at one unclean end    comes again among the others: it was probably not its fault
    in hand at two                is tried alone, in a child process with a time limit (`alone.py`)
    the child ends or hangs       rejected, with a dead letter; the line goes on
    sent again by people          is tried alone at once: it was a dead letter before

Place in the flow: the inspector asks here between a picture and its scores. Knows no Kafka and no decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from models.preprocess import EncodedImage
from streams.inspection.decide import Source
from streams.inspection.engine_room import Scored, ServingModel
from streams.inspection.journal import Journal, lives_cost

log = logging.getLogger(__name__)
LIVES = 2  # unclean ends after which a frame is no longer tried among others


class Room(Protocol):
    """Where pictures of one model are scored: an engine room, or a child process."""

    model: ServingModel

    async def score(self, image: EncodedImage, expires_at: float) -> Scored: ...


class Quarantine:
    """Of one worker. Without `folder` and `rooms` nothing is noted and nobody is tried alone."""

    def __init__(self, folder: Path | None = None, rooms: Mapping[str, Room] | None = None) -> None:
        """`folder` keeps the traces of one topic of frames; `rooms` try pictures alone, by model variant."""
        self._folder = folder
        self.rooms: dict[str, Room] = dict(rooms or {})
        self._journal = _opened(folder) if folder else None
        self._cost: Counter[tuple[int, int]] = Counter()

    async def look_again(self) -> None:
        """Before the first frame of an assignment: what workers of this machine left behind."""
        if self._folder:
            self._cost = await asyncio.to_thread(lives_cost, self._folder)

    def holds(self, source: Source, attempt: int) -> bool:
        """True where a frame must be tried alone."""
        lives = self._cost[source.partition, source.offset]
        if not self.rooms or (attempt == 1 and lives < LIVES):
            return False
        log.warning(
            "frame %s/%s@%s is tried alone (attempt %d, in hand at %d unclean ends of workers here)",
            *(source.topic, source.partition, source.offset, attempt, lives),
        )
        return True

    def in_hand(self, source: Source) -> contextlib.AbstractContextManager[None]:
        """The block in which a frame may cost the worker its life."""
        return self._journal.in_hand(source.partition, source.offset) if self._journal else contextlib.nullcontext()

    def acquit(self) -> None:
        """This process is about to end, and no frame is to blame."""
        if self._journal:
            self._journal.acquit()

    def close(self) -> None:
        """A clean end."""
        if self._journal:
            self._journal.close()


def _opened(folder: Path) -> Journal | None:
    try:
        return Journal(folder)
    except OSError as error:  # a full disk must not stop the line
        log.error("frames in hand can't be noted in %s (%s); make room there and start again", folder, error.strerror)
        return None
