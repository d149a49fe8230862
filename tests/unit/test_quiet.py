"""aiokafka says each thing once in a while."""

from __future__ import annotations

import logging

import pytest

from streams.bus.quiet import LOGGERS, OnceInAWhile, quieten


def test_each_message_passes_once_whatever_its_details(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.quiet")
    logger.addFilter(OnceInAWhile(60))
    for number in range(1000):
        logger.error("can't connect to node %d", number)
    logger.error("something else")
    assert [record.getMessage() for record in caplog.records] == ["can't connect to node 0", "something else"]


def test_it_passes_again_later(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.quiet.later")
    logger.addFilter(OnceInAWhile(0))
    logger.error("again")
    logger.error("again")
    assert len(caplog.records) == 2


def test_every_program_that_connects_is_quiet_and_again_is_idle() -> None:
    import streams.bus.connect  # noqa: F401

    before = [list(logging.getLogger(name).filters) for name in LOGGERS]
    assert all(any(isinstance(each, OnceInAWhile) for each in filters) for filters in before)
    quieten()
    assert [list(logging.getLogger(name).filters) for name in LOGGERS] == before
