"""How many pixels may be under decode in this process at once: a small file can ask for gigabytes.

34 bytes of WebP are a good picture of 100 megapixels, and decoding it takes 2 GB for three seconds. So large pictures
share one room for MAX_PIXELS, whatever the number of decoding threads; a small one never waits for them. Used by the
readers, once a picture, after its size was judged. Thread-safe.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.decoding.contract import MAX_PIXELS

SMALL_PIXELS = 4_000_000  # takes 90 MB at most, and its thread alone
_changed = threading.Condition()
_in_work: list[int] = []
_waiting: set[int] = set()  # threads


@contextmanager
def pixel_room(width: int, height: int) -> Iterator[None]:
    """Decode within this block; waits while other large pictures fill the room."""
    pixels = width * height
    if pixels <= SMALL_PIXELS:
        yield
        return
    with _changed:
        _waiting.add(threading.get_ident())
        _changed.wait_for(lambda: sum(_in_work) + pixels <= MAX_PIXELS or not _in_work)
        _waiting.discard(threading.get_ident())
        _in_work.append(pixels)
    try:
        yield
    finally:
        with _changed:
            _in_work.remove(pixels)
            _changed.notify_all()


def waits_for_room(thread: threading.Thread) -> bool:
    """True where a decoder stands still for others, not for its own picture."""
    return thread.ident in _waiting
