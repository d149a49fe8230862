"""Topics in Kafka against the table: what is missing, and what is not as it should be.

Place in the flow: behind `streams.bus.admin`, which waits for the broker and creates topics. Changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from streams.errors import CallerError
from streams.partitions import advice, findings
from streams.topics import TopicSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a topic in Kafka is not what the table says."""

    topic: str
    what: str
    expected: str
    came: str
    fix: str
    refused: bool = True  # no program starts on it

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.what} must be {self.expected}, is {self.came}; {self.fix}"


async def metadata_of(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, Any]:
    """What the cluster says about itself and about these topics.

    aiokafka's own `describe_topics` would create a missing topic where brokers do that by themselves, and its
    `describe_cluster` fetches all topics: on a cluster with 5,000 partitions that took ten times as long.
    """
    answer = await admin._send_request(MetadataRequest(topics, allow_auto_topic_creation=False))
    return dict(answer.to_object())


async def partitions_by_topic(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, Sequence[Any]]:
    """The partitions of those of these topics (full names) that are there; TopicAuthorizationFailedError."""
    found = (await metadata_of(admin, topics))["topics"]
    if hidden := [topic["topic"] for topic in found if topic["error_code"] == TopicAuthorizationFailedError.errno]:
        raise TopicAuthorizationFailedError(hidden[0])
    return {topic["topic"]: topic["partitions"] for topic in found if topic["partitions"]}


def refuse(differences: Sequence[Difference]) -> None:
    """CallerError with the first difference and how many more there are; what can be worked with is only logged."""
    for difference in differences:
        if not difference.refused:
            log.warning("%s", difference)
    differences = [difference for difference in differences if difference.refused]
    if differences:
        more = f" ({len(differences) - 1} more: `lineside topics --check`)" if len(differences) > 1 else ""
        raise CallerError(f"{differences[0]}{more}")


async def topic_differences(admin: Any, topics: Sequence[TopicSpec]) -> list[Difference]:
    """Every topic against the table; CallerError where Kafka hides a configuration."""
    described = await partitions_by_topic(admin, [topic.name for topic in topics])
    present = [topic for topic in topics if topic.name in described]
    create = "create it with `lineside topics --create`"
    found = [Difference(t.name, "the topic", "there", "missing", create) for t in topics if t.name not in described]
    if not present:
        return found
    configs = await _configs(admin, present)
    found += _partition_differences(present, {name: len(partitions) for name, partitions in described.items()})
    for topic in present:
        found += _shape_differences(topic, described[topic.name])
        found += _config_differences(topic, configs[topic.name])
    return found


def _partition_differences(topics: Sequence[TopicSpec], counts: Mapping[str, int]) -> list[Difference]:
    what, found = "the number of partitions", []
    for topic in topics:
        if not topic.by_station and counts[topic.name] != topic.partitions:
            fix = "choose another LINESIDE_TOPIC_PREFIX, or delete the topic"
            found.append(Difference(topic.name, what, str(topic.partitions), str(counts[topic.name]), fix))
    by_station = {topic.name: counts[topic.name] for topic in topics if topic.by_station}
    configured = next((topic.partitions for topic in topics if topic.by_station), 0)
    if known := advice(by_station, configured):
        log.warning("%s", known)
    for finding in findings(by_station, configured):
        expected, came = str(finding.expected), str(finding.came)
        found.append(Difference(finding.topic, what, expected, came, finding.fix, finding.refused))
    return found


def _shape_differences(topic: TopicSpec, partitions: Sequence[Any]) -> list[Difference]:
    found = []
    replicas = min((len(partition["replicas"]) for partition in partitions), default=0)
    if replicas < topic.replication:
        fix = "add replicas with Kafka's kafka-reassign-partitions, or set LINESIDE_REPLICATION lower"
        found.append(Difference(topic.name, "the replication", f"at least {topic.replication}", str(replicas), fix))
    return found


def _config_differences(topic: TopicSpec, came: dict[str, str]) -> list[Difference]:
    return [
        Difference(
            topic.name,
            name,
            expected,
            came.get(name, "not set"),
            f"run `kafka-configs --alter --topic {topic.name} --add-config {name}={expected}`",
        )
        for name, expected in topic.config().items()
        if came.get(name) != expected
    ]


async def _configs(admin: Any, topics: Sequence[TopicSpec]) -> dict[str, dict[str, str]]:
    wanted = [ConfigResource(ConfigResourceType.TOPIC, t.name, configs=dict.fromkeys(t.config())) for t in topics]
    configs: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(wanted):
        for code, message, _type, name, entries in answer.resources:
            if code:
                detail = message or for_code(code).__name__
                raise CallerError(f"Kafka hides the configuration of {name}: {detail}; grant DESCRIBE_CONFIGS on it")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs
