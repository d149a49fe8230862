"""A rework station's desk: the queue as it stands, and the only way to change it.

Place in the flow: between the topics and the page of a rework station. Nothing counts as saved before it was read
back from its topic as the record that counts. Does not know how anything is shown, nor who may do what.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

from schemas.records import AuditEntry, ReworkOutcome, StationClaim
from streams.downstream.audit.log import AuditLog
from streams.downstream.parts.blocks import Block
from streams.downstream.rework.board import Board
from streams.downstream.rework.bus import Bus
from streams.downstream.rework.cases import Case, CaseKey, Scope
from streams.downstream.rework.decisions import (
    NAME_MAX,
    AlreadyDecided,
    BlockAction,
    Decided,
    Decision,
    HeldByOther,
    NothingToUndo,
    Saved,
    Signature,
    Undone,
    checked,
    outcome_of,
    withdrawal_of,
    writable,
)
from streams.downstream.rework.kafka_bus import KafkaBus
from streams.downstream.rework.link import Link, entry_token, now_ms
from streams.downstream.rework.part_log import handled_note
from streams.errors import CallerError
from streams.settings import Settings
from streams.topics import CLAIMS, KEY_PART, OUTCOMES

log = logging.getLogger(__name__)

HISTORY_DAYS = 7
STOP_S = 10.0  # for decisions that are being saved

T = TypeVar("T")


class Desk:
    """One rework station at work; use it as an async context manager, or start() and stop() it.

    The board knows the cases of the last `history_days`. What changes state runs to its end even where the caller
    is cancelled, such as by a closed page: the decision is then saved or refused as if nothing had happened, and
    the board shows it. Only stop() ends it, after waiting for it.
    """

    def __init__(
        self,
        settings: Settings,
        rework_station: str,
        scope: Scope,
        *,
        history_days: int = HISTORY_DAYS,
        bus: Bus | None = None,
    ) -> None:
        if not KEY_PART.fullmatch(rework_station):
            raise CallerError(
                f"{rework_station!r} can't name a rework station: letters, digits, `.`, `_` and `-`, 1 to 64 of them"
            )
        self.rework_station = rework_station
        self.board = Board(scope, settings.second_review_share)
        self._claim_ttl_ms = int(settings.claim_ttl_s * 1000)
        history = timedelta(days=history_days)
        self._link = Link(bus or KafkaBus(settings, now_ms() - history), self.board, history)
        self._audit = AuditLog(self._link.bus, f"station/{rework_station}", now_ms)
        self._working: set[asyncio.Task[Any]] = set()

    @property
    def connected(self) -> bool:
        """Whether Kafka answers; listeners are told when this changes."""
        return self._link.bus.connected

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` on the event loop soon after the board or `connected` changed; returns what ends that."""
        return self._link.on_change(callback)

    async def start(self) -> None:
        """Returns when the board shows all that the topics hold; decisions about parts may come in later.

        Raises BrokerUnreachableError where no Kafka answers, CallerError where a topic is missing.
        """
        await self._link.start()

    async def stop(self) -> None:
        """Waits a little for what is being saved, then ends it."""
        if self._working:
            await asyncio.wait(self._working, timeout=STOP_S)
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        await self._link.stop()

    async def __aenter__(self) -> Desk:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def open(self, key: CaseKey, operator: str) -> StationClaim | None:
        """Takes a case, or keeps it for longer; the claim that WON by what was read back, one's own or another's.

        None where there is no such open case. Raises CallerError for who made the other decision about the verdict.
        """
        operator = _name(operator)
        if not self.board.is_open(key):
            return None
        return await self._to_its_end(self._claim(self._case_for(key, operator), operator))

    async def release(self, key: CaseKey, operator: str) -> None:
        """Gives a case back, where this operator holds it at this rework station."""
        operator = _name(operator)
        claim, case = self.board.holder(key, now_ms()), self.board.case(key)
        if case and claim and self._is_mine(claim, operator):
            given_back = dataclasses.replace(claim, released=True, at=now_ms())
            await self._to_its_end(self._link.publish(CLAIMS, case, given_back))

    async def decide(self, key: CaseKey, decision: Decision, operator: str) -> Decided:
        """Records a decision; returns when it was read back as the one that counts, or what is in its way.

        Takes the case first where its claim has expired. Through a restart of the broker it goes on with the same
        outcome_id until the outcome is there, once. Raises CallerError for a decision that is none, an unknown case, or
        who made the other decision about the verdict.
        """
        decision, operator = checked(decision), _name(operator)
        return await self._to_its_end(self._decide(self._case_for(key, operator), decision, operator))

    async def undo(self, key: CaseKey, operator: str) -> Undone:
        """Takes back the decision that this operator made; the case is open again."""
        return await self._to_its_end(self._undo(self._case(key), _name(operator)))

    async def handle_block(self, block: Block, action: BlockAction, operator: str) -> AuditEntry:
        """Records what is done with a block of uninspected parts; the entry that counts, where others did so too."""
        action, operator = BlockAction(action), _name(operator)
        if handling := self.board.handling(block):
            return handling
        return await self._to_its_end(self._handle(block, action, operator))

    # --- how it is done ---------------------------------------------------------------------------------------------

    async def _claim(self, case: Case, operator: str) -> StationClaim | None:
        present = self.board.holder(case.key, now_ms())
        if present and not self._is_mine(present, operator):
            return present
        claim = StationClaim(
            claim_id=present.claim_id if present else uuid4(),
            verdict_id=case.verdict_id,
            plant=case.plant,
            line=case.line,
            station=case.station,
            part_id=case.part_id,
            rework_station=self.rework_station,
            operator=operator,
            review=case.review,
            ttl_ms=self._claim_ttl_ms,
            at=now_ms(),
        )
        winner: StationClaim | None = await self._link.publish(CLAIMS, case, claim)
        return winner

    async def _decide(self, case: Case, decision: Decision, operator: str) -> Decided:
        while True:
            if standing := self.board.decision(case.key):
                return AlreadyDecided(standing)
            if not self.board.is_open(case.key):
                raise CallerError(
                    f"verdict {case.verdict_id} is not open for review {case.review}; choose another case"
                )
            claim = self.board.holder(case.key, now_ms()) or await self._claim(case, operator)
            if claim and not self._is_mine(claim, operator):
                return HeldByOther(claim)
            if self.board.decision(case.key):
                continue  # somebody decided while the claim was on its way
            head = self.board.head(case.key)
            outcome = outcome_of(case, decision, self._sign(operator), head.outcome_id if head else None)
            if await self._record("outcome.decide", case, outcome, head):
                return Saved(outcome)

    async def _undo(self, case: Case, operator: str) -> Undone:
        while standing := self.board.decision(case.key):
            if standing.operator != operator:
                return AlreadyDecided(standing)
            withdrawal = withdrawal_of(standing, self._sign(operator))
            if await self._record("outcome.undo", case, withdrawal, standing):
                return Saved(withdrawal)
        return NothingToUndo()

    async def _record(self, action: str, case: Case, outcome: ReworkOutcome, head: ReworkOutcome | None) -> bool:
        """Writes the audit entry, then the outcome; whether the outcome counts, once it was read back."""
        before, after = (head.to_avro() if head else None), outcome.to_avro()
        await self._audit.record(outcome.operator, action, str(case.verdict_id), before=before, after=after)
        counts: bool = await self._link.publish(OUTCOMES, case, outcome)
        return counts

    async def _handle(self, block: Block, action: BlockAction, operator: str) -> AuditEntry:
        subject = str(block.first.decision_id)
        read_back = self._link.expect(entry_token(action, subject, operator))
        await self._audit.record(operator, action, subject, after=handled_note(block))
        await read_back
        counts = self.board.handling(block)
        assert counts is not None, "it was read back"
        return counts

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs work that must not stop half-way when its caller does."""
        task = asyncio.create_task(work, name="desk changes state")
        self._working.add(task)
        task.add_done_callback(self._worked)
        return await asyncio.shield(task)

    def _worked(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("a change at the desk %s failed: %s", self.rework_station, error)

    def _case(self, key: CaseKey) -> Case:
        if (case := self.board.case(key)) is None:
            raise CallerError(f"there is no case of verdict {key.verdict_id} at {self.rework_station}; choose another")
        return case

    def _case_for(self, key: CaseKey, operator: str) -> Case:
        if not self.board.may_decide(key, operator):
            raise CallerError(
                f"{operator} made the other decision about this verdict; a review is made by somebody else"
            )
        return self._case(key)

    def _is_mine(self, claim: StationClaim, operator: str) -> bool:
        return (claim.operator, claim.rework_station) == (operator, self.rework_station)

    def _sign(self, operator: str) -> Signature:
        return Signature(uuid4(), operator, self.rework_station, now_ms())


def _name(operator: str) -> str:
    if not 0 < len(operator.strip()) <= NAME_MAX:
        raise CallerError(f"an operator needs a name of 1 to {NAME_MAX} characters; came {operator[:NAME_MAX]!r}")
    return writable(operator)
