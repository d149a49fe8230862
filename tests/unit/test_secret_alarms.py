"""Alarms about certificates and secrets: raised once, found again after a restart, cleared when renewed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.records import AlarmKind, AlarmRaised, Severity
from streams.bus.ages import Finding, Looked
from streams.downstream.overview.alarms import Alarms
from streams.downstream.statistics.secret_alarms import SecretAlarms

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ENDS = Finding("certificate", "/s/ca.pem", 12.0, 30)
OLD = Finding("secret", "/s/gateway.password", 400.0, 365)
AT = frozenset({("certificate", "/s/ca.pem"), ("secret", "/s/gateway.password")})


def alarms() -> SecretAlarms:
    return SecretAlarms(lambda: Looked([], AT))


def published(book: SecretAlarms, *findings: Finding, at: datetime = NOW) -> list[AlarmRaised]:
    due = book.due(Looked(list(findings), AT), at)
    for alarm in due:
        book.stand(alarm)
    return due


def test_a_finding_is_raised_once_and_cleared_once() -> None:
    book, later = alarms(), NOW + timedelta(days=1)
    raised = published(book, ENDS, OLD)
    assert [(a.kind, a.severity, a.value, a.limit, a.cleared) for a in raised] == [
        (AlarmKind.CERTIFICATE_EXPIRES, Severity.WARNING, 12.0, 30.0, None),
        (AlarmKind.SECRET_OLD, Severity.WARNING, 400.0, 365.0, None),
    ]
    assert "renew it" in raised[0].detail
    assert published(book, ENDS, OLD, at=later) == []
    cleared = published(book, OLD, at=later)
    assert [(a.alarm_id, a.cleared) for a in cleared] == [(raised[0].alarm_id, later)]
    assert published(book, OLD, at=later) == []


def test_an_alarm_of_before_a_restart_is_not_raised_again_and_is_cleared_when_well() -> None:
    before = published(alarms(), ENDS)
    book = alarms()
    for alarm in before:
        book.stand(alarm)
    assert published(book, ENDS) == []
    assert [alarm.cleared for alarm in published(book)] == [NOW]


def test_an_alarm_about_what_was_not_looked_at_stays() -> None:
    book = alarms()
    for alarm in alarms().due(Looked([Finding("secret", "/elsewhere/password", 400.0, 365)], AT), NOW):
        book.stand(alarm)
    assert published(book) == []


def test_a_certificate_that_ended_is_critical() -> None:
    assert published(alarms(), Finding("certificate", "/s/ca.pem", -0.5, 30))[0].severity is Severity.CRITICAL


def test_it_stands_on_no_stations_board() -> None:
    board = Alarms()
    assert not board.take(published(alarms(), OLD)[0])
    assert not board.stations
