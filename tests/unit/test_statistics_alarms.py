"""The alarm of a station whose share of bad parts is out of control, and what people found as estimates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

import pytest

from schemas.records import (
    AlarmKind,
    AlarmRaised,
    LineWindow,
    Outcome,
    ReworkFinding,
    ReworkOutcome,
    SampleSelected,
    Strategy,
)
from streams.downstream.statistics import quality
from streams.downstream.statistics.past import StationPast
from streams.downstream.statistics.quality import Findings
from streams.downstream.statistics.run_rules import judge, next_alarm
from tests.contracts import samples
from tests.line_stats import NAMESPACE, at, number

S1 = ("p1", "l1", "s1")
WIDTH = timedelta(seconds=10)


def window(minute: int, bad: int, n: int = 50, *, final: bool = True, skipped: int = 0) -> LineWindow:
    parts = {"OK": n - bad, "NG": bad, "NOT_INSPECTED": skipped}
    start = at(10 * minute)
    return replace(
        samples.WINDOW, window_start=start, width_ms=10_000, final=final, parts=parts, frames=n, outcomes={"NG": bad}
    )


def past(*bad: int, **options: bool) -> StationPast:
    found = StationPast(10_000)
    for minute, count in enumerate(bad):
        found.add(number(10 * minute), window(minute, count, **options))
    return found


CALM = (1, 0, 2, 1, 1, 0, 1, 2, 0, 1, 1, 2)


def alarm(counts: tuple[int, ...], standing: AlarmRaised | None = None) -> AlarmRaised | None:
    judgement = judge(past(*counts))
    return next_alarm(S1, judgement.point, WIDTH, standing, at(900)) if judgement else None


def test_a_line_in_control_raises_nothing() -> None:
    assert alarm(CALM) is None


def test_a_broken_rule_raises_an_alarm_once_and_its_end_clears_it() -> None:
    raised = alarm((*CALM, 15))
    assert raised is not None
    assert (raised.kind, raised.subject, raised.value) == (AlarmKind.RUN_RULE, "p1/l1/s1", 0.3)
    assert (raised.since, raised.cleared) == (at(120), None)
    assert "beyond-3-sigma" in raised.detail
    assert raised.limit is not None
    assert raised.limit < 0.3
    assert alarm((*CALM, 15, 14), raised) is None
    cleared = alarm((*CALM, 15, 1), raised)
    assert cleared is not None
    assert (cleared.alarm_id, cleared.since, cleared.cleared) == (raised.alarm_id, raised.since, at(140))
    assert alarm((*CALM, 15, 1, 1), cleared) is None


def test_the_same_finding_has_the_same_id_and_the_next_one_another() -> None:
    first, again = alarm((*CALM, 15)), alarm((*CALM, 15))
    later = alarm((*CALM, *CALM, 15))
    assert first is not None
    assert again is not None
    assert later is not None
    assert first.alarm_id == again.alarm_id != later.alarm_id


def test_only_final_windows_with_parts_enough_are_judged() -> None:
    assert judge(past(*CALM, final=False)) is None
    few = past(*CALM)
    few.add(number(130), window(13, 9, n=9))
    judgement = judge(few)
    assert judgement is not None
    assert judgement.number == number(110)
    assert judge(past(*CALM[:9])) is None


def test_parts_that_were_not_inspected_are_not_bad() -> None:
    stopped = past(*CALM)
    stopped.add(number(120), window(12, 1, skipped=40))
    judgement = judge(stopped)
    assert judgement is not None
    assert (judgement.point.n, judgement.point.rules) == (50, ())


def test_what_happened_days_ago_is_forgotten() -> None:
    found = StationPast(60_000)
    for minute in range(4_000):
        found.add(number(60 * minute), window(6 * minute, 1))
    assert len(found.windows) < 3_000


def outcome(
    case: int, finding: ReworkFinding, verdict_outcome: Outcome = Outcome.NG, **changes: object
) -> ReworkOutcome:
    fields = {
        "outcome_id": uuid5(NAMESPACE, f"outcome {case} {finding}"),
        "verdict_id": UUID(int=case),
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "finding": finding,
        "verdict_outcome": verdict_outcome,
        "supersedes": None,
        "review": 1,
        "inspected_at": at(5),
    }
    return replace(samples.OUTCOME, **(fields | changes))


def audit(case: int, **changes: object) -> SampleSelected:
    fields = {"verdict_id": UUID(int=case), "plant": "p1", "line": "l1", "station": "s1", "inclusion_probability": 0.1}
    return replace(samples.SAMPLE, **(fields | changes))


def test_escapes_come_from_decided_audits_of_passes() -> None:
    findings = Findings()
    for case in range(4):
        findings.sample(audit(case))
        findings.outcome(
            outcome(case, ReworkFinding.CONFIRMED if case == 0 else ReworkFinding.FALSE_REJECT, Outcome.OK)
        )
    findings.sample(audit(9))
    findings.sample(audit(10, strategy=Strategy.UNCERTAIN))
    findings.outcome(outcome(10, ReworkFinding.CONFIRMED, Outcome.OK))
    escape, _ = findings.estimates(S1, at(10), StationPast(10_000))
    assert (escape.value, escape.n) == (pytest.approx(0.25), 4)


def test_overkill_is_of_frames_rejected_in_the_known_past() -> None:
    """Of 3 rejects among 100 frames two are decided, one of them false: 0.5 x 3 / 100."""
    findings = Findings()
    findings.outcome(outcome(1, ReworkFinding.CONFIRMED))
    findings.outcome(outcome(2, ReworkFinding.FALSE_REJECT, Outcome.UNSURE))
    known = StationPast(10_000)
    known.add(number(0), window(0, 3, n=100))
    known.add(number(10), window(1, 50, n=100))
    _, overkill = findings.estimates(S1, at(10), known)
    assert (overkill.value, overkill.n) == (pytest.approx(0.015), 2)


def test_estimates_look_back_a_day_and_not_ahead() -> None:
    findings = Findings()
    findings.outcome(outcome(1, ReworkFinding.FALSE_REJECT, inspected_at=at(-86_400)))
    findings.outcome(outcome(2, ReworkFinding.FALSE_REJECT, inspected_at=at(10)))
    known = StationPast(10_000)
    known.add(number(0), window(0, 3))
    _, overkill = findings.estimates(S1, at(10), known)
    assert overkill.n == 0


def test_findings_kept_for_ever_on_the_topics_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MOST", 3)
    findings = Findings()
    for case in range(10):
        findings.sample(audit(case))
        findings.outcome(outcome(case, ReworkFinding.CONFIRMED, Outcome.OK))
    escape, _ = findings.estimates(S1, at(10), StationPast(10_000))
    assert escape.n == 3


def test_a_correction_counts_whatever_came_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """MOST verdicts decided, then the first of them once more"""
    monkeypatch.setattr(quality, "MOST", 3)
    findings, known = Findings(), StationPast(10_000)
    known.add(number(0), window(0, 3))
    first = outcome(1, ReworkFinding.CONFIRMED)
    for decided in (first, *(outcome(case, ReworkFinding.CONFIRMED) for case in (2, 3))):
        findings.outcome(decided)
    assert findings.estimates(S1, at(10), known)[1].value == 0
    findings.outcome(outcome(1, ReworkFinding.FALSE_REJECT, supersedes=first.outcome_id))
    assert findings.estimates(S1, at(10), known)[1].value != 0


def test_a_decision_that_was_superseded_does_not_count() -> None:
    findings = Findings()
    first = outcome(1, ReworkFinding.FALSE_REJECT)
    findings.outcome(first)
    known = StationPast(10_000)
    known.add(number(0), window(0, 3))
    assert findings.estimates(S1, at(10), known)[1].value != 0
    findings.outcome(outcome(1, ReworkFinding.CONFIRMED, supersedes=first.outcome_id))
    assert findings.estimates(S1, at(10), known)[1].value == 0
