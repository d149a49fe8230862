"""Pauses grow with wrong guesses, end by themselves, and are counted before a guess is checked."""

import pytest

from streams.web.access.throttle import ACCOUNT, FORGET_S, MAX_KEYS, Pauses, Throttle


@pytest.mark.parametrize(
    ("failures", "pause_s"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (10, 32), (11, 60), (10_000, 60)]
)
def test_the_pause_doubles_after_the_free_guesses_up_to_a_longest(failures: int, pause_s: float) -> None:
    assert ACCOUNT.after(failures) == pause_s


def test_a_key_waits_from_its_last_guess_and_others_do_not() -> None:
    throttle = Throttle(Pauses(free=1, first_s=8.0, longest_s=60.0))
    throttle.count("ana", 0.0)
    assert throttle.wait_s("ana", 0.0) == 0.0
    throttle.count("ana", 10.0)
    assert throttle.wait_s("ana", 12.0) == 6.0
    assert throttle.wait_s("bo", 12.0) == 0.0
    assert throttle.wait_s("ana", 18.0) == 0.0


def test_success_and_an_hour_of_quiet_take_the_count_back() -> None:
    throttle = Throttle(Pauses(free=0, first_s=60.0, longest_s=60.0))
    throttle.count("ana", 0.0)
    throttle.forgive("ana")
    assert throttle.wait_s("ana", 0.0) == 0.0
    for n in range(9):
        throttle.count("bo", float(n))
    throttle.count("bo", 8.0 + FORGET_S + 1)
    assert throttle.wait_s("bo", 8.0 + FORGET_S + 1) == 60.0  # as after the first


def test_made_up_names_do_not_fill_the_memory() -> None:
    throttle = Throttle(ACCOUNT)
    for n in range(MAX_KEYS + 100):
        throttle.count(f"name {n}", 0.0)
    assert len(throttle._failures) == MAX_KEYS
