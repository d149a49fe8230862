"""May this user be a member of a group and read its topics? Asked before Faust starts, which would wait in silence.

Place in the flow: between the first connection and the start of an agent. The questions change nothing: the heartbeat
of a member that is none, and a fetch from behind every end. Does not know which role may what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest

from streams.bus.admin import admin_client
from streams.bus.connect import START_TIMEOUT_S, reaching
from streams.bus.offsets import COORDINATOR_TIMEOUT_S, YOUNG
from streams.bus.topic_check import partitions_by_topic

NOBODY = "lineside-asks"
NO_GENERATION = -1
BEHIND_ALL = 1 << 62  # an offset
READ_COMMITTED = 1
RETRY_S = 0.1


async def require_membership(bootstrap: str, group: str, topics: Sequence[str]) -> None:
    """NotAllowedError where this user may not join `group` or read `topics` (full names); BrokerUnreachableError."""
    async with reaching(bootstrap), admin_client(bootstrap, START_TIMEOUT_S) as admin:
        await _require_group(admin, group)
        for topic, partitions in (await partitions_by_topic(admin, list(topics))).items():
            await _require_reading(admin, topic, partitions[0]["partition"], partitions[0]["leader"])


async def _require_group(admin: AIOKafkaAdminClient, group: str) -> None:
    async with asyncio.timeout(COORDINATOR_TIMEOUT_S):
        while True:
            try:
                coordinator = await admin.find_coordinator(group)
                break
            except GroupAuthorizationFailedError as error:
                raise GroupAuthorizationFailedError(group) from error
            except YOUNG:
                await asyncio.sleep(RETRY_S)
    answer = await admin._send_request(HeartbeatRequest(group, NO_GENERATION, NOBODY), coordinator)
    if answer.error_code == GroupAuthorizationFailedError.errno:
        raise GroupAuthorizationFailedError(group)


async def _require_reading(admin: AIOKafkaAdminClient, topic: str, partition: int, leader: int) -> None:
    request = FetchRequest(0, 0, 1, READ_COMMITTED, [(topic, [(partition, BEHIND_ALL, 1)])])
    answer = await admin._send_request(request, leader)
    if any(error == TopicAuthorizationFailedError.errno for _, found in answer.topics for _, error, *_ in found):
        raise TopicAuthorizationFailedError(topic)
