"""Who may do what, as a table: what no role may have, and what follows from a role."""

from __future__ import annotations

import pytest

from streams.errors import CallerError
from streams.roles import ROLE_OF_COMMAND, ROLES, Rule, concerns, parse_principals, rules
from streams.topics import TOPICS

WRITERS = {  # by topic, as DESIGN's table of topics says who writes
    "frames": {"gateway", "redriver"},
    "verdicts": {"inspector"},
    "defects": {"inspector"},
    "parts": {"parts"},
    "outcomes": {"station"},
    "samples": {"sampler"},
    "line-stats": {"statistics"},
    "recipes": {"engineer", "guard", "dashboard"},
    "claims": {"station"},
    "alarms": {"inspector", "parts", "statistics", "drift", "guard"},
    "deadletters": {"inspector", "parts"},
    "models": {"engineer"},
    "locations": {"locator"},
    "gates": {"gateway"},  # and the administrator who adds partitions
    "shadow": {"shadow"},
    "camera-references": {"drift", "engineer"},
    "proposals": {"engineer", "dashboard"},
    "audit": {"station", "dashboard", "redriver", "engineer", "guard"},
}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_written_by_those_who_make_it(topic: str) -> None:
    assert {role.name for role in ROLES.values() if TOPICS[topic] in role.writes} == WRITERS.get(topic, set())


def test_only_a_replayer_writes_topics_of_replays_and_it_writes_nothing_else() -> None:
    assert [role.name for role in ROLES.values() if role.replays == "makes"] == ["replayer"]
    assert not ROLES["replayer"].writes
    writes = {
        rule for rule in rules("l.") if rule.principal == "User:replayer" and rule.operation in ("write", "create")
    }
    assert {(rule.name, rule.prefixed) for rule in writes} == {("l.replay.", True)}


def test_nothing_is_allowed_beyond_the_prefix_but_idempotent_writing() -> None:
    for rule in rules("l."):
        assert rule.name.startswith("l.") or (rule.resource, rule.operation) == ("cluster", "idempotent_write")
        assert rule.operation in {"read", "write", "create", "describe", "describe_configs", "idempotent_write"}


def test_every_program_that_is_started_together_has_a_role() -> None:
    assert set(ROLE_OF_COMMAND.values()) <= set(ROLES)


def test_users_may_be_called_otherwise_than_their_roles() -> None:
    named = parse_principals(["gateway=User:CN=gw-1", "gateway=User:CN=gw-2"])
    who = {rule.principal for rule in rules("l.", named)}
    assert {"User:CN=gw-1", "User:CN=gw-2", "User:inspector"} <= who
    assert "User:gateway" not in who
    for text in ("gateway", "gateway=gw", "nobody=User:x", "gateway=User:", "gateway=User:*"):
        with pytest.raises(CallerError, match=r"--principal needs ROLE=User:NAME"):
            parse_principals([text])


def test_a_rule_for_another_installation_does_not_concern_ours() -> None:
    assert not concerns(Rule("User:gateway", "topic", "other.verdicts", "read"), "l.")
    for rule in (
        Rule("User:gateway", "topic", "l.verdicts", "read"),
        Rule("User:gateway", "topic", "l", "read", prefixed=True),
        Rule("User:gateway", "topic", "*", "read"),
        Rule("User:gateway", "cluster", "kafka-cluster", "alter"),
    ):
        assert concerns(rule, "l.")
