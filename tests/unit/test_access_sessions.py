"""Sessions end when idle, after twelve hours, on signing out; looking at one keeps nobody awake."""

import dataclasses

import pytest

from streams.web.access.sessions import ABSOLUTE_S, IDLE_S, MAX_SESSIONS, OPERATOR_IDLE_S, Limits, Sessions
from streams.web.access.tickets import VALID_S, Tickets
from streams.web.access.users import Role, User

OPERATOR = User("ana", "Ana K.", frozenset({Role.OPERATOR}))
ENGINEER = User("eva", "Eva M.", frozenset({Role.OPERATOR, Role.ENGINEER}))


@dataclasses.dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(Limits())


@pytest.mark.parametrize(("user", "idle_s"), [(OPERATOR, OPERATOR_IDLE_S), (ENGINEER, IDLE_S)])
def test_an_idle_session_ends_and_looking_at_it_is_no_activity(sessions: Sessions, user: User, idle_s: float) -> None:
    session_id = sessions.begin(user, None, 0.0)
    session = sessions.get(session_id, idle_s - 1)
    assert session is not None
    assert session.user == user
    assert sessions.get(session_id, idle_s) is None


def test_activity_keeps_a_session_but_not_beyond_twelve_hours(sessions: Sessions) -> None:
    session_id = sessions.begin(OPERATOR, None, 0.0)
    for minute in range(0, 12 * 60, 10):
        sessions.touch(session_id, minute * 60.0)
    assert sessions.get(session_id, ABSOLUTE_S - 1) is not None
    assert sessions.get(session_id, ABSOLUTE_S) is None


def test_an_expired_session_is_not_woken_by_activity(sessions: Sessions) -> None:
    session_id = sessions.begin(OPERATOR, None, 0.0)
    sessions.touch(session_id, OPERATOR_IDLE_S + 1)
    assert sessions.get(session_id, OPERATOR_IDLE_S + 2) is None


def test_signing_out_ends_this_session_alone(sessions: Sessions) -> None:
    first, second = sessions.begin(OPERATOR, None, 0.0), sessions.begin(OPERATOR, None, 0.0)
    sessions.end(first)
    assert sessions.get(first, 1.0) is None
    assert sessions.get(second, 1.0) is not None


def test_ids_are_256_random_bits_and_not_kept_as_such(sessions: Sessions) -> None:
    ids = {sessions.begin(OPERATOR, None, 0.0) for _ in range(100)}
    assert len(ids) == 100
    assert all(len(session_id) == 43 for session_id in ids)  # 32 bytes in base64
    assert not ids & set(sessions._sessions)


def test_sessions_are_bounded_and_the_oldest_gives_way(sessions: Sessions) -> None:
    first = sessions.begin(OPERATOR, None, 0.0)
    sessions._sessions |= {f"key {n}": next(iter(sessions._sessions.values())) for n in range(MAX_SESSIONS)}
    last = sessions.begin(OPERATOR, None, 1.0)
    assert sessions.get(first, 1.0) is None
    assert sessions.get(last, 1.0) is not None
    assert len(sessions._sessions) <= MAX_SESSIONS


def test_a_ticket_is_traded_once_and_in_time() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    once, late = tickets.issue("s1"), tickets.issue("s2")
    assert tickets.trade(once) == "s1"
    assert tickets.trade(once) is None
    clock.now_s = VALID_S + 1
    assert tickets.trade(late) is None
    assert tickets.trade("made up") is None
