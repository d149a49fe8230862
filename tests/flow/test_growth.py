"""The order of a growth without Kafka: what happens before what, and that gateways go on whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from schemas.records import GateKind, GateSignal
from streams.errors import CallerError, OperatorError
from streams.growth import gateways as gateways_module
from streams.growth import growth as growth_module
from streams.growth.gateways import Pause
from streams.growth.growth import Growth

FRAMES = "x.frames"


class Ground:
    """Kafka with two gateways that answer at once; `log` is what happened, in order."""

    frames = (FRAMES,)

    def __init__(self, **counts: int) -> None:
        self.there = {f"x.{name}": count for name, count in counts.items()}
        self.log: list[str] = []
        self.lag = {"inspection": 3}
        self.ends = {0: 10}
        self.writes = False  # somebody who is no gateway
        self.names = frozenset({"a", "b"})
        self.deaf: set[str] = set()
        self.refuses_to_grow = False
        self.pause: Pause | None = None

    async def counts(self) -> dict[str, int]:
        return dict(self.there)

    async def audit(self, before: Mapping[str, int], target: int) -> None:
        self.log.append("audit")

    async def grow(self, topics: Mapping[str, int], partitions: int) -> None:
        if self.refuses_to_grow and FRAMES in topics:
            raise OperatorError("Kafka does not grow")
        self.log += [f"grow {name}" for name in topics]
        self.there |= dict.fromkeys(topics, partitions)

    async def frame_ends(self) -> dict[int, int]:
        if self.writes:
            self.ends[0] += 1
        return dict(self.ends)

    async def waits(self) -> dict[str, int]:
        self.lag = {name: max(0, count - 1) for name, count in self.lag.items()}
        if not any(self.lag.values()) and "drained" not in self.log:
            self.log.append("drained")
        return self.lag

    async def untaken(self, partitions: int) -> int:
        return 0

    async def moved_keys(self, behind: int) -> dict[str, list[int]]:
        return {"p/l/s": [1, behind]}

    async def signal(self, signal: GateSignal) -> None:
        told = f"{signal.kind} {signal.partitions}" if signal.kind is GateKind.GO_ON else str(signal.kind)
        if told not in self.log:
            self.log.append(told)
        answer = {GateKind.PAUSE: GateKind.PAUSED, GateKind.GO_ON: GateKind.WENT_ON}[signal.kind]
        assert self.pause is not None
        for name in self.names - self.deaf:
            at = datetime.now(UTC)
            self.pause.take(GateSignal(pause_id=signal.pause_id, kind=answer, sender=name, partitions=6, at=at), at)

    async def gateways(self) -> frozenset[str]:
        return self.names


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth_module, "POLL_S", 0.01)
    monkeypatch.setattr(growth_module, "QUIET_S", 0.05)
    monkeypatch.setattr(gateways_module, "PROLONG_S", 0.05)
    monkeypatch.setattr(gateways_module, "POLL_S", 0.01)


def growth(ground: Ground, timeout_s: float = 5.0) -> Growth:
    ground.pause = Pause(ground)
    return Growth(ground, ground.pause, lambda text: None, timeout_s)


async def test_derived_topics_grow_before_the_pause_and_frames_within_it_when_all_is_drained() -> None:
    ground = Ground(frames=4, verdicts=4, parts=4)
    report = await growth(ground).run(6)
    assert ground.log == [
        *("audit", "grow x.verdicts", "grow x.parts", "PAUSE", "drained", "grow x.frames", "GO_ON 6"),
    ]
    assert (report.gateways, report.grown) == (["a", "b"], ["x.verdicts", "x.parts", FRAMES])
    assert report.setting == "LINESIDE_PARTITIONS=6"


async def test_what_is_done_is_not_done_again() -> None:
    ground = Ground(frames=6, verdicts=6, parts=6)
    assert (await growth(ground).run(6)).grown == []
    assert ground.log == []


async def test_what_grew_behind_our_back_needs_no_pause_and_names_the_keys_that_moved() -> None:
    ground = Ground(frames=6, verdicts=4, parts=4)
    report = await growth(ground).run(6)
    assert ground.log == ["audit", "grow x.verdicts", "grow x.parts"]
    assert report.moved_keys == {"p/l/s": [1, 4]}


async def test_gateways_go_on_with_the_old_number_where_frames_can_not_grow() -> None:
    ground = Ground(frames=4, verdicts=4)
    ground.refuses_to_grow = True
    with pytest.raises(OperatorError, match="Kafka does not grow"):
        await growth(ground).run(6)
    assert ground.log[-1] == "GO_ON 4"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        pytest.param(
            {"lag": {"inspection": 10**9}}, "inspection: .* to go .does `lineside worker` run", id="no worker"
        ),
        pytest.param(
            {"writes": True}, "frames still come, from a producer that is no gateway of ours", id="a stranger"
        ),
        pytest.param({"deaf": {"b"}}, "b has not answered", id="a gateway that hangs"),
    ],
)
async def test_time_that_is_up_says_what_was_in_the_way_and_gateways_go_on(
    trouble: dict[str, object], words: str
) -> None:
    ground = Ground(frames=4, verdicts=4)
    for name, value in trouble.items():
        setattr(ground, name, value)
    with pytest.raises(OperatorError, match=f"did not grow within 0.5 s: {words}.*Gateways go on, nothing is lost"):
        await growth(ground, 0.5).run(6)
    assert ground.log[-1] == "GO_ON 4"
    assert f"grow {FRAMES}" not in ground.log


async def test_a_gateway_that_dies_is_not_waited_for() -> None:
    ground = Ground(frames=4, verdicts=4)
    ground.deaf = {"b"}
    growing = asyncio.create_task(growth(ground).run(6))
    await asyncio.sleep(0.2)
    assert not growing.done()
    ground.names = frozenset({"a"})  # its session has ended
    assert (await growing).gateways == ["a"]


async def test_a_pause_that_can_not_be_prolonged_grows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground(frames=4, verdicts=4)
    ground.lag = {"inspection": 40}
    once = growth(ground)
    ground.pause = once._pause = Pause(ground, lease_s=0.2)
    monkeypatch.setattr(gateways_module, "PROLONG_S", 60.0)
    with pytest.raises(OperatorError, match="gateways may have gone on"):
        await once.run(6)
    assert f"grow {FRAMES}" not in ground.log


async def test_somebody_elses_growth_is_left_alone_and_one_that_crashed_is_ended() -> None:
    other, at = GateSignal(pause_id=uuid4(), kind=GateKind.PAUSE, sender="grow/else", at=datetime.now(UTC)), None
    at = datetime.now(UTC)
    ground = Ground(frames=6, verdicts=6)
    first = growth(ground)
    assert ground.pause is not None
    ground.pause.take(other, at)
    await first.run(6)
    assert ground.log == ["GO_ON 6"], "it stands still: it crashed"

    second = growth(ground)
    assert ground.pause is not None
    ground.pause.take(other, at)
    running = asyncio.create_task(second.run(6))
    while not running.done():
        await asyncio.sleep(0.01)
        ground.pause.take(other, at)
    with pytest.raises(CallerError, match="grow/else adds partitions just now"):
        await running
