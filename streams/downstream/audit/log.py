"""Writes the audit log: one entry a change of state, confirmed by the broker before the change happens.

Place in the flow: between whatever changes state (rework station, users, recipes) and the topic `audit`. Does not
know what a change means.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from schemas.records import AuditEntry, Event
from streams.downstream.audit.chain import AuditChain, Change
from streams.topics import AUDIT, Topic

Values = Mapping[str, object]


class Sender(Protocol):
    """The publisher, as far as it is needed here."""

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]: ...


class AuditLog:
    """One writer's chain, named `<chain_prefix>/<uuid>`. `clock` gives the time with its zone."""

    def __init__(self, publisher: Sender, chain_prefix: str, clock: Callable[[], datetime]) -> None:
        self._publisher = publisher
        self._prefix = chain_prefix
        self._clock = clock
        self._chain = self._new_chain()
        self._one_at_a_time = asyncio.Lock()

    async def record(
        self,
        actor: str,
        action: str,
        subject: str,
        *,
        before: Values | None = None,
        after: Values | None = None,
        reason: str = "",
    ) -> AuditEntry:
        """Returns the entry once the broker has confirmed it; raises what the publisher raises.

        Values that JSON does not know (ids, times) are written as text. Where the fate of an entry is unknown, because
        sending failed or was cancelled, the next one begins a new chain.
        """
        change = Change(actor, action, subject, _json(before), _json(after), reason)
        async with self._one_at_a_time:
            entry = self._chain.next(change, self._clock())
            try:
                await (await self._publisher.send(AUDIT, entry, key=entry.chain_id.encode(), partition=0))
            except BaseException:
                self._chain = self._new_chain()
                raise
        return entry

    def _new_chain(self) -> AuditChain:
        return AuditChain(f"{self._prefix}/{uuid4()}")


def _json(values: Values | None) -> str | None:
    return None if values is None else json.dumps(values, default=str, sort_keys=True, ensure_ascii=False)
