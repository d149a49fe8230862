"""Alive is not progressing: what a program shows of itself, by the clock."""

from __future__ import annotations

from streams.health import Health, Limits, Work

LIMITS = Limits(progress_within_s=20.0, stall_timeout_s=60.0)


def health() -> Health:
    return Health("worker", "1.2.3", 100.0, LIMITS)


def test_a_program_with_nothing_to_do_is_alive_and_progresses() -> None:
    program = health()
    program.look(400.0, Work())
    assert program.alive(401.0).is_good
    answer = program.progressing(401.0)
    assert answer.is_good
    assert answer.body == {
        "program": "worker",
        "version": "1.2.3",
        "uptime_s": 301.0,
        "lag": 0,
        "in_flight": 0,
        "last_progress_s": 1.0,
        "stuck": False,
    }


def test_an_event_loop_that_is_silent_is_neither_alive_nor_progressing() -> None:
    program = health()
    program.look(100.0, Work())
    assert program.alive(105.0).is_good
    for answer in (program.alive(108.0), program.progressing(108.0)):
        assert not answer.is_good
        assert answer.body["why"] == "the event loop has not answered for 8 s"
    assert not program.is_trusted(108.0)


def test_what_waits_without_being_done_is_said_with_its_time() -> None:
    """
    s      100 ─ idle ─ 110 ─ 312 wait, nothing completed ─── 130 ──── 151 ─────── 171
    says   progressing  ······················· until here ──┘ 503      41 s        stuck
    """
    program = health()
    program.look(110.0, Work(completed=5))
    for now_s in (111.0, 130.0):
        program.look(now_s, Work(lag=312, in_flight=4, completed=5))
        assert program.progressing(now_s).is_good
    program.look(151.0, Work(lag=312, in_flight=4, completed=5))
    answer = program.progressing(151.0)
    assert (answer.is_good, answer.body["why"]) == (
        False,
        "312 events wait, 4 are under way, nothing was completed for 41 s",
    )
    assert (answer.body["lag"], answer.body["last_progress_s"], answer.body["stuck"]) == (312, 41.0, False)
    assert program.is_trusted(151.0)
    program.look(171.0, Work(lag=312, in_flight=4, completed=5))
    assert program.progressing(171.0).body["stuck"] is True
    assert program.alive(171.0).is_good
    assert not program.is_trusted(171.0)


def test_one_completed_piece_is_progress_however_much_waits() -> None:
    program = health()
    for now_s in range(100, 300, 15):
        program.look(float(now_s), Work(lag=9_999, completed=now_s))
        assert program.progressing(float(now_s)).is_good


def test_without_kafka_it_does_not_progress_but_a_new_start_would_not_help() -> None:
    program = health()
    program.look(900.0, Work(is_connected=False))
    assert program.progressing(901.0).body["why"] == "Kafka does not answer"
    assert program.alive(901.0).is_good
    assert program.is_trusted(901.0)
