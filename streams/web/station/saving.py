"""An operator's decisions on their way to the topic: one at a time, and the newest remembered so that U can undo them.

Place in the flow: under a seat, which says what is decided and shows what became of it. Knows no page and no queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from streams.downstream.rework.cases import Case, CaseKey
from streams.downstream.rework.decisions import Decided, Decision, Saved, Undone
from streams.downstream.rework.desk import Desk
from streams.errors import LinesideError

log = logging.getLogger(__name__)
REMEMBERED = 100  # decisions that can be undone


@dataclass(frozen=True, slots=True)
class Saving:
    """A decision under way to the topic; without one, the case's decision is being taken back."""

    case: Case
    decision: Decision | None


class Saver:
    """See the module. `on_saved` is told what the topic says, `on_refused` why nothing was recorded."""

    def __init__(
        self,
        desk: Desk,
        operator: str,
        on_saved: Callable[[Saving, Decided | Undone], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self.saving: Saving | None = None
        self._desk = desk
        self._operator = operator
        self._on_saved = on_saved
        self._on_refused = on_refused
        self._decided: list[CaseKey] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def newest(self) -> CaseKey | None:
        """The case of the newest decision that was not taken back."""
        return self._decided[-1] if self._decided else None

    def decide(self, case: Case, decision: Decision) -> None:
        """Record a decision."""
        self._save(Saving(case, decision), lambda: self._desk.decide(case.key, decision, self._operator))

    def undo(self, case: Case) -> None:
        """Take the decision about a case back."""
        self._save(Saving(case, None), lambda: self._desk.undo(case.key, self._operator))

    def _save(self, saving: Saving, work: Callable[[], Awaitable[Decided | Undone]]) -> None:
        async def save() -> None:
            try:
                result = await work()
            except Exception as error:  # whatever it is, the operator must know
                log.exception("a decision of %r was refused", self._operator)
                self.saving = None
                return self._on_refused(said(error))
            self.saving = None
            self._remember(saving, result)
            return self._on_saved(saving, result)

        self.saving = saving
        self._task = asyncio.create_task(save())

    def _remember(self, saving: Saving, result: Decided | Undone) -> None:
        key = saving.case.key
        self._decided = [other for other in self._decided if other != key]
        if isinstance(result, Saved) and saving.decision is not None:
            self._decided = [*self._decided[1 - REMEMBERED :], key]


def said(error: Exception) -> str:
    """Why something was refused, in words for the operator."""
    return str(error) if isinstance(error, LinesideError) else type(error).__name__
