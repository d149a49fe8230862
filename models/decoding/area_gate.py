"""How many pixels all threads together may be decoding: a picture takes far more memory than its file.

Place in the flow: `decode` opens a turn, and `check_area`, which every reader asks before it allocates, waits in it
until there is room. A picture larger than all the room is decoded with none beside it. Changes no result.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

MAX_PIXELS_AT_ONCE = 32_000_000  # 96 MB of RGB, some 256 MB with a decoder's own copies


class AreaGate:
    """Room for `most` pixels, shared by threads."""

    def __init__(self, most: int = MAX_PIXELS_AT_ONCE) -> None:
        self._most = most
        self._taken = 0
        self._changed = threading.Condition()
        self.waiting: set[int] = set()  # threads, by their ident
        self._turn = threading.local()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One picture of this thread; what it claims is given back at the end."""
        self._turn.pixels = 0
        try:
            yield
        finally:
            with self._changed:
                self._taken -= self._turn.pixels
                self._changed.notify_all()
            del self._turn.pixels

    def claim(self, pixels: int) -> None:
        """Wait until the picture has room. Its first claim counts: what it holds in pieces is a part of it."""
        if getattr(self._turn, "pixels", None) != 0 or not pixels:  # no turn, or a claim already
            return
        with self._changed:
            self.waiting.add(threading.get_ident())
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self._most)
            self.waiting.discard(threading.get_ident())
            self._taken += pixels
            self._turn.pixels = pixels


GATE = AreaGate()
