"""Revisions: what is published of a partition's windows, when a window is final, and what follows a rebuild."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from schemas.records import Estimate, LineWindow
from streams.downstream.statistics.book import PartitionBook, same_counts
from streams.downstream.statistics.past import StationPast
from streams.downstream.statistics.windows import FrameFold, PartFold, Station
from tests.line_stats import RULE, at, number, part, verdict

NOT_READ = (False, False)
READ = (True, True)
S1 = ("p1", "l1", "s1")


class Estimates:
    """Stands for what people found."""

    def __init__(self) -> None:
        self.escape = Estimate()

    def estimates(self, station: Station, end: datetime, past: StationPast) -> tuple[Estimate, Estimate]:
        return self.escape, Estimate()


class Desk:
    """A book, the log behind it, and what it has published."""

    def __init__(self) -> None:
        self.looks = Estimates()
        self.book = PartitionBook(3, FrameFold(RULE), PartFold(RULE), self.looks)
        self.book.learn((), 0)
        self.log: list[LineWindow] = []
        self.frames = 0
        self.parts = 0

    def frame(self, second: float) -> None:
        self.book.frames.take(verdict(self.frames, second), self.frames, at(second))
        self.frames += 1

    def part(self, second: float) -> None:
        self.book.parts.take(part(self.parts, second), self.parts, at(second))
        self.parts += 1

    def publish(self, second: float, caught_up: tuple[bool, bool] = NOT_READ) -> list[tuple[int, int, bool]]:
        """Frames, revision and finality of what came out."""
        due = self.book.due(at(second), caught_up)
        self.book.published(due, caught_up)
        self.log += due
        return [(window.frames, window.revision, window.final) for window in due]


def test_a_window_is_published_again_only_where_it_has_changed() -> None:
    desk = Desk()
    desk.frame(1)
    assert desk.publish(1) == [(1, 0, False)]
    assert desk.publish(2) == []
    desk.frame(2)
    desk.frame(3)
    assert desk.publish(3) == [(3, 1, False)]


def test_frames_and_parts_of_a_window_make_one_record() -> None:
    desk = Desk()
    desk.frame(1)
    desk.part(2)
    desk.publish(2)
    (window,) = desk.log
    assert (window.frames, dict(window.parts)) == (1, {"OK": 1})
    assert (window.partition, window.through_offset, window.through_part_offset) == (3, 0, 0)
    assert (window.window_start, window.width_ms) == (at(0), 10_000)


def test_a_window_is_final_when_both_logs_have_settled_it() -> None:
    """window 0-10, settled at 30

    verdicts  1 ────────────── 31
    parts     2 ─────────────────── 32
    """
    desk = Desk()
    desk.frame(1)
    desk.part(2)
    desk.publish(2)
    desk.frame(31)
    assert desk.publish(31) == [(1, 0, False)], "the frame at 31, and nothing of the window that waits for parts"
    desk.part(32)
    assert desk.publish(32) == [(1, 1, True), (1, 1, False)]


def test_on_a_line_that_stands_still_the_wall_clock_makes_a_window_final_once_all_is_read() -> None:
    desk = Desk()
    desk.frame(1)
    desk.publish(1)
    assert desk.publish(29.9, READ) == []
    assert desk.publish(30, NOT_READ) == []
    assert desk.publish(30, READ) == [(1, 1, True)]
    assert desk.publish(31, READ) == []


def test_a_frame_that_inspection_held_back_reopens_a_final_window() -> None:
    desk = Desk()
    desk.frame(1)
    desk.publish(35, READ)
    desk.frame(9)
    assert desk.publish(36) == [(2, 1, False)]
    assert desk.publish(36, READ) == [(2, 2, True)]


def test_windows_that_nothing_can_change_any_more_are_forgotten() -> None:
    desk = Desk()
    for second in range(0, 600, 5):
        desk.frame(second)
        desk.part(second)
        desk.publish(second)
    assert len(desk.book._latest) < 6
    assert len(desk.book.frames.windows) < 6


def test_without_any_parts_old_windows_are_forgotten_and_read_again_when_parts_come() -> None:
    desk = Desk()
    for second in range(0, 5_000, 10):
        desk.frame(second)
        desk.publish(second + 40, READ)
    assert len(desk.book._latest) < 400
    assert desk.book.reads_back_from() is None
    desk.part(20)
    assert desk.book.reads_back_from() == number(19.5)
    desk.book.learn(desk.log, number(19.5))
    assert desk.book.reads_back_from() is None
    assert desk.publish(5_000)[0] == (1, 1, False), "with the frame that was published of that window long ago"


def test_a_rebuilt_book_publishes_nothing_that_stands_there_already() -> None:
    desk, again = Desk(), Desk()
    for second in (1, 12, 33, 44):
        desk.frame(second)
        desk.publish(second)
        again.frame(second)
    again.book.learn(desk.log, 0)
    assert again.publish(45) == []


def test_a_rebuilt_book_publishes_what_its_predecessor_had_counted_but_not_published() -> None:
    desk, again = Desk(), Desk()
    desk.frame(1)
    desk.publish(1)
    for second in (1, 2, 40):
        again.frame(second)
    again.book.learn(desk.log, 0)
    assert again.publish(45) == [(2, 1, False), (1, 0, False)]


def test_a_final_window_stays_final_through_a_rebuild() -> None:
    desk, again = Desk(), Desk()
    desk.frame(1)
    desk.publish(60, READ)
    again.frame(1)
    again.book.learn(desk.log, 0)
    assert again.publish(61, NOT_READ) == []


def test_a_rebuilt_book_that_has_not_come_as_far_takes_nothing_back() -> None:
    desk, again = Desk(), Desk()
    desk.frame(1)
    desk.frame(2)
    desk.publish(2)
    again.frame(1)
    again.book.learn(desk.log, 0)
    assert again.publish(3) == []
    again.frame(2)
    again.frame(3)
    assert again.publish(3) == [(3, 1, False)]


def test_new_estimates_alone_publish_the_newest_window_only() -> None:
    desk = Desk()
    for second in (1, 15):
        desk.frame(second)
        desk.publish(second)
    desk.looks.escape = Estimate(value=0.1, low=0.0, high=0.2, n=10)
    assert desk.publish(16) == []
    desk.book.look_again(S1)
    assert desk.publish(16) == [(1, 1, False)]
    assert desk.log[-1].window_start == at(10)
    assert desk.publish(17) == []


def test_estimates_are_no_counts() -> None:
    desk = Desk()
    desk.frame(1)
    desk.publish(1)
    (window,) = desk.log
    assert same_counts(window, replace(window, escape=Estimate(n=3), revision=9, final=True))
    assert not same_counts(window, replace(window, missing_triggers=1))


def test_revisions_of_another_width_are_no_predecessors() -> None:
    desk, again = Desk(), Desk()
    desk.frame(1)
    desk.publish(1)
    again.book.learn([replace(desk.log[0], width_ms=5_000, revision=7)], 0)
    again.frame(1)
    assert again.publish(1) == [(1, 0, False)]
