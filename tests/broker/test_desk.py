"""The desk on the real Kafka: races between desks, and a broker that goes and comes back in mid-decision."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.records import ReworkFinding
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import subscribe_events
from streams.downstream.audit.chain import verify
from streams.downstream.rework.decisions import AlreadyDecided, BlockAction, Decision, HeldByOther, Saved
from streams.downstream.rework.desk import Desk
from streams.downstream.sampling.estimates import effective
from streams.errors import BrokerUnreachableError, CallerError, OperatorError
from streams.settings import Settings
from streams.topics import DEFECTS, OUTCOMES, PARTS, SAMPLES, Topic, topic_specs
from tests.rework import EVERYTHING, defect, key, outcome, part, sample, verdict_id

BAD = Decision(ReworkFinding.CONFIRMED, "dent")
GOOD = Decision(ReworkFinding.FALSE_REJECT)
KEY = b"leipzig/L1/S2"


async def prepared(bootstrap: str, prefix: str, data_dir: Path) -> Settings:
    settings = Settings(
        bootstrap_servers=bootstrap, topic_prefix=prefix, data_dir=data_dir, partitions=4, second_review_share=0.0
    )
    await ensure_topics(bootstrap, topic_specs(settings))
    return settings


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    return await prepared(bootstrap, topic_prefix, tmp_path)


async def publish(settings: Settings, topic: Topic, *events: Any, partition: int = 2) -> None:
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for event in events:
            await (await publisher.send(topic, event, key=KEY, partition=partition))


async def present(settings: Settings, topic: str) -> list[Any]:
    """Every record of a topic, copies left out as every reader leaves them out."""
    return [event async for event in subscribe_events(topic, "earliest", settings=settings, follow=False)]


async def until(reached: Callable[[], object], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not reached():
            await asyncio.sleep(0.02)


async def test_a_desk_shows_what_lies_in_the_topics_and_what_comes(settings: Settings) -> None:
    await publish(settings, DEFECTS, *map(defect, range(3)))
    await publish(settings, SAMPLES, sample(7))
    await publish(settings, OUTCOMES, outcome(1, "a"))
    async with Desk(settings, "R1", EVERYTHING) as desk:
        assert desk.connected
        assert [case.verdict_id for case in desk.board.open_cases("oldest", "ana")] == [
            *(verdict_id(0), verdict_id(2)),
            verdict_id(7),
        ]
        changed = asyncio.Event()
        desk.on_change(changed.set)
        await publish(settings, DEFECTS, defect(9))
        await until(lambda: desk.board.is_open(key(9)))
        await asyncio.wait_for(changed.wait(), 5)
        saved = await desk.decide(key(9), BAD, "ana")
    assert isinstance(saved, Saved)
    assert [(e.partition, e.key) for e in await present(settings, "outcomes")] == [(2, KEY), (2, KEY)]
    assert not desk.connected


async def test_two_desks_racing_for_one_case_make_one_decision_and_the_loser_is_told_who_won(
    settings: Settings,
) -> None:
    await publish(settings, DEFECTS, *map(defect, range(6)))
    async with Desk(settings, "R1", EVERYTHING) as one, Desk(settings, "R2", EVERYTHING) as other:
        for n in range(6):
            answers = await asyncio.gather(one.decide(key(n), BAD, "ana"), other.decide(key(n), GOOD, "bob"))
            (saved,) = [answer for answer in answers if isinstance(answer, Saved)]
            (lost,) = [answer for answer in answers if not isinstance(answer, Saved)]
            winner = lost.claim.operator if isinstance(lost, HeldByOther) else lost.outcome.operator  # type: ignore[union-attr]
            assert winner == saved.outcome.operator
            await until(lambda n=n: one.board.decision(key(n)) and other.board.decision(key(n)))  # type: ignore[misc]
            assert one.board.decision(key(n)) == other.board.decision(key(n)) == saved.outcome
            loser, who = (other, "bob") if winner == "ana" else (one, "ana")
            assert await loser.decide(key(n), GOOD, who) == AlreadyDecided(saved.outcome)
    assert len(effective([event.record for event in await present(settings, "outcomes")])) == 6


async def test_two_operators_who_open_one_case_read_back_the_same_holder(settings: Settings) -> None:
    await publish(settings, DEFECTS, defect(1))
    async with Desk(settings, "R1", EVERYTHING) as one, Desk(settings, "R2", EVERYTHING) as other:
        first, second = await asyncio.gather(one.open(key(1), "ana"), other.open(key(1), "bob"))
        assert first is not None
        assert first == second


async def test_a_block_is_dealt_with_for_every_desk(settings: Settings) -> None:
    await publish(settings, PARTS, part(1), part(2))
    async with Desk(settings, "R1", EVERYTHING) as one, Desk(settings, "R2", EVERYTHING) as other:
        await until(one.board.blocks)
        (block,) = one.board.blocks()
        entry = await one.handle_block(block, BlockAction.SEND_BACK, "ana")
        assert one.board.blocks() == []
        await until(lambda: other.board.handling(block) == entry)
    assert verify([event.record for event in await present(settings, "audit")]) == []


async def test_a_decision_outlives_the_brokers_restart_and_is_saved_once(tmp_path: Path, unused_tcp_port: int) -> None:
    """open | stop | decide ... | start | saved."""
    with EmbeddedBroker(BrokerConfig(tmp_path / "broker", port=unused_tcp_port)) as broker:
        settings = await prepared(broker.bootstrap_servers, "lineside.", tmp_path)
        await publish(settings, DEFECTS, defect(1), defect(2))
        async with Desk(settings, "R1", EVERYTHING) as desk:
            states: list[bool] = []
            desk.on_change(lambda: states.append(desk.connected))
            assert isinstance(await desk.decide(key(2), BAD, "ana"), Saved)
            await desk.open(key(1), "ana")
            await asyncio.to_thread(broker.stop)
            deciding = asyncio.create_task(desk.decide(key(1), GOOD, "ana"))
            await until(lambda: False in states)
            assert not deciding.done()
            await asyncio.to_thread(broker.start)
            saved = await asyncio.wait_for(deciding, 90)
            await until(lambda: desk.connected)
            assert isinstance(saved, Saved)
            assert desk.board.decision(key(1)) == saved.outcome
            await publish(settings, DEFECTS, defect(3), partition=0)
            await until(lambda: desk.board.is_open(key(3)))
        outcomes = [event.record for event in await present(settings, "outcomes")]
        assert [o.outcome_id for o in outcomes if o.verdict_id == verdict_id(1)] == [saved.outcome.outcome_id]
        assert effective(outcomes)[verdict_id(1)] == saved.outcome
        entries = [event.record for event in await present(settings, "audit")]
        assert verify(entries) == []
        assert {entry.subject for entry in entries} == {str(verdict_id(1)), str(verdict_id(2))}


async def test_where_confirmations_are_lost_a_new_publisher_sends_copies_and_one_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker takes the first record of each topic, but its answer is lost."""
    await publish(settings, DEFECTS, defect(1))
    unanswered, publishers = {"claims", "audit", "outcomes"}, set()
    send = Publisher.send

    async def send_and_lose(self: Publisher, topic: Topic, *args: Any, **options: Any) -> Any:
        publishers.add(self)
        delivery = await send(self, topic, *args, **options)
        if topic.name in unanswered:
            unanswered.discard(topic.name)
            await delivery
            raise OperatorError("the answer was lost")
        return delivery

    monkeypatch.setattr(Publisher, "send", send_and_lose)
    monkeypatch.setattr("streams.downstream.rework.kafka_bus.RETRY_S", 0.05)
    async with Desk(settings, "R1", EVERYTHING) as desk:
        saved = await desk.decide(key(1), BAD, "ana")
    assert isinstance(saved, Saved)
    assert len(publishers) == 4
    ends = await end_offsets(settings.bootstrap, f"{settings.topic_prefix}outcomes")
    assert sum(ends.values()) == 2
    assert [event.record for event in await present(settings, "outcomes")] == [saved.outcome]
    entries = [event.record for event in await present(settings, "audit")]
    assert len(entries) == 2
    assert verify(entries) == []


async def test_a_desk_does_not_start_without_a_broker_or_a_topic(
    bootstrap: str, topic_prefix: str, unused_tcp_port: int
) -> None:
    nobody = Settings(bootstrap_servers=f"127.0.0.1:{unused_tcp_port}")
    with pytest.raises(BrokerUnreachableError):
        await Desk(nobody, "R1", EVERYTHING).start()
    no_topics = dataclasses.replace(nobody, bootstrap_servers=bootstrap, topic_prefix=topic_prefix)
    with pytest.raises(CallerError, match="there is no topic"):
        await Desk(no_topics, "R1", EVERYTHING).start()
