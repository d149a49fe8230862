"""From which offset a partition of frames must be read, whatever the group's committed offset says. Pure.

    begin        decided      committed     end
      │ … results … │ undone frames │ new …  │     committed was moved forward: read from before `decided` on
      │ … committed … decided …              │     as usual: from committed on; what is decided stays
  committed … far … decided │ new …          │     was moved back, or forgotten: from before `decided` on too

People move offsets (kafka-consumer-groups --reset-offsets), and Kafka forgets them. What is published decides: results
of a partition are published in its order, so behind the newest frame that has one nothing is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

AGAIN = 4096  # frames before the newest decided one that are read again where offsets were moved: what follows from
# their verdicts (defect, dead letter) may be missing. More than a worker has under way at 2,000 frames/s
# Decided frames behind the committed offset that no crash leaves: 2 s at 32,000 frames/s in one partition. Fewer may be
# frames that were under way, whose defects and dead letters are still to be sent: all of them come again
FAR = 65_536


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read from; how many offsets below the committed one have no result, and how many are there no more."""

    offset: int
    undone: int = 0
    gone: int = 0


def start_of(committed: int | None, begin: int, end: int, decided: int | None) -> Start:
    """Where a partition that holds [begin, end) is read from.

    `committed` is None where that was forgotten; `decided` is the newest frame that has a verdict or a dead letter,
    None where none is known.
    """
    committed = 0 if committed is None else committed
    following = committed if decided is None and committed < begin else begin if decided is None else decided + 1
    gone = max(0, begin - following)
    again = min(end, max(begin, following - AGAIN))
    if committed <= following:
        first = max(committed, begin)
        return Start(again if following - first > FAR else first, 0, gone)
    committed = min(committed, end)  # beyond it: of a log that was cut or made anew
    return Start(again, max(0, committed - max(following, begin)), gone)
