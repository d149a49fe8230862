"""One operator at the station: the open case, the half-made decision, what is being saved. Outlives pages and reloads.

Place in the flow: between the page, which shows a seat and hands over presses, and the desk, which owns the queue and
the topics. A case is claimed when it is opened, and given back when another is opened or the operator leaves. While a
decision is being saved no key counts; the next case opens by itself once it is. Knows no web page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from schemas.records import ReworkOutcome, StationClaim
from streams.downstream.parts.blocks import Block
from streams.downstream.rework.cases import Case, CaseKey
from streams.downstream.rework.decisions import BlockAction, Decided, Decision, NothingToUndo, Saved, Undone
from streams.downstream.rework.desk import Desk
from streams.downstream.rework.queue import Order
from streams.web.station.draft import DISPOSITIONS, Draft, first_label, press
from streams.web.station.followers import Followers, OnChange
from streams.web.station.hold import Hold
from streams.web.station.saving import Saver, Saving, said

log = logging.getLogger(__name__)

NoticeKind = Literal[
    "saved", "undone", "block_handled", "unknown_part", "cut_off", "finding_first", "nothing_to_undo", "refused"
]  # fmt: skip
Clock = Callable[[], datetime]
BLOCK_KEYS = {"i": BlockAction.INSPECT_BY_HAND, "l": BlockAction.SEND_BACK}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell the operator, about `case` or with a `text`: what was scanned, or why something was refused."""

    kind: NoticeKind
    at: datetime
    text: str = ""
    case: Case | None = None


class Seat:
    """See the module. All methods run on the event loop; `on_change` callbacks are told of every change."""

    def __init__(self, desk: Desk, operator: str, clock: Clock, good: frozenset[str]) -> None:
        """`good` names the classes that are no defect."""
        self.desk = desk
        self.operator = operator
        self.good = good
        self.order: Order = "oldest"
        self.case: Case | None = None
        self.block: Block | None = None
        self.handling: BlockAction | None = None
        self.draft = Draft()
        self.notice: Notice | None = None
        self._clock = clock
        self._hold = Hold(desk, operator, clock, self._is_open, self._changed)
        self._saver = Saver(desk, operator, self._saved, lambda why: self._tell("refused", why))
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers = Followers()

    def on_change(self, callback: OnChange, attended: Callable[[], bool]) -> Callable[[], None]:
        """Calls back after every change; the result ends that. `attended` tells whether the operator is signed in."""
        return self._followers.add(callback, attended)

    @property
    def watched(self) -> bool:
        """True while a page shows this seat."""
        return self._followers.any

    def queue(self) -> list[Case]:
        return self.desk.board.open_cases(self.order, self.operator)

    def holder(self, case: Case) -> StationClaim | None:
        """The claim of somebody else, who has the case open."""
        return self._hold.other(case)

    @property
    def saving(self) -> Saving | None:
        """The decision under way."""
        return self._saver.saving

    @property
    def is_busy(self) -> bool:
        """True while something is being recorded: no key counts meanwhile, and what is open stays."""
        return self.saving is not None or self.handling is not None

    @property
    def outcome(self) -> ReworkOutcome | None:
        """What was decided about the open case, where it is decided."""
        return self.desk.board.decision(self.case.key) if self.case else None

    @property
    def can_decide(self) -> bool:
        """True where a press on a decision key counts."""
        case = self.case
        return case is not None and self.saving is None and self.outcome is None and self.holder(case) is None

    @property
    def can_undo(self) -> bool:
        """True where U would take something back."""
        return self.draft.finding is not None or self._undoable is not None

    @property
    def _undoable(self) -> CaseKey | None:
        """The decision shown, where it is this operator's, else the newest of this seat."""
        shown = self.outcome
        if self.case is not None and shown is not None and shown.operator == self.operator:
            return self.case.key
        return self._saver.newest

    def open(self, case: Case) -> None:
        """Show a case and claim it; a half-made decision about another is dropped."""
        if not self.is_busy:
            self.notice = None
            self._open(case)

    def _open(self, case: Case) -> None:
        self._leave_case()
        self.case, self.block = case, None
        self.draft = Draft(label=first_label(case, self.good))
        self._hold.keep(case)
        self._changed()

    def open_block(self, block: Block) -> None:
        if not self.is_busy:
            self._leave_case()
            self.block, self.notice = block, None
            self._changed()

    def open_next(self) -> None:
        """The first case of the queue that nobody else has open; none where there is none."""
        free = next((case for case in self.queue() if self.holder(case) is None), None)
        if free is not None:
            self._open(free)
        else:
            self._leave_case()
            self.block = None
            self._changed()

    def step(self, by: int) -> None:
        """Open the case before (-1) or behind (+1) the open one in the queue."""
        queue = self.queue()
        keys = [case.key for case in queue]
        at = keys.index(self.case.key) + by if self.case and self.case.key in keys else 0
        if 0 <= at < len(queue):
            self.open(queue[at])

    def turn_order(self) -> None:
        """From the oldest first to the worst first, and back."""
        self.order = "worst" if self.order == "oldest" else "oldest"
        self._changed()

    def choose_label(self, label: str | None) -> None:
        """The class of the defect, which also says that there is one."""
        if self.can_decide:
            self.draft = self.draft.with_label(label)
            self._changed()

    def set_comment(self, comment: str) -> None:
        self.draft = self.draft.with_comment(comment)
        self._changed()

    def press(self, key: str) -> None:
        """A key of the decision strip, from the keyboard or by touch; one that means nothing now is passed over."""
        if key == "o":
            self.turn_order()
        elif self.is_busy:
            return
        elif key == "u":
            self._undo()
        elif key == "enter" and self.case is not None and (self.outcome or self.holder(self.case)):
            self.notice = None
            self.open_next()
        elif self.block is not None and key in BLOCK_KEYS:
            self._handle_block(self.block, BLOCK_KEYS[key])
        elif self.case is not None and self.can_decide:
            self._decide(self.case, key)

    def scan(self, text: str) -> None:
        """Open the part of a scanned or typed id: its open case first, else what was decided about it."""
        part_id = text.strip()
        if not part_id or self.is_busy:
            return
        found = self.desk.board.find(part_id, self.operator)
        if not found:
            return self._tell("unknown_part", part_id)
        if self.case is None or found[0].key != self.case.key:
            return self.open(found[0])
        self.notice = None
        return self._changed()

    def scan_cut_off(self) -> None:
        self._tell("cut_off")

    def refresh(self) -> None:
        """The board or the clock has moved: take what is free now, keep what is open.

        Where the sign-in has expired nothing is taken and the claim ends in its time; the half-made decision stays.
        """
        if self._followers.attended and not self.is_busy:
            self._follow_block()
            if self.case is None and self.block is None:
                self.open_next()
            elif self.case is not None and self.outcome is None:
                self._hold.keep(self.case)
        self._followers.tell(is_own=False)

    def leave(self) -> None:
        """Nobody looks at this seat any more: give the case back. A decision under way goes on."""
        if self.saving is None:
            self._leave_case()

    def _decide(self, case: Case, key: str) -> None:
        after = press(self.draft, key)
        if isinstance(after, Decision):
            self.notice = None
            self._saver.decide(case, after)
            self._changed()
        elif after == self.draft and key in DISPOSITIONS:
            self._tell("finding_first")
        else:
            self.draft = after
            self._changed()

    def _undo(self) -> None:
        """Take back the half-made decision, else a decision that was made."""
        if self.draft.finding is not None and self.case is not None:
            self.draft = Draft(label=first_label(self.case, self.good), comment=self.draft.comment)
            return self._changed()
        key = self._undoable
        case = self.desk.board.case(key) if key is not None else None
        if case is None:
            return self._tell("nothing_to_undo")
        self.notice = None
        self._saver.undo(case)
        return self._changed()

    def _saved(self, saving: Saving, result: Decided | Undone) -> None:
        """What the topic says, told to the operator; then the next case."""
        if isinstance(result, Saved) and saving.decision is not None:
            self._tell("saved", case=saving.case)
            return self.open_next()
        if isinstance(result, Saved):
            self._tell("undone", case=saving.case)
            return self._open(saving.case)
        if isinstance(result, NothingToUndo):
            return self._tell("nothing_to_undo")
        return self._changed()  # the board says who holds or decided it

    def _handle_block(self, block: Block, action: BlockAction) -> None:
        async def handle() -> None:
            try:
                await self.desk.handle_block(block, action, self.operator)
            except Exception as error:  # whatever it is, the operator must know
                log.exception("handling a block was refused")
                return self._tell("refused", said(error))
            finally:
                self.handling = None
            self._tell("block_handled")
            return self.open_next()

        self.handling, self.notice = action, None
        self._run(handle())
        self._changed()

    def _follow_block(self) -> None:
        """An open block grows while its line stands, and is gone once somebody has dealt with it."""
        if self.block is not None:
            first = self.block.first.decision_id
            found = (block for block in self.desk.board.blocks() if block.first.decision_id == first)
            self.block = next(found, None)

    def _leave_case(self) -> None:
        case, self.case, self.draft = self.case, None, Draft()
        if case is not None:
            self._hold.leave(case)

    def _is_open(self, case: Case) -> bool:
        return self.case is not None and self.case.key == case.key

    def _tell(self, kind: NoticeKind, text: str = "", case: Case | None = None) -> None:
        self.notice = Notice(kind, self._clock(), text, case)
        self._changed()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _changed(self) -> None:
        self._followers.tell(is_own=True)
