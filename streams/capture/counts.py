"""What a run of the gateway did so far, in numbers. Knows nothing of how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """`confirmed` counts each frame once, however it went; `sent` counts copies too, which come after a fault alone."""

    captured: int = 0  # triggers that got a number
    sent: int = 0  # frames handed to a producer
    confirmed: int = 0  # by the broker, those from the spool included
    spooled: int = 0  # taken over by the disk
    replayed: int = 0  # from the spool, of this run or an earlier one, and confirmed
    refused: int = 0  # by a full spool, or never to be sent: lost, or left to a source that can wait
    waiting: int = 0  # in the spool now
    claim_checks: int = 0
    picture_bytes: int = 0
