"""From which verdict the part service reads a partition, whatever its group's committed offset says. Pure.

Decisions tell how far verdicts were taken in: a part names the offsets of its views. A part that waits holds up at most
MAX_HELD verdicts, so all before those are decided; and decisions about the last REMEMBERED_PARTS are known again, so
verdicts that far back can be read again and no part is decided twice.
"""

from __future__ import annotations

from streams.downstream.parts.assembler import MAX_HELD, REMEMBERED_PARTS


def start_of(committed: int | None, begin: int, end: int, decided: int | None) -> int:
    """Where a partition of verdicts that holds [begin, end) is read from.

    `decided` is the newest verdict that stands in a part; None where none is known.
    """
    if decided is None or decided >= end:  # nothing was decided, or of a topic that was there before
        return begin
    if committed is not None and decided - MAX_HELD <= committed <= decided + 1:
        return max(begin, committed)
    return max(begin, decided + 1 - REMEMBERED_PARTS)
