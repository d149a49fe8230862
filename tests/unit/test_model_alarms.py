"""The alarm about a model that can't be loaded: one for each model and machine, across restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from schemas.records import AlarmKind, Severity
from streams.inspection.model_alarms import ModelAlarms

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def test_it_lasts_from_the_first_failure_and_ends_once() -> None:
    alarms = ModelAlarms("host-1")
    first = alarms.failed("m1", "no room", 1, False, NOW)
    second = alarms.failed("m1", "no room", 2, True, LATER)
    assert (first.kind, first.severity, first.subject) == (AlarmKind.MODEL_FAILED, Severity.WARNING, "m1")
    assert (second.alarm_id, second.since, second.value) == (first.alarm_id, NOW, 2)
    assert (second.severity, second.detail) == (Severity.CRITICAL, "on host-1: no room")
    over = alarms.well("m1", LATER)
    assert over == replace(second, at=LATER, cleared=LATER)
    assert alarms.well("m1", LATER) is None


def test_after_a_restart_it_stands_as_the_topic_says_on_this_machine_alone() -> None:
    raised = ModelAlarms("host-1").failed("m1", "no room", 1, False, NOW)
    alarms = ModelAlarms("host-1")
    alarms.stand(raised)
    alarms.stand(ModelAlarms("host-2").failed("m2", "no room", 1, False, NOW))
    assert alarms.open == {"m1"}
    alarms.stand(replace(raised, cleared=LATER))
    assert alarms.open == frozenset()
