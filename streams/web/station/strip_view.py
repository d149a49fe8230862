"""The decision strip: two rows of keys that never move, and in the second row's first place what is going on.

Does not keep a decision: it shows the seat's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.records import ReworkFinding
from streams.downstream.rework.decisions import Decision
from streams.web.i18n import Texts
from streams.web.station.draft import DISPOSITIONS, FINDINGS
from streams.web.station.elements import Group, KeyPress, Text, printable
from streams.web.station.queue_view import part_name
from streams.web.station.seat import Seat
from streams.web.station.side_view import outcome_text

SAVED_SHOWN_S = 1.0
NOTICE_SHOWN_S = 8.0


@dataclass(frozen=True, slots=True)
class Status:
    """What is going on: a kind for looks, a headline and a short line for the strip, a sentence for the banner."""

    kind: str
    head: str
    line: str = ""
    banner: str = ""
    can_go_on: bool = False
    """True where Enter opens the next case."""


def status(t: Texts, seat: Seat, now: datetime) -> Status:
    """What is going on at a seat, the most urgent first."""
    if seat.saving is not None:
        return _saving(t, seat, part_name(t, seat.saving.case))
    if seat.handling is not None and seat.block is not None:
        return _saving(t, seat, t("block_row", n=seat.block.count))
    if (told := _notice(t, seat, now)) is not None:
        return told
    case = seat.case
    if case is None:
        return Status("idle", "" if seat.block is None else t("block_ask"))
    if (outcome := seat.outcome) is not None:
        banner = t("decided_banner", at=t.time(outcome.decided_at, now), what=outcome_text(t, outcome))
        return Status("decided", t("decided"), t("enter_next"), banner, can_go_on=True)
    if (holder := seat.holder(case)) is not None:
        name, station = printable(holder.operator, 64), printable(holder.rework_station, 64)
        banner = t("held_banner", name=name, station=station)
        return Status("held", t("held", name=name), t("enter_next"), banner, can_go_on=True)
    if not seat.desk.connected and seat.draft.finding is None:
        return Status("unsaved", t("offline"), t("offline_line"))
    return _asking(t, seat, case.blind)


def _saving(t: Texts, seat: Seat, what: str) -> Status:
    if seat.desk.connected:
        return Status("saving", t("saving"), what)
    return Status("unsaved", t("not_saved"), banner=t("not_saved_banner", part=what))


def _notice(t: Texts, seat: Seat, now: datetime) -> Status | None:
    """What was told a moment ago; what only confirms makes way for the next decision."""
    notice = seat.notice
    if notice is None or (seat.draft.finding is not None and notice.kind not in LASTING):
        return None
    shown_s = SAVED_SHOWN_S if notice.kind == "saved" else NOTICE_SHOWN_S
    if (now - notice.at).total_seconds() >= shown_s:
        return None
    banner = t(f"{notice.kind}_banner", text=printable(notice.text, 120)) if notice.kind in LASTING else ""
    return Status(notice.kind, t(notice.kind), part_name(t, notice.case) if notice.case else "", banner)


LASTING = ("unknown_part", "cut_off", "refused")


def _asking(t: Texts, seat: Seat, blind: bool) -> Status:
    if seat.draft.finding is ReworkFinding.NOT_FOUND:
        return Status("then", t("ask_again"), t("ask_again_line"))
    if seat.draft.awaits_disposition():
        return Status("then", t("ask_then"), t("ask_then_line"))
    return Status("ask", t("ask_blind" if blind else "ask"), t("ask_line"))


class StripView:
    """See the module. `on_key` gets the keys of decisions, `c` for the choice of a class and `n` for a note."""

    def __init__(self, t: Texts, on_key: Callable[[str], Any]) -> None:
        self._t = t
        with Group("div", "st-banner", role="alert") as self._banner:
            self._sentence = Text("bdi")
            self._next = KeyPress("Enter", lambda _: on_key("enter"), "", t("next"))
        with Group("footer", "st-strip", aria_label=t("strip")):
            self._findings = {"1": KeyPress("1", on_key)}
            self._chooser = KeyPress("c", on_key, "st-small", t("class"))
            self._chooser.props["aria-label"] = t("choose_class")
            self._findings |= {key: KeyPress(key, on_key) for key in "234"}
            self._undo = KeyPress("u", on_key, "st-quiet", t("undo"))
            with Group("div", "st-status") as self._status:
                self._status.props["role"] = "status"
                self._head = Text("strong")
                self._line = Text("bdi")
            self._note = KeyPress("n", on_key, "st-small")
            self._dispositions = {
                key: KeyPress(key, on_key, "", t(f"do_{value.value}")) for key, value in DISPOSITIONS.items()
            }

    def show(self, seat: Seat, now: datetime) -> None:
        blind = seat.case is not None and seat.case.blind
        shown, asked = seat.saving.decision if seat.saving else seat.draft, seat.can_decide
        for key, finding in FINDINGS.items():
            button, is_it = self._findings[key], shown is not None and shown.finding is finding
            button.say(self._t(f"blind_{finding.value}" if blind else f"press_{finding.value}"), self._named(seat, key))
            button.state(enabled=asked or (is_it and seat.saving is not None), pressed=is_it)
        self._chooser.state(enabled=asked)
        for key, disposition in DISPOSITIONS.items():
            is_it = isinstance(shown, Decision) and shown.disposition is disposition
            self._dispositions[key].state(enabled=is_it or (asked and seat.draft.awaits_disposition()), pressed=is_it)
        self._note.say(self._t("note_edit" if seat.draft.comment else "note"))
        self._note.state(enabled=asked)
        self._undo.state(enabled=not seat.is_busy and seat.can_undo)
        self._show_status(status(self._t, seat, now))

    def _named(self, seat: Seat, key: str) -> str:
        """The class below CONFIRM, and a second press below NOT FOUND."""
        if key == "1" and seat.case is not None:
            return printable(seat.draft.label, 64) if seat.draft.label else self._t("no_class")
        return ""

    def _show_status(self, told: Status) -> None:
        self._banner.set_visibility(bool(told.banner))
        self._sentence.set_text(told.banner)
        self._next.set_visibility(told.can_go_on)
        self._status.classes(replace=f"st-status is-{told.kind}")
        self._head.set_text(told.head)
        self._line.set_text(told.line)
