"""Keeps aiokafka from saying the same thousands of times: without its broker it logs every try, hundreds a second.

Place in the flow: in every program that connects, since each says itself that its broker is away. What aiokafka both
logs and raises is only raised. Knows no client.
"""

from __future__ import annotations

import logging
import time

EVERY_S = 30.0
LOGGERS = (
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.cluster",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)


class OnceInAWhile(logging.Filter):
    """Lets each message, whatever its details, pass once in `every_s`."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._passed_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now_s, key = time.monotonic(), str(record.msg)
        if now_s - self._passed_s.get(key, -self._every_s) < self._every_s:
            return False
        self._passed_s[key] = now_s
        return True


def quieten() -> None:
    """Once a process is enough; again is idle."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, OnceInAWhile) for each in logger.filters):
            logger.addFilter(OnceInAWhile())


def leave_out_what_is_raised() -> None:
    """A right that is missing is raised to whoever reads or writes, who says it in one sentence."""
    for name in ("aiokafka.consumer.fetcher", "aiokafka.producer.sender"):
        logging.getLogger(name).addFilter(_is_not_raised)


def _is_not_raised(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(("Not authorized", "Unexpected error during InitProducerIdRequest"))
