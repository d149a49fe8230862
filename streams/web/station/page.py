"""The rework station's page: puts queue, picture, side and strip together, hands presses over, follows the seat.

Place in the flow: one instance a browser page, over a seat that outlives it. Follows the queue at most UPDATES_A_S
times a second and never reloads. Each press asks who acts: after a change of users the page takes the new one's seat.
Knows the shell; decides nothing about parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicegui import ui

from streams.downstream.rework.cases import Case
from streams.web.access.doors import acting_user, current_user, on_user
from streams.web.access.users import Role, User
from streams.web.frame import Frame
from streams.web.i18n import Texts
from streams.web.station.draft import defect_labels
from streams.web.station.elements import LET_GO, Group, Keys
from streams.web.station.heatmaps import Heatmaps
from streams.web.station.panels import Chooser, NoteBox
from streams.web.station.queue_view import QueueView
from streams.web.station.references import References
from streams.web.station.seat import Notice
from streams.web.station.seats import Seats
from streams.web.station.side_view import SideView
from streams.web.station.stage_view import StageView
from streams.web.station.strip_view import NOTICE_SHOWN_S, SAVED_SHOWN_S, StripView

ROLES = (Role.OPERATOR, Role.ENGINEER)
UPDATES_A_S = 2
LEAVE_S = 30.0  # a page that is gone for this long has left; a reload takes less
STEPS = {"pageup": -1, "pagedown": 1}


@dataclass(frozen=True, slots=True)
class Shared:
    """What all pages of one station share."""

    seats: Seats
    references: References
    heatmaps: Heatmaps
    clock: Callable[[], datetime]


class StationPage:
    """See the module. Make it inside the page's function, within the shell's frame."""

    def __init__(self, shared: Shared, user: User, t: Texts, frame: Frame) -> None:
        self._shared = shared
        self._client = ui.context.client
        self._seat = shared.seats.of(user.name)
        self._unfollow: Callable[[], None] = lambda: None
        self._due: asyncio.TimerHandle | None = None
        self._updated_s = 0.0
        self._told: Notice | None = self._seat.notice
        self._compared: Case | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._build(t, frame)
        on_user(self._sit)
        self._client.on_connect(self._arrive)
        self._client.on_disconnect(self._depart)
        self._client.on_delete(self._depart)
        self._show()

    def _build(self, t: Texts, frame: Frame) -> None:
        with frame.slot:
            self._scan_box = ui.input(placeholder=t("scan")).props("outlined spellcheck=false")
            self._scan_box.classes("ls-field st-scan").props["aria-label"] = t("scan")
            self._scan_box.on("keydown.enter", self._typed, js_handler=LET_GO)
        with frame.main:
            self._keys = Keys(self._press, self._scan, self._cut_off)
            with Group("div", "st-body") as self._body:
                self._queue = QueueView(
                    t,
                    lambda case: self._act(lambda: self._seat.open(case)),
                    lambda block: self._act(lambda: self._seat.open_block(block)),
                    self._press,
                )
                self._stage = StageView(t, self._press, self._shared.heatmaps.explains)
                self._side = SideView(t)
            with Group("div", "st-panels"):
                self._chooser = Chooser(t, lambda label: self._act(lambda: self._seat.choose_label(label)))
                self._note = NoteBox(t, lambda note: self._act(lambda: self._seat.set_comment(note)))
            self._strip = StripView(t, self._press)

    # --- what the operator does ------------------------------------------------------------------------------------

    async def _press(self, key: str) -> None:
        if self._chooser.is_open:
            await self._chooser.press(key)
        elif key in ("c", "n"):
            await self._act(self._open_chooser if key == "c" else self._open_note)
        elif key in STEPS:
            await self._act(lambda: self._seat.step(STEPS[key]))
        else:
            await self._act(lambda: self._seat.press(key))

    async def _scan(self, text: str) -> None:
        self._chooser.close()
        await self._act(lambda: self._seat.scan(text))

    async def _cut_off(self) -> None:
        await self._act(self._seat.scan_cut_off)

    async def _typed(self) -> None:
        text, self._scan_box.value = str(self._scan_box.value or ""), ""
        await self._scan(text)

    async def _act(self, do: Callable[[], Any]) -> None:
        """Do something in the name of whoever is signed in now; nothing where nobody is."""
        user = await acting_user(*ROLES)
        if user is not None:
            self._sit(user)
            do()
            self._show()

    def _open_chooser(self) -> None:
        if self._seat.case is not None and self._seat.can_decide:
            self._chooser.open(defect_labels(self._seat.case, self._seat.queue(), self._seat.good))

    def _open_note(self) -> None:
        if self._seat.can_decide:
            self._note.open(self._seat.draft.comment)

    # --- what the page follows -------------------------------------------------------------------------------------

    def _sit(self, user: User) -> None:
        """Take this user's seat."""
        if user.name != self._seat.operator:
            self._depart()
            self._seat = self._shared.seats.of(user.name)
            self._arrive()

    def _arrive(self) -> None:
        self._unfollow()
        self._unfollow = self._seat.on_change(self._changed, self._is_attended)
        self._seat.refresh()

    def _is_attended(self) -> bool:
        with self._client:
            user = current_user()
        return user is not None and user.name == self._seat.operator

    def _depart(self) -> None:
        self._unfollow()
        seats, operator = self._shared.seats, self._seat.operator
        asyncio.get_running_loop().call_later(LEAVE_S, seats.vacate, operator)

    def _changed(self, is_own: bool = True) -> None:
        """Show at once what the operator waits for, and the rest soon, many changes at once."""
        loop = asyncio.get_running_loop()
        at_s = loop.time() if is_own else max(loop.time(), self._updated_s + 1 / UPDATES_A_S)
        if self._due is None or at_s < self._due.when():
            if self._due is not None:
                self._due.cancel()
            self._due = loop.call_at(at_s, self._update)

    def _update(self) -> None:
        self._due = None
        if not self._client.is_deleted:
            self._show()

    def _show(self) -> None:
        self._updated_s, at, seat = asyncio.get_running_loop().time(), self._shared.clock(), self._seat
        if self._chooser.is_open and not seat.can_decide:
            self._chooser.close()
        self._say_newest()
        for view in (self._queue, self._stage, self._side, self._strip):
            view.show(seat, at)
        if seat.notice is not self._told:
            self._told = seat.notice
            self._tell(seat.notice)
        if seat.case is not self._compared:
            self._compared = seat.case
            self._run(self._compare(seat.case))

    def _say_newest(self) -> None:
        """When the newest case came that this page shows, for whoever measures how fast that is."""
        newest = self._seat.desk.board.newest_at
        newest_ms = "" if newest is None else str(round(newest.timestamp() * 1000))
        if self._body.props.get("data-newest-ms") != newest_ms:
            self._body.props["data-newest-ms"] = newest_ms

    def _tell(self, notice: Notice | None) -> None:
        """The tone of a saved decision, and the end of what is said for a while."""
        if notice is None:
            return
        is_saved = notice.kind == "saved"
        if is_saved:
            self._keys.tone()
        left_s = (SAVED_SHOWN_S if is_saved else NOTICE_SHOWN_S) - (self._shared.clock() - notice.at).total_seconds()
        asyncio.get_running_loop().call_later(max(0.0, left_s) + 0.05, self._changed)

    async def _compare(self, case: Case | None) -> None:
        """Show a good part beside the case, once one is found."""
        self._show_reference("", None)
        found = await self._shared.references.find(case) if case is not None else None
        if found is not None and case is self._compared and not self._client.is_deleted:
            self._show_reference(found.address, found.taken_at)

    def _show_reference(self, address: str, taken_at: datetime | None) -> None:
        self._side.show_reference(address, taken_at, self._shared.clock())
        self._stage.compare_with(address)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
