"""Publishing of one partition: verdict before its followers, acks only after everything is confirmed, all in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import permutations

import pytest

from schemas.records import DeadLetter, DefectDetected, Reason
from streams.inspection.decide import judge
from streams.inspection.lanes import Slot
from streams.inspection.outbox import Entry, Outbox, Outputs
from tests.builders import ROLES, Deaths, FakeSender, frame, recipe, settle, verdict


def outputs(number: int, defect: bool = False, letter: bool = False, redelivered: bool = False) -> Outputs:
    """A verdict of station s<number> with what follows from it."""
    made = verdict(frame(number, station=f"s{number}"), judge([0, 1, 0], ROLES, recipe()), offset=number)
    return Outputs(
        verdict=made,
        redelivered=redelivered,
        defect=DefectDetected(verdict=made, image_ref="file:///x") if defect else None,
        dead_letter=dead_letter(number) if letter else None,
    )


def dead_letter(number: int) -> DeadLetter:
    now = datetime.now(UTC)
    return DeadLetter(
        reason=Reason.CORRUPT,
        detail="",
        source_topic="lineside.frames",
        source_partition=3,
        source_offset=number,
        source_timestamp=now,
        key=b"any bytes",
        at=now,
    )


class Setup:
    """An outbox of partition 3 on a sender that confirms only when told."""

    def __init__(self) -> None:
        self.sender, self.deaths = FakeSender(hold=True), Deaths()
        self.acked: list[int] = []
        self.finished: list[Entry] = []
        self.outbox = Outbox(3, self.sender, self.finished.append, self.deaths)

    def open(self, *offsets: int) -> list[Slot[Entry]]:
        return [self.outbox.lane.open(n, Entry(1, lambda n=n: self.acked.append(n))) for n in offsets]  # type: ignore[misc]


@pytest.fixture
async def setup() -> Setup:
    return Setup()


@pytest.fixture(autouse=True)
async def _closed(setup: Setup) -> AsyncIterator[None]:
    yield
    setup.outbox.close()


async def test_a_verdict_is_sent_at_once_and_acked_only_when_confirmed(setup: Setup) -> None:
    [slot] = setup.open(0)
    setup.outbox.decide(slot, outputs(0))
    await settle()
    assert setup.sender.topics == ["verdicts"]
    assert setup.acked == []
    setup.sender.confirm(0)
    await settle()
    assert setup.acked == [0]
    assert setup.finished == [slot.content]


async def test_defect_and_dead_letter_follow_only_the_confirmed_verdict(setup: Setup) -> None:
    """
    verdict     sent ──── confirmed
    defect                          sent ──── confirmed
    dead letter                     sent ──────────────── confirmed
    ack                                                             ✓
    """
    [slot] = setup.open(0)
    setup.outbox.decide(slot, outputs(0, defect=True, letter=True))
    await settle()
    assert setup.sender.topics == ["verdicts"]
    setup.sender.confirm(0)
    await settle()
    assert setup.sender.topics == ["verdicts", "defects", "deadletters"]
    setup.sender.confirm(1)
    await settle()
    assert setup.acked == []
    setup.sender.confirm(2)
    await settle()
    assert setup.acked == [0]


async def test_verdicts_do_not_wait_for_each_others_confirmation(setup: Setup) -> None:
    for number, slot in enumerate(setup.open(0, 1, 2)):
        setup.outbox.decide(slot, outputs(number))
    await settle()
    assert setup.sender.topics == ["verdicts"] * 3


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_whatever_order_decisions_come_in_frames_are_sent_and_acked_in_offset_order(
    setup: Setup, order: tuple[int, ...]
) -> None:
    slots = setup.open(0, 1, 2, 3)
    for number in order:
        setup.outbox.decide(slots[number], outputs(number, defect=number % 2 == 0))
        await settle()
    for _ in range(3):
        setup.sender.confirm()
        await settle()
    assert [v.source_offset for v in setup.sender.records("verdicts")] == [0, 1, 2, 3]
    assert [d.verdict.source_offset for d in setup.sender.records("defects")] == [0, 2]
    assert setup.acked == [0, 1, 2, 3]
    assert not setup.outbox.lane


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_whatever_order_confirmations_come_in_acks_are_a_contiguous_prefix(
    setup: Setup, order: tuple[int, ...]
) -> None:
    for number, slot in enumerate(setup.open(0, 1, 2)):
        setup.outbox.decide(slot, outputs(number))
    await settle()
    for done, number in enumerate(order):
        setup.sender.confirm(number)
        await settle()
        confirmed = set(order[: done + 1])
        prefix = next((n for n in range(3) if n not in confirmed), 3)
        assert setup.acked == list(range(prefix))


async def test_a_redelivered_verdict_is_not_sent_again_but_what_follows_from_it_is(setup: Setup) -> None:
    [slot] = setup.open(0)
    setup.outbox.decide(slot, outputs(0, defect=True, redelivered=True))
    await settle()
    assert setup.sender.topics == ["defects"]
    setup.sender.confirm()
    await settle()
    assert setup.acked == [0]


async def test_bytes_that_were_no_event_give_a_dead_letter_alone(setup: Setup) -> None:
    [slot] = setup.open(0)
    setup.outbox.decide(slot, Outputs(dead_letter=dead_letter(0)))
    await settle()
    assert setup.sender.topics == ["deadletters"]


async def test_everything_stays_in_the_partition_of_its_frame_under_its_stations_key(setup: Setup) -> None:
    """A gateway that sent a wrong key must not give verdicts a wrong one; a dead letter keeps the original."""
    [slot] = setup.open(0)
    setup.outbox.decide(slot, outputs(0, defect=True, letter=True))
    for _ in range(2):
        await settle()
        setup.sender.confirm()
    assert [(topic, key, partition) for topic, _, key, partition in setup.sender.sent] == [
        ("verdicts", b"p1/l1/s0", 3),
        ("defects", b"p1/l1/s0", 3),
        ("deadletters", b"any bytes", 3),
    ]


@pytest.mark.parametrize("topic", ["verdicts", "defects", "deadletters"])
@pytest.mark.parametrize("how", ["refused", "failing"])
async def test_a_send_that_fails_ends_the_process_and_nothing_from_it_on_is_acked(
    setup: Setup, topic: str, how: str
) -> None:
    """
    offset   0          1              2
    sends    confirmed  one fails      confirmed
    ack      ✓          never          never
    """
    first, bad, after = setup.open(0, 1, 2)
    setup.outbox.decide(first, outputs(0, defect=True, letter=True))
    for _ in range(3):
        await settle()
        setup.sender.confirm()
    assert setup.acked == [0]
    getattr(setup.sender, how).add(topic)
    setup.outbox.decide(bad, outputs(1, defect=True, letter=True))
    for _ in range(3):
        await settle()
        setup.sender.confirm()
    getattr(setup.sender, how).clear()
    setup.outbox.decide(after, outputs(2))
    for _ in range(3):
        await settle()
        setup.sender.confirm()
    assert len(setup.deaths) == 1
    assert "publishing to partition 3 failed: OperatorError" in setup.deaths[0]
    assert setup.acked == [0]


async def test_an_ack_that_fails_ends_the_process(setup: Setup) -> None:
    slot = setup.outbox.lane.open(0, Entry(1, lambda: 1 / 0))  # type: ignore[arg-type]
    setup.outbox.decide(slot, outputs(0))
    await settle()
    setup.sender.confirm()
    await settle()
    assert len(setup.deaths) == 1
