"""What the sampler takes for certain: that every frame up to a time has its verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import pytest

from streams.bus.frames_at import FrameReader
from streams.bus.subscriber import Received
from streams.downstream.sampling import reading
from streams.downstream.sampling.reading import InspectedUpTo
from streams.settings import Settings
from tests.line_stats import at, verdict


class Frames:
    """Ten frames in partition 0, the last three of them appended after the time that is asked about."""

    async def offsets_at(self, when: datetime) -> dict[int, int]:
        return {0: 0 if when == at(0) else 7}

    async def ends(self) -> dict[int, int]:
        return {0: 10}


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> InspectedUpTo:
    async def nothing(*_: str) -> dict[int, int]:
        return {}

    monkeypatch.setattr(reading, "committed_by", nothing)
    return InspectedUpTo(Settings(), cast(FrameReader, Frames()), at(0))


def received(partition: int = 0, **changes: Any) -> Received[Any]:
    told = replace(verdict(6, 6), **changes)
    return Received(told, partition, 0, at(6), b"")


async def test_a_verdict_of_a_frame_makes_those_before_it_certain(inspected: InspectedUpTo) -> None:
    assert await inspected.missing(at(7)) == [0]
    inspected.saw(received(source_offset=5))
    assert await inspected.missing(at(7)) == [0]
    inspected.saw(received(source_offset=6))
    assert await inspected.missing(at(7)) == []


@pytest.mark.parametrize(
    "told",
    [
        received(simulated=True),
        received(source_offset=10),  # no frame lies there
        received(source_topic="other.frames"),
        received(source_partition=1),
        received(partition=1),
    ],
)
async def test_a_replay_or_a_verdict_that_lies_makes_nothing_certain(
    inspected: InspectedUpTo, told: Received[Any]
) -> None:
    await inspected.missing(at(7))
    inspected.saw(told)
    assert await inspected.missing(at(7)) == [0]
