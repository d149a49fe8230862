"""Alarms about certificates that end soon and secrets that are old: raised, and cleared once they were renewed.

Place in the flow: beside the statistics, which raise alarms already; every program warns of its own in its log. An
alarm stands once for each certificate or file, whoever raises it, and a restart finds it on the topic, which is read
first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid5

from schemas.records import AlarmKind, AlarmRaised, Event, Severity
from streams.bus.ages import Finding, Looked
from streams.errors import LinesideError
from streams.topics import ALARMS, Topic

log = logging.getLogger(__name__)
NAMESPACE = UUID("0a0d37ab-7a0a-4a0e-9d0b-6f5d7c6f4a3e")
LOOK_EVERY_S = 3600.0
KINDS = {"certificate": AlarmKind.CERTIFICATE_EXPIRES, "secret": AlarmKind.SECRET_OLD}


class Sender(Protocol):
    """The publisher, as far as it is needed here."""

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]: ...


class SecretAlarms:
    """`look` says what is to be renewed and may block."""

    def __init__(self, look: Callable[[], Looked]) -> None:
        self._look = look
        self._open: dict[UUID, AlarmRaised] = {}

    def stand(self, alarm: AlarmRaised) -> None:
        """A state on the topic, its own included."""
        if alarm.kind in KINDS.values():
            self._open.pop(alarm.alarm_id, None)
            if alarm.cleared is None:
                self._open[alarm.alarm_id] = alarm

    def due(self, looked: Looked, at: datetime) -> list[AlarmRaised]:
        """What to publish: what was found and does not stand yet; and what stands, was looked at and is well again."""
        found = {alarm.alarm_id: alarm for alarm in (_alarm(finding, at) for finding in looked.findings)}
        raised = [alarm for alarm_id, alarm in found.items() if alarm_id not in self._open]
        well = {_alarm_id(kind, subject) for kind, subject in looked.at} - found.keys()
        over = [alarm for alarm_id, alarm in self._open.items() if alarm_id in well]
        return raised + [replace(alarm, at=at, cleared=at) for alarm in over]

    async def run(self, sender: Sender) -> None:
        """Looks for as long as it runs; what can't be looked at or sent is tried again."""
        while True:
            try:
                for alarm in self.due(await asyncio.to_thread(self._look), datetime.now(UTC)):
                    await (await sender.send(ALARMS, alarm, key=alarm.subject.encode()))
                    self.stand(alarm)
            except (LinesideError, OSError, ValueError) as error:
                log.warning("alarms about certificates and secrets are tried again in %g s: %s", LOOK_EVERY_S, error)
            await asyncio.sleep(LOOK_EVERY_S)


def _alarm_id(kind: str, subject: str) -> UUID:
    return uuid5(NAMESPACE, f"{KINDS[kind]}/{subject}")


def _alarm(finding: Finding, at: datetime) -> AlarmRaised:
    return AlarmRaised(
        alarm_id=_alarm_id(finding.kind, finding.subject),
        kind=KINDS[finding.kind],
        severity=Severity.CRITICAL if finding.kind == "certificate" and finding.days < 0 else Severity.WARNING,
        subject=finding.subject,
        value=finding.days,
        limit=float(finding.limit_days),
        since=at,
        at=at,
        detail=str(finding),
    )
