"""Which offsets of one partition may be acknowledged: a prefix in offset order, each only when it is done. Pure.

    offset   5     6     7     8
    state   done  open  done  done      6 done ▶ 6, 7 and 8 may be acknowledged

Verdicts wait for their parts, so they are done in any order; a committed offset never passes one whose part is not
decided and confirmed. One prefix lives for one assignment.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

Ack = Callable[[], None]


class Prefix:
    """The offsets of one partition that are not acknowledged yet, in order."""

    def __init__(self) -> None:
        self._acks: OrderedDict[int, Ack] = OrderedDict()
        self._done: set[int] = set()

    def __len__(self) -> int:
        return len(self._acks)

    def open(self, offset: int, ack: Ack) -> None:
        """The next offset; offsets must grow."""
        if self._acks and offset <= next(reversed(self._acks)):
            raise ValueError(f"offset {offset} after {next(reversed(self._acks))}: a redelivery needs a new prefix")
        self._acks[offset] = ack

    def done(self, offsets: Iterable[int]) -> Iterator[Ack]:
        """Mark offsets as done; gives what acknowledges those whose turn has come, in order."""
        self._done.update(offsets)
        while self._acks and (oldest := next(iter(self._acks))) in self._done:
            self._done.remove(oldest)
            yield self._acks.pop(oldest)
