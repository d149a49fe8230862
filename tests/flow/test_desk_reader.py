"""One topic read for as long as it takes: readings that end by an error, and records that make no sense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from streams.bus.subscriber import Received
from streams.downstream.rework.bus import Feed
from streams.downstream.rework.kafka_bus import Reader
from streams.errors import BrokerUnreachableError
from streams.settings import Settings
from streams.topics import DEFECTS
from tests.builders import CODEC, until
from tests.rework import START, defect, read

RECORDS = [read(defect(n), n // 2, n, partition=n % 2) for n in range(6)]  # two partitions, offsets 0 to 2


@asynccontextmanager
async def reading(monkeypatch: pytest.MonkeyPatch, take: Any, breaks_after: list[int]) -> AsyncIterator[list[Any]]:
    """A reader of RECORDS whose readings break after so many records each; gives where each reading began."""
    began: list[Any] = []

    class Subscription:
        def __init__(self, topic: Any, from_: Any, **options: Any) -> None:
            began.append(from_)

        async def __aiter__(self) -> AsyncGenerator[Received[Any]]:
            for record in RECORDS[: breaks_after[0]] if breaks_after else RECORDS:
                yield record
            if breaks_after:
                breaks_after.pop(0)
                raise BrokerUnreachableError("gone")
            await asyncio.Event().wait()

    monkeypatch.setattr("streams.downstream.rework.kafka_bus.Subscription", Subscription)
    monkeypatch.setattr("streams.downstream.rework.kafka_bus.RETRY_S", 0.001)
    task = asyncio.create_task(Reader(Settings(), CODEC, Feed(DEFECTS, take), START).run())
    yield began
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_reading_that_breaks_goes_on_with_what_was_not_yet_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    async with reading(monkeypatch, taken.append, [3, 0, 5]) as began:
        await until(lambda: len(taken) >= len(RECORDS))
    assert taken == RECORDS
    assert began == [START] * 4


async def test_a_record_that_makes_no_sense_harms_only_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[Any] = []

    def take(record: Any) -> None:
        if record is RECORDS[2]:
            raise ValueError("no case")
        taken.append(record)

    async with reading(monkeypatch, take, []):
        await until(lambda: len(taken) >= len(RECORDS) - 1)
    assert taken == [*RECORDS[:2], *RECORDS[3:]]
    assert "passed over defects/0/1" in caplog.text
