"""Each role does its job on a broker that allows nothing else, and is refused what it must not do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from streams.bus.access import add_rules, rules_in_force
from streams.bus.admin import ensure_topics, require_topics
from streams.bus.connect import partitions_of
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.security import kafka_options
from streams.bus.security_folder import ADMIN
from streams.errors import CallerError, NotAllowedError
from streams.kafka_address import KafkaAddress
from streams.replay.topics import replay_topic, spec_of
from streams.roles import ROLES, Rule, rules
from streams.settings import Settings
from streams.topics import RECIPES, TOPICS, VERDICTS, topic_specs
from tests.broker.running import publish, running_worker
from tests.broker.secured import Secured, lineside, one_sentence
from tests.broker.test_replay import replayed
from tests.builders import frame, recipe

RUN = "trial"
MUST_NOT_WRITE = {
    "gateway": set(TOPICS) - {"frames", "gates"},
    "inspector": set(TOPICS) - {"verdicts", "defects", "deadletters", "alarms"},
    "station": set(TOPICS) - {"outcomes", "claims", "audit"},
    "auditor": set(TOPICS),
    "archiver": set(TOPICS),
    "subscriber": set(TOPICS),
    "replayer": set(TOPICS),
}
MUST_NOT_READ = {
    "gateway": set(TOPICS) - {"gates"},
    "inspector": set(TOPICS) - {"frames", "recipes", "models", "verdicts", "deadletters", "alarms"},
    "subscriber": {"frames", "audit", "deadletters", "recipes"},
    "redriver": {"frames", "verdicts"},
}


async def may_write(address: KafkaAddress, topics: Collection[str]) -> set[str]:
    """Those that take a record."""
    taken = set()
    producer = AIOKafkaProducer(**kafka_options(address), acks="all")
    await producer.start()
    try:
        for topic in topics:
            try:
                await producer.send_and_wait(topic, b"no event", partition=0)
                taken.add(topic)
            except TopicAuthorizationFailedError:
                pass
    finally:
        await producer.stop()
    return taken


async def may_read(address: KafkaAddress, topics: Collection[str]) -> set[str]:
    """Those that give their first record, which must be there."""
    given = set()
    for topic in topics:
        at = TopicPartition(topic, 0)
        consumer = AIOKafkaConsumer(**kafka_options(address), enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([at])
            consumer.seek(at, 0)
            async with asyncio.timeout(10):
                await consumer.getone(at)
            given.add(topic)
        except TopicAuthorizationFailedError:
            pass
        finally:
            await consumer.stop()
    return given


async def test_a_role_reads_and_writes_what_the_table_says_and_nothing_else(
    secured: Secured, topic_prefix: str
) -> None:
    await secured.prepared(topic_prefix)
    names = [topic_prefix + name for name in TOPICS]
    assert await may_write(secured.address(ADMIN), names) == set(names)

    async def found(role: str) -> tuple[set[str], set[str]]:
        written, read = await may_write(secured.address(role), names), await may_read(secured.address(role), names)
        return ({n.removeprefix(topic_prefix) for n in written}, {n.removeprefix(topic_prefix) for n in read})

    for role in ROLES.values():
        written, read = await found(role.name)
        assert (role.name, written) == (role.name, {topic.name for topic in role.writes})
        assert (role.name, read) == (role.name, {topic.name for topic in role.reads})
        assert not written & MUST_NOT_WRITE.get(role.name, set())
        assert not read & MUST_NOT_READ.get(role.name, set())


async def test_every_role_may_compare_the_topics_with_the_table(secured: Secured, topic_prefix: str) -> None:
    await secured.prepared(topic_prefix)
    for role in ROLES:
        settings = secured.settings(role, topic_prefix)
        await require_topics(settings.bootstrap, topic_specs(settings))


async def test_a_user_without_rights_does_not_even_learn_which_topics_there_are(
    secured: Secured, topic_prefix: str
) -> None:
    settings = secured.settings(ADMIN, topic_prefix)
    await ensure_topics(settings.bootstrap, topic_specs(settings))
    with pytest.raises(NotAllowedError, match=r"does not allow user 'auditor' to use the topic t[0-9a-f]+\.verdicts"):
        await partitions_of(secured.address("auditor"), topic_prefix + VERDICTS.name)
    with pytest.raises(NotAllowedError, match="does not allow user 'auditor' to use the topic"):
        await require_topics(secured.address("auditor"), topic_specs(settings))


async def test_a_replayer_makes_and_fills_topics_of_replays_alone(secured: Secured, topic_prefix: str) -> None:
    await secured.prepared(topic_prefix)
    settings, replay = secured.settings("replayer", topic_prefix), replay_topic(RUN)
    spec = spec_of(replay, topic_prefix, 2, 1, 1)
    await ensure_topics(settings.bootstrap, [spec])
    assert await may_write(settings.bootstrap, [spec.name, topic_prefix + VERDICTS.name]) == {spec.name}
    assert await may_read(secured.address("auditor"), [spec.name]) == {spec.name}
    assert not await may_write(secured.address("auditor"), [spec.name])
    assert not await may_write(secured.address("inspector"), [spec.name])
    other = spec_of(replay_topic(RUN), f"{topic_prefix}no-", 1, 1, 1)
    with pytest.raises(CallerError, match="let someone with the right create it"):
        await ensure_topics(settings.bootstrap, [other])


async def test_frames_are_sent_inspected_and_replayed_by_three_that_may_do_nothing_else(
    secured: Secured, topic_prefix: str, tmp_path: Path
) -> None:
    await secured.prepared(topic_prefix)
    gateway, inspector, replayer, auditor = (
        secured.settings(role, topic_prefix, archive=str(tmp_path / "archive"), frame_store=str(tmp_path / "frames"))
        for role in ("gateway", "inspector", "replayer", "auditor")
    )
    await publish(gateway, [frame(number) for number in range(20)])
    async with running_worker(inspector), asyncio.timeout(60):
        while sum((await end_offsets(auditor.bootstrap, topic_prefix + VERDICTS.name)).values()) < 20:
            await asyncio.sleep(0.1)
    verdicts = await replayed(replayer, RUN)
    assert {(verdict["run"], verdict["simulated"]) for verdict in verdicts} == {(RUN, True)}
    assert len(verdicts) == 20


@pytest.mark.parametrize(
    ("role", "group", "joins"),
    [
        ("inspector", "inspection", True),
        ("replayer", f"replay.{RUN}", True),
        ("replayer", "inspection", False),
        ("auditor", "inspection", False),
        ("subscriber", "subscriber.plc", True),
        ("subscriber", "parts", False),
    ],
)
async def test_a_consumer_group_is_for_its_role_alone(
    secured: Secured, topic_prefix: str, role: str, group: str, joins: bool
) -> None:
    await secured.prepared(topic_prefix)
    topic = {"subscriber": "parts", "auditor": "frames"}.get(role, "frames")
    consumer = AIOKafkaConsumer(**kafka_options(secured.address(role)), group_id=topic_prefix + group)
    consumer.subscribe([topic_prefix + topic])
    try:
        if joins:
            await consumer.start()
            assert consumer.assignment()
        else:
            with pytest.raises(GroupAuthorizationFailedError):
                await asyncio.wait_for(_first(consumer), 20)
    finally:
        await consumer.stop()


async def _first(consumer: AIOKafkaConsumer) -> None:
    await consumer.start()
    await consumer.getone()


async def test_a_publisher_without_the_right_says_so(secured: Secured, topic_prefix: str) -> None:
    await secured.prepared(topic_prefix)
    settings = secured.settings("inspector", topic_prefix)
    async with Publisher(settings.bootstrap, topic_prefix, codec_for(settings)) as publisher:
        sent = await publisher.send(RECIPES, recipe(), key=b"p/l/s")
        with pytest.raises(NotAllowedError, match=rf"user 'inspector' to write to {topic_prefix}recipes; start it as"):
            await sent


async def test_a_command_beyond_its_role_ends_with_one_sentence(secured: Secured, topic_prefix: str) -> None:
    await secured.prepared(topic_prefix)
    verdicts = topic_prefix + VERDICTS.name
    assert await may_write(secured.address(ADMIN), [verdicts]) == {verdicts}

    def run(role: str, *command: str) -> tuple[int, str, str]:
        return lineside(secured.settings(role, topic_prefix), *command)

    one_sentence(run("gateway", "tail", "verdicts", "--from", "earliest"), "'gateway'", verdicts, "role")
    a_frame = ("gateway", "--source", "synthetic", "--frames", "1", "--rate", "0")
    one_sentence(run("auditor", *a_frame), "'auditor'", "role")  # may neither write nor join: either comes first
    one_sentence(run("station", *a_frame), "'station'", "role")
    one_sentence(run("gateway", "parts"), "'gateway'", "role")
    one_sentence(run("inspector", "statistics"), "'inspector'", "role")


async def test_a_program_that_may_not_join_its_group_says_so_and_ends(secured: Secured, topic_prefix: str) -> None:
    """An engineer may read all that `lineside parts` reads, but Faust joins its group as another."""
    await secured.prepared(topic_prefix)
    engineer = secured.settings("engineer", topic_prefix)
    one_sentence(lineside(engineer, "parts"), "'engineer'", f"consumer group {topic_prefix}parts", "role")


async def test_the_table_is_applied_compared_and_applied_again(secured: Secured, topic_prefix: str) -> None:
    settings = secured.settings(ADMIN, topic_prefix)
    await ensure_topics(settings.bootstrap, topic_specs(settings))
    status, out, _ = lineside(settings, "topics", "--acls", "--check", "--json")
    assert status == 1
    missing = [rule["name"] for rule in json.loads(out)["missing"] if rule["name"].startswith(topic_prefix)]
    assert len(missing) == len([rule for rule in rules(topic_prefix) if rule.name.startswith(topic_prefix)])

    assert lineside(settings, "topics", "--acls")[0] == 0
    assert rules(topic_prefix) <= rules_in_force(settings.bootstrap)
    others = Rule(f"User:{topic_prefix}mes", "topic", topic_prefix + "parts", "read")
    beyond = Rule("User:gateway", "topic", topic_prefix + "verdicts", "read")
    add_rules(settings.bootstrap, [others, beyond])
    assert lineside(settings, "topics", "--acls")[0] == 0
    assert {others, beyond} <= rules_in_force(settings.bootstrap)
    status, out, _ = lineside(settings, "topics", "--acls", "--check", "--json")
    told = json.loads(out)
    assert (status, told["missing"]) == (1, [])
    found = [(rule["principal"], rule["name"]) for rule in told["beyond_the_table"]]
    assert found == [("User:gateway", topic_prefix + "verdicts")]


async def test_rights_are_an_administrators_to_give(secured: Secured, bootstrap: str, topic_prefix: str) -> None:
    gateway = secured.settings("gateway", topic_prefix)
    one_sentence(lineside(gateway, "topics", "--acls"), "'gateway'", "administrator")
    plain = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix)
    one_sentence(lineside(plain, "topics", "--acls"), "no authorizer", "--secure")
