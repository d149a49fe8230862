"""Which panels are made anew when: lists at once, charts in turn, all of them where nobody looked for long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.web.dashboard.boards import IN_TURN, OUTDATED_S, TURN_EVERY_S, Board, Drawn, due_panels
from streams.web.dashboard.panels import PANELS

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LISTS = set(PANELS) - set(IN_TURN)


@dataclass
class Watched:
    """A board that is asked for again and again; views are but compared."""

    now: datetime = NOON
    board: Board | None = None

    def look(self, view: object, after_s: float = 0.0) -> set[str]:
        self.now += timedelta(seconds=after_s)
        due = due_panels(self.board, view, self.now)  # type: ignore[arg-type]
        kept = {} if self.board is None else dict(self.board.drawn)
        drawn = {name: Drawn("", view, self.now) for name in due}  # type: ignore[arg-type]
        self.board = Board(view, kept | drawn, True)  # type: ignore[arg-type]
        return set(due)


def test_a_board_that_is_new_has_all_panels() -> None:
    assert Watched().look(object()) == set(PANELS)


def test_lists_follow_every_view_and_charts_come_in_turn() -> None:
    watched = Watched()
    watched.look(object())
    assert watched.look(object(), after_s=TURN_EVERY_S / 2) == LISTS
    turns = [watched.look(object(), after_s=TURN_EVERY_S) - LISTS for _ in IN_TURN]
    assert [len(turn) for turn in turns] == [1] * len(IN_TURN)
    assert set.union(*turns) == set(IN_TURN)


def test_every_panel_shows_a_view_that_stays() -> None:
    watched, view = Watched(), object()
    watched.look(object())
    watched.look(view)
    for _ in IN_TURN:
        watched.look(view, after_s=TURN_EVERY_S)
    assert watched.board is not None
    assert {name for name, drawn in watched.board.drawn.items() if drawn.view is view} == set(PANELS)
    assert watched.look(view, after_s=TURN_EVERY_S) == set()


def test_a_board_that_nobody_looked_at_is_made_anew_as_a_whole() -> None:
    watched = Watched()
    watched.look(object())
    assert watched.look(object(), after_s=OUTDATED_S) == set(PANELS)


def test_a_clock_that_was_set_back_does_not_hold_up_charts() -> None:
    watched = Watched()
    watched.look(object())
    assert watched.look(object(), after_s=-3600) == set(PANELS)
