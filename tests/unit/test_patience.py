"""When a supervisor ends a program that runs: never too early, never never."""

from __future__ import annotations

from streams.commands.patience import Patience, PatienceLimits, Sign

LIMITS = PatienceLimits(start_s=180.0, silent_s=20.0)


def test_a_start_may_be_silent_for_its_time_and_no_longer() -> None:
    patience = Patience(0.0, LIMITS)
    assert not patience.lost(179.0, False, Sign.SILENT)
    assert patience.lost(181.0, False, Sign.WELL) == "it was not ready within 180 s"


def test_silence_counts_from_the_last_answer_and_an_answer_ends_it() -> None:
    """
    s     50 ready ── 60 well ── 79 silent ── 80 well ── 99 silent ── 101 silent: lost
    """
    patience = Patience(0.0, LIMITS)
    steps = ((50.0, Sign.SILENT), (60.0, Sign.WELL), (79.0, Sign.SILENT), (80.0, Sign.WELL), (99.0, Sign.SILENT))
    assert not any(patience.lost(now_s, True, sign) for now_s, sign in steps)
    assert patience.lost(101.0, True, Sign.SILENT) == "it has not answered for 21 s"


def test_a_program_that_never_answered_is_lost_some_time_after_it_was_ready() -> None:
    patience = Patience(0.0, LIMITS)
    assert not patience.lost(150.0, True, Sign.SILENT)
    assert patience.lost(171.0, True, Sign.SILENT)


def test_one_that_says_itself_that_it_is_stuck_is_lost_at_once() -> None:
    assert Patience(0.0, LIMITS).lost(50.0, True, Sign.STUCK)
