"""The audit log over a publisher that may fail."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from streams.downstream.audit.chain import verify
from streams.downstream.audit.log import AuditLog
from streams.errors import OperatorError
from tests.builders import FakeSender, settle

AT = datetime(2026, 3, 2, 6, 0, 0, 123_456, tzinfo=UTC)


def log_over(sender: FakeSender) -> AuditLog:
    return AuditLog(sender, "users", lambda: AT)


async def test_an_entry_is_recorded_when_the_broker_has_confirmed_it() -> None:
    sender = FakeSender(hold=True)
    recording = asyncio.create_task(log_over(sender).record("ana", "user.sign-in", "ana", reason="morning shift"))
    await settle()
    assert not recording.done()
    sender.confirm()
    entry = await recording
    assert sender.sent == [("audit", entry, entry.chain_id.encode(), 0)]
    assert (entry.actor, entry.action, entry.subject, entry.reason) == ("ana", "user.sign-in", "ana", "morning shift")
    assert (entry.chain_id.startswith("users/"), entry.chain_seq, entry.before) == (True, 0, None)


async def test_entries_recorded_at_once_leave_one_after_the_other() -> None:
    sender = FakeSender()
    log = log_over(sender)
    await asyncio.gather(*(log.record("ana", "a", str(n), before={"n": n}, after={"at": AT}) for n in range(5)))
    entries = sender.records("audit")
    assert [entry.chain_seq for entry in entries] == [0, 1, 2, 3, 4]
    assert verify(entries) == []
    assert (json.loads(entries[3].before), json.loads(entries[3].after)) == ({"n": 3}, {"at": str(AT)})


async def test_after_a_failed_send_a_new_chain_begins_so_that_no_gap_is_taken_for_damage() -> None:
    sender = FakeSender()
    log = log_over(sender)
    await log.record("ana", "a", "1")
    sender.failing.add("audit")
    with pytest.raises(OperatorError):
        await log.record("ana", "a", "2")
    sender.failing.clear()
    entry = await log.record("ana", "a", "3")
    first, _, last = sender.records("audit")
    assert (entry.chain_seq, entry.chain_id == first.chain_id) == (0, False)
    assert verify([first, last]) == []
