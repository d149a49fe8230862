"""The chain of audit entries: what it ties together and which damage shows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec, CommittedSource
from schemas.records import AuditEntry
from streams.downstream.audit.chain import NO_ENTRY, AuditChain, Change, digest, verify

AT = datetime(2026, 3, 2, 6, 0, 0, 123_456, tzinfo=UTC)
CODEC = Codec(CommittedSource())


def chain(length: int, chain_id: str = "station/R1/a") -> list[AuditEntry]:
    made = AuditChain(chain_id)
    change = Change("ana", "outcome.decide", "v1", None, '{"finding":"CONFIRMED"}')
    return [made.next(dataclasses.replace(change, subject=f"v{n}"), AT + timedelta(seconds=n)) for n in range(length)]


def breaks(entries: list[AuditEntry]) -> list[tuple[int, str]]:
    return [(found.chain_seq, found.what.partition(":")[0]) for found in verify(entries)]


def test_entries_count_up_and_name_the_one_before() -> None:
    first, second = chain(2)
    assert (first.chain_seq, first.previous_sha256) == (0, NO_ENTRY)
    assert (second.chain_seq, second.previous_sha256) == (1, first.sha256)
    assert verify([first, second]) == []


def test_the_digest_is_over_canonical_json_that_anybody_can_make() -> None:
    entry = AuditChain("c").next(Change("Jörg", "a", "s", reason="€"), AT.astimezone(timezone(timedelta(hours=2))))
    fields = {
        "action": "a",
        "actor": "Jörg",
        "after": None,
        "at": "2026-03-02T06:00:00.123+00:00",
        "before": None,
        "chain_id": "c",
        "chain_seq": 0,
        "previous_sha256": "0" * 64,
        "reason": "€",
        "subject": "s",
    }
    assert entry.sha256 == sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def test_entries_verify_after_a_way_through_kafka() -> None:
    assert verify([CODEC.decode(CODEC.encode(entry), AuditEntry) for entry in chain(3)]) == []


def forged(entry: AuditEntry) -> AuditEntry:
    """Changed by somebody who knows how the digest is made."""
    changed = dataclasses.replace(entry, actor="bob")
    return dataclasses.replace(changed, sha256=digest(changed))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda e: [e[0], dataclasses.replace(e[1], actor="bob"), *e[2:]], [(1, "changed")]),
        (lambda e: [e[0], forged(e[1]), *e[2:]], [(2, "exchanged")]),
        (lambda e: [e[0], *e[2:]], [(2, "missing")]),
        (lambda e: e[1:], [(1, "missing")]),
        (lambda e: [e[0], e[2], e[1], e[3]], [(2, "missing"), (1, "swapped"), (3, "missing")]),
        (lambda e: [e[0], e[1], e[1], e[2], e[3]], []),
        (lambda e: [e[0], e[1], forged(e[1]), e[2], e[3]], [(1, "swapped"), (2, "exchanged")]),
    ],
)
def test_damage_shows_where_it_is(
    damage: Callable[[list[AuditEntry]], list[AuditEntry]], found: list[tuple[int, str]]
) -> None:
    assert breaks(damage(chain(4))) == found


def test_chains_are_checked_each_for_itself() -> None:
    one, other = chain(3, "a"), chain(3, "b")
    assert verify([entry for pair in zip(one, other, strict=True) for entry in pair]) == []
    assert [found.chain_id for found in verify([one[0], other[1], one[1]])] == ["b"]


FIELDS = ("actor", "action", "subject", "before", "after", "reason", "previous_sha256", "sha256")


@given(st.integers(0, 3), st.sampled_from(FIELDS), st.text(max_size=5))
def test_no_field_can_be_changed_unseen(place: int, field: str, text: str) -> None:
    entries = chain(4)
    changed = dataclasses.replace(entries[place], **{field: text})
    entries[place] = changed
    assert bool(verify(entries)) == (changed != chain(4)[place])
