"""The queue at the left: blocks of uninspected parts first, then the open cases, each a shape, a part and a word.

Rows stay the same elements while the queue moves, so that a focused row keeps its focus. Does not know what pressing a
row does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from streams.downstream.parts.blocks import Block
from streams.downstream.rework.cases import Case, CaseKey
from streams.web.i18n import Texts
from streams.web.station.elements import Group, KeyPress, Pager, Press, Text, printable, set_class
from streams.web.station.seat import Seat

ROWS = 20  # more are counted, not shown: they come up as the queue is worked off
ROW_PX = 84
PART_END_CHARS = 8  # of a part id that are always shown
AGE_STEP_S = 10.0  # all rows grow older together, else one or the other does every second
Key = CaseKey | UUID


class QueueView:
    """See the module."""

    def __init__(
        self,
        t: Texts,
        on_open: Callable[[Case], Any],
        on_block: Callable[[Block], Any],
        on_key: Callable[[str], Any],
    ) -> None:
        self._t = t
        self._on_open = on_open
        self._on_block = on_block
        self._rows: dict[Key, _Row] = {}
        with Group("aside", "st-queue", aria_label=t("queue")):
            with Group("div", "st-rows"):
                self._list = Group("div")
                self._more = Text("p", css="st-more")
            with Group("div", "st-queue-foot"):
                self._order = KeyPress("o", on_key, "st-small")
                self._pager = Pager("Q", ".st-rows", t("queue_turn"), ROW_PX)

    def show(self, seat: Seat, now: datetime) -> None:
        queue, blocks = seat.queue(), seat.desk.board.blocks()
        self._order.say(self._t(f"order_{seat.order}"))
        self._order.state(name=self._t(f"order_{seat.order}_name"))
        wanted: list[Key] = []
        for block in blocks[:ROWS]:
            row = self._row(block.first.decision_id, partial(self._on_block, block))
            row.show_block(self._t, block, is_open=_same_block(seat.block, block))
            wanted.append(block.first.decision_id)
        for case in queue[:ROWS]:
            row = self._row(case.key, partial(self._on_open, case))
            row.show_case(self._t, case, seat, now)
            wanted.append(case.key)
        self._arrange(wanted)
        self._pager.say(self._t("count_open", n=len(queue)))
        self._more.set_text(self._t("count_more", n=len(queue) - ROWS) if len(queue) > ROWS else "")

    def _row(self, key: Key, on_press: Callable[[], Any]) -> _Row:
        if key not in self._rows:
            with self._list:
                self._rows[key] = _Row()
        self._rows[key].on_press = on_press
        return self._rows[key]

    def _arrange(self, wanted: list[Key]) -> None:
        """Drop the rows that are gone and put the others into order, moving none that stands right."""
        for key in self._rows.keys() - set(wanted):
            self._rows.pop(key).button.delete()
        for place, key in enumerate(wanted):
            if self._list.default_slot.children[place] is not self._rows[key].button:
                self._rows[key].button.move(target_index=place)


class _Row:
    """One line of the queue."""

    def __init__(self) -> None:
        self.on_press: Callable[[], Any] = lambda: None
        self._state = ""
        self.button = Press(lambda: self.on_press(), "st-row")
        with self.button:
            self._mark = Text("span", css="ls-mark st-shape")
            with Group("span", "st-row-text"):
                with Group("bdi", "st-part"):  # where there is no room the middle is left out: parts differ at the end
                    self._part, self._part_end = Text("span", css="st-part-start"), Text("span", css="st-part-end")
                self._what = Text("bdi", css="st-what")

    def show_case(self, t: Texts, case: Case, seat: Seat, now: datetime) -> None:
        holder = seat.holder(case)
        is_open = seat.case is not None and seat.case.key == case.key
        kind = ("REVIEW" if case.review > 1 else "AUDIT") if case.blind else case.outcome.value
        word = t(f"kind_{kind.lower()}") if case.blind else t(f"state_{kind}")
        age = t.age((now - case.inspected_at).total_seconds() - now.timestamp() % AGE_STEP_S)
        label = "" if case.blind or case.label is None else f"{_label(t, case.label)} · "
        what = t("held_short", name=printable(holder.operator, 40)) if holder else f"{word} · {label}{age}"
        self._show(kind, part_name(t, case), what, is_open)
        set_class(self.button, "is-held", holder is not None)

    def show_block(self, t: Texts, block: Block, is_open: bool) -> None:
        self._show("NOT_INSPECTED", t("block_row", n=block.count), t("state_NOT_INSPECTED"), is_open)
        set_class(self.button, "is-block", True)

    def _show(self, kind: str, part: str, what: str, is_open: bool) -> None:
        if kind != self._state:
            self._mark.classes(add=f"ls-{kind}", remove=f"ls-{self._state}" if self._state else None)
            self._state = kind
        self._part.set_text(part[:-PART_END_CHARS])
        self._part_end.set_text(part[-PART_END_CHARS:])
        self._what.set_text(what)
        set_class(self.button, "is-open", is_open)
        if is_open != ("aria-current" in self.button.props):
            self.button.props.set_bool("aria-current", "true" if is_open else None)


def part_name(t: Texts, case: Case) -> str:
    """The part's id; where it has none, its place on the line."""
    if case.part_id:
        return printable(case.part_id)
    seq = "?" if case.trigger_seq is None else case.trigger_seq
    return t("no_part_id", camera=printable(case.camera, 64), seq=seq)


def _label(t: Texts, label: str) -> str:
    return t("any_defect") if label == "*" else printable(label, 64)


def _same_block(one: Block | None, other: Block) -> bool:
    return one is not None and one.first.decision_id == other.first.decision_id
