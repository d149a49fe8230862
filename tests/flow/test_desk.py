"""The desk over topics in memory: who gets a case, what is saved, and what stands in the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from schemas.records import Disposition, Event, ReworkFinding
from streams.downstream.audit.chain import verify
from streams.downstream.rework.bus import Bus
from streams.downstream.rework.decisions import (
    AlreadyDecided,
    BlockAction,
    Decision,
    HeldByOther,
    NothingToUndo,
    Saved,
)
from streams.downstream.rework.desk import Desk
from streams.downstream.rework.link import now_ms
from streams.downstream.rework.memory_bus import MemoryBus, MemoryTopics
from streams.errors import CallerError
from streams.settings import Settings
from streams.topics import AUDIT, CLAIMS, DEFECTS, OUTCOMES, PARTS, Topic
from tests.builders import settle, until
from tests.rework import EVERYTHING, claim, defect, key, outcome, part

BAD = Decision(ReworkFinding.CONFIRMED, "dent", Disposition.SCRAP, "am Rand")
GOOD = Decision(ReworkFinding.FALSE_REJECT)


@pytest.fixture
def topics() -> MemoryTopics:
    """Two rejected frames lie there already."""
    topics = MemoryTopics()
    for n in (1, 2):
        topics.put(DEFECTS, defect(n), partition=7)
    return topics


def desk_on(bus: Bus, station: str = "R1", **settings: Any) -> Desk:
    return Desk(Settings(**{"second_review_share": 0.0} | settings), station, EVERYTHING, bus=bus)


@pytest.fixture
async def bus(topics: MemoryTopics) -> MemoryBus:
    return topics.bus()


@pytest.fixture
async def desk(bus: MemoryBus) -> AsyncIterator[Desk]:
    async with desk_on(bus) as desk:
        yield desk


@pytest.fixture
async def other(topics: MemoryTopics) -> AsyncIterator[Desk]:
    async with desk_on(topics.bus(), "R2") as desk:
        yield desk


class Placed(MemoryTopics):
    """Remembers where what was sent went."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[tuple[str, bytes | None, int | None]] = []

    def put(self, topic: Topic, record: Event, *, key: bytes | None = None, partition: int | None = None) -> None:
        self.places.append((topic.name, key, partition))
        super().put(topic, record, key=key, partition=partition)


# --- claims ---------------------------------------------------------------------------------------------------------


async def test_of_two_who_open_a_case_one_gets_it_and_both_know_who(desk: Desk, other: Desk) -> None:
    mine, theirs = await asyncio.gather(desk.open(key(1), "ana"), other.open(key(1), "bob"))
    assert mine == theirs
    assert mine is not None
    assert (mine.operator, mine.rework_station) == ("ana", "R1")
    assert other.board.holder(key(1), now_ms()) == mine


async def test_a_case_that_is_held_is_not_claimed_again(desk: Desk, other: Desk, topics: MemoryTopics) -> None:
    held = await desk.open(key(1), "ana")
    assert await other.open(key(1), "bob") == held
    assert len(topics.records(CLAIMS)) == 1


async def test_opening_again_keeps_the_case_for_longer(desk: Desk, topics: MemoryTopics) -> None:
    first, second = await desk.open(key(1), "ana"), await desk.open(key(1), "ana")
    assert first is not None
    assert second is not None
    assert (second.claim_id, len(topics.records(CLAIMS))) == (first.claim_id, 2)


async def test_opening_twice_within_a_millisecond_answers_both(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.open(key(1), "ana")
    moment = now_ms()
    monkeypatch.setattr("streams.downstream.rework.desk.now_ms", lambda: moment)
    both = await asyncio.wait_for(asyncio.gather(*(desk.open(key(1), "ana") for _ in range(2))), 5)
    assert [won and won.operator for won in both] == ["ana", "ana"]


async def test_a_case_given_back_is_free_for_the_next(desk: Desk, other: Desk, topics: MemoryTopics) -> None:
    await desk.open(key(1), "ana")
    await other.release(key(1), "bob")
    assert len(topics.records(CLAIMS)) == 1
    await desk.release(key(1), "ana")
    assert desk.board.holder(key(1), now_ms()) is None
    won = await other.open(key(1), "bob")
    assert won is not None
    assert won.operator == "bob"


async def test_who_holds_it_is_told_by_the_brokers_clock_though_ones_own_is_wrong(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = now_ms().replace(year=now_ms().year + 1)
    monkeypatch.setattr("streams.downstream.rework.desk.now_ms", lambda: tomorrow)
    won = await desk.open(key(1), "ana")
    assert won is not None
    assert isinstance(await desk.decide(key(1), BAD, "ana"), Saved)


async def test_what_is_no_open_case_is_not_claimed(desk: Desk) -> None:
    assert await desk.open(key(99), "ana") is None
    await desk.decide(key(1), BAD, "ana")
    assert await desk.open(key(1), "ana") is None


# --- decisions ------------------------------------------------------------------------------------------------------


async def test_a_decision_is_saved_under_the_partition_and_key_of_its_case_after_its_audit_entry() -> None:
    topics = Placed()
    topics.put(DEFECTS, defect(1), partition=7)
    async with desk_on(topics.bus()) as desk:
        saved = await desk.decide(key(1), BAD, "ana")
    assert isinstance(saved, Saved)
    assert [saved.outcome] == topics.records(OUTCOMES)
    station = b"leipzig/L1/S2"
    (entry,) = topics.records(AUDIT)
    assert topics.places[1:] == [
        ("claims", station, 7),
        ("audit", entry.chain_id.encode(), 0),
        ("outcomes", station, 7),
    ]
    assert (entry.actor, entry.action, entry.subject) == ("ana", "outcome.decide", str(saved.outcome.verdict_id))
    assert (entry.before, json.loads(entry.after)["outcome_id"]) == (None, str(saved.outcome.outcome_id))
    assert entry.chain_id.startswith("station/R1/")


async def test_nothing_is_decided_while_somebody_else_holds_the_case(desk: Desk, other: Desk) -> None:
    held = await other.open(key(1), "bob")
    assert held is not None
    assert await desk.decide(key(1), BAD, "ana") == HeldByOther(held)
    assert desk.board.decision(key(1)) is None


async def test_who_comes_second_is_told_who_decided_and_when(desk: Desk, other: Desk, topics: MemoryTopics) -> None:
    saved = await other.decide(key(1), BAD, "bob")
    assert isinstance(saved, Saved)
    assert await desk.decide(key(1), GOOD, "ana") == AlreadyDecided(saved.outcome)
    assert len(topics.records(OUTCOMES)) == 1


async def test_of_two_decisions_on_their_way_at_once_one_counts_and_the_other_is_told(
    desk: Desk, bus: MemoryBus, topics: MemoryTopics
) -> None:
    """ana's desk has not read bob's outcome when she sends hers: only the log tells."""
    await desk.open(key(1), "ana")
    bus.held_back = {"outcomes"}
    topics.put(OUTCOMES, outcome(1, "bob's", operator="bob"))
    deciding = asyncio.create_task(desk.decide(key(1), GOOD, "ana"))
    await until(lambda: len(topics.records(OUTCOMES)) == 2)
    assert not deciding.done()
    bus.held_back = set()
    bus.read()
    assert await deciding == AlreadyDecided(outcome(1, "bob's", operator="bob"))


async def test_a_decision_that_lost_to_one_withdrawn_meanwhile_is_made_again(
    desk: Desk, bus: MemoryBus, topics: MemoryTopics
) -> None:
    await desk.open(key(1), "ana")
    bus.held_back = {"outcomes"}
    topics.put(OUTCOMES, outcome(1, "a", operator="bob"))
    topics.put(OUTCOMES, outcome(1, "b", "a", operator="bob", finding=ReworkFinding.WITHDRAWN))
    deciding = asyncio.create_task(desk.decide(key(1), GOOD, "ana"))
    await until(lambda: len(topics.records(OUTCOMES)) == 3)
    bus.held_back = set()
    bus.read()
    saved = await deciding
    assert isinstance(saved, Saved)
    assert saved.outcome.supersedes == outcome(1, "b").outcome_id


async def test_an_expired_claim_is_taken_again_before_the_decision(desk: Desk, topics: MemoryTopics) -> None:
    topics.put(CLAIMS, claim(1, "bob", ttl_ms=0))
    assert isinstance(await desk.decide(key(1), BAD, "ana"), Saved)
    assert [(c.operator, c.rework_station) for c in topics.records(CLAIMS)] == [("bob", "R2"), ("ana", "R1")]


async def test_a_double_click_saves_one_decision(desk: Desk, topics: MemoryTopics) -> None:
    answers = await asyncio.gather(desk.decide(key(1), BAD, "ana"), desk.decide(key(1), BAD, "ana"))
    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyDecided", "Saved"]
    assert answers[0].outcome == answers[1].outcome  # type: ignore[union-attr]


async def test_a_decision_goes_on_though_its_caller_is_gone(desk: Desk, bus: MemoryBus) -> None:
    bus.cut()
    deciding = asyncio.create_task(desk.decide(key(1), BAD, "ana"))
    await settle()
    deciding.cancel()
    await asyncio.wait((deciding,))
    assert deciding.cancelled()
    bus.mend()
    await until(lambda: desk.board.decision(key(1)))


async def test_an_unknown_case_a_wrong_name_and_a_wrong_decision_are_the_callers_mistakes(desk: Desk) -> None:
    with pytest.raises(CallerError, match="there is no case of verdict"):
        await desk.decide(key(99), BAD, "ana")
    with pytest.raises(CallerError, match="an operator needs a name"):
        await desk.decide(key(1), BAD, " ")
    with pytest.raises(CallerError, match="a finding is one of"):
        await desk.decide(key(1), Decision(ReworkFinding.WITHDRAWN), "ana")
    with pytest.raises(CallerError, match="is not open for review 2"):
        await desk.decide(key(1, 2), BAD, "ana")
    with pytest.raises(CallerError, match=r"'a/b' can't name a rework station"):
        Desk(Settings(), "a/b", EVERYTHING)


# --- undo, reviews, blocks ------------------------------------------------------------------------------------------


async def test_an_undone_decision_opens_the_case_for_a_new_one(desk: Desk, topics: MemoryTopics) -> None:
    first = await desk.decide(key(1), BAD, "ana")
    undone = await desk.undo(key(1), "ana")
    assert isinstance(first, Saved)
    assert isinstance(undone, Saved)
    assert undone.outcome.supersedes == first.outcome.outcome_id
    assert desk.board.is_open(key(1))
    second = await desk.decide(key(1), GOOD, "ana")
    assert isinstance(second, Saved)
    assert second.outcome.supersedes == undone.outcome.outcome_id
    actions = [(entry.action, entry.before is not None) for entry in topics.records(AUDIT)]
    assert actions == [("outcome.decide", False), ("outcome.undo", True), ("outcome.decide", True)]
    assert verify(topics.records(AUDIT)) == []


async def test_nobody_undoes_what_another_decided_or_what_is_open(desk: Desk, other: Desk) -> None:
    assert await desk.undo(key(1), "ana") == NothingToUndo()
    saved = await other.decide(key(1), BAD, "bob")
    assert isinstance(saved, Saved)
    assert await desk.undo(key(1), "ana") == AlreadyDecided(saved.outcome)


async def test_a_blind_review_is_made_by_somebody_else(topics: MemoryTopics) -> None:
    async with desk_on(topics.bus(), second_review_share=1.0) as desk:
        await desk.decide(key(1), BAD, "ana")
        with pytest.raises(CallerError, match="a review is made by somebody else"):
            await desk.decide(key(1, 2), GOOD, "ana")
        with pytest.raises(CallerError, match="a review is made by somebody else"):
            await desk.open(key(1, 2), "ana")
        saved = await desk.decide(key(1, 2), GOOD, "bob")
    assert isinstance(saved, Saved)
    assert saved.outcome.review == 2


async def test_a_block_is_dealt_with_once_and_the_second_is_told_by_whom(
    desk: Desk, other: Desk, topics: MemoryTopics
) -> None:
    topics.put(PARTS, part(1))
    topics.put(PARTS, part(2))
    (block,) = desk.board.blocks()
    entry = await desk.handle_block(block, BlockAction.SEND_BACK, "ana")
    assert (entry.actor, entry.action, entry.subject) == ("ana", "block.send-back", str(part(1).decision_id))
    assert await other.handle_block(block, BlockAction.INSPECT_BY_HAND, "bob") == entry
    assert (desk.board.blocks(), other.board.blocks()) == ([], [])


# --- listeners and connection ---------------------------------------------------------------------------------------


async def test_listeners_hear_of_changes_soon_and_together(desk: Desk, topics: MemoryTopics) -> None:
    heard: list[int] = []
    end = desk.on_change(lambda: heard.append(desk.board.counts().open))
    desk.on_change(lambda: 1 // 0)
    await until(lambda: heard)
    heard.clear()
    for n in range(10, 15):
        topics.put(DEFECTS, defect(n))
    await until(lambda: heard)
    assert heard == [7]
    end()
    topics.put(DEFECTS, defect(20))
    await asyncio.sleep(0.2)
    assert heard == [7]


async def test_a_lost_connection_is_told_and_what_was_decided_meanwhile_is_saved_once_it_is_back(
    desk: Desk, bus: MemoryBus, topics: MemoryTopics
) -> None:
    states: list[bool] = []
    desk.on_change(lambda: states.append(desk.connected))
    bus.cut()
    deciding = asyncio.create_task(desk.decide(key(1), BAD, "ana"))
    await until(lambda: False in states)
    bus.mend()
    assert isinstance(await deciding, Saved)
    await until(lambda: states[-1])
    assert len(topics.records(OUTCOMES)) == 1


async def test_stopping_ends_what_cannot_be_saved(topics: MemoryTopics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.downstream.rework.desk.STOP_S", 0.05)
    bus = topics.bus()
    desk = desk_on(bus)
    await desk.start()
    bus.cut()
    deciding = asyncio.create_task(desk.decide(key(1), BAD, "ana"))
    await settle()
    await desk.stop()
    with pytest.raises(asyncio.CancelledError):
        await deciding
