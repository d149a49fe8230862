"""The audit log on the real Kafka: what was recorded can be checked by whoever reads the topic."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from streams.bus.admin import ensure_topics
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import subscribe_events
from streams.downstream.audit.chain import verify
from streams.downstream.audit.log import AuditLog
from streams.settings import Settings
from streams.topics import topic_specs


async def test_entries_of_several_writers_verify_when_read_back(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=2)
    await ensure_topics(bootstrap, topic_specs(settings))
    async with Publisher(bootstrap, topic_prefix, codec_for(settings)) as publisher:
        logs = [AuditLog(publisher, f"station/R{n}", lambda: datetime.now(UTC)) for n in (1, 2)]
        decision = {
            "finding": "CONFIRMED",
            "at": datetime.now(UTC),
            "outcome_id": uuid4(),
            "comment": "größer als 2 µm",
        }
        recorded = await asyncio.gather(
            *(log.record("Jörg", "outcome.decide", f"v{n}", after=decision) for n in range(5) for log in logs)
        )
    read = [event async for event in subscribe_events("audit", "earliest", settings=settings, follow=False)]
    entries = [event.record for event in read]
    assert sorted(entries, key=repr) == sorted(recorded, key=repr)
    assert {event.key for event in read} == {entry.chain_id.encode() for entry in recorded}
    assert verify(entries) == []
    tampered = [dataclasses.replace(entries[0], actor="somebody else"), *entries[1:]]
    assert [found.chain_seq for found in verify(tampered)] == [0]
