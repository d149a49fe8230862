"""Proposed models: what is proposed and where each stands, and the one way to say so. The book is pure.

Place in the flow: `lineside retrain` proposes, people approve or reject, the loop's page shows. The newest record of a
proposal is its state, and a decision is final: what comes behind one counts for nothing. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from schemas.records import ModelProposed, ProposalState
from streams.bus.present import present
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.downstream.audit.log import AuditLog
from streams.errors import CallerError
from streams.settings import Settings
from streams.topics import PROPOSALS

LEAST_CHARS = 4  # of a proposal's id, where it is named by its beginning


@dataclass(frozen=True, slots=True)
class Proposal:
    """The first record of a proposal and the newest one that counts, with when the broker had each."""

    first: ModelProposed
    first_at: datetime
    newest: ModelProposed
    newest_at: datetime

    @property
    def is_open(self) -> bool:
        return self.newest.state is ProposalState.PROPOSED


class ProposalBook:
    """Takes in the topic's records in their order."""

    def __init__(self) -> None:
        self._proposals: dict[UUID, Proposal] = {}

    def take(self, record: ModelProposed, at: datetime) -> None:
        known = self._proposals.get(record.proposal_id)
        if known is None:
            self._proposals[record.proposal_id] = Proposal(record, at, record, at)
        elif known.is_open:
            self._proposals[record.proposal_id] = Proposal(known.first, known.first_at, record, at)

    def get(self, proposal_id: UUID) -> Proposal | None:
        return self._proposals.get(proposal_id)

    def all(self) -> list[Proposal]:
        """In the order in which they were proposed."""
        return list(self._proposals.values())

    def named(self, text: str) -> Proposal:
        """The one whose id, or the beginning of it, or whose model this is. CallerError for none, or for several."""
        named = text.strip().lower()
        found = [
            p
            for p in self._proposals.values()
            if p.first.model_id == text.strip()
            or (len(named) >= LEAST_CHARS and str(p.first.proposal_id).startswith(named))
        ]
        if len(found) != 1:
            known = "; ".join(f"{p.first.proposal_id} ({p.first.model_id})" for p in self._proposals.values()) or "none"
            what = "no proposal" if not found else f"{len(found)} proposals, say more of it,"
            raise CallerError(f"there is {what} {text!r:.80}; `lineside retrain list` shows them: {known}")
        return found[0]


async def proposals(settings: Settings) -> ProposalBook:
    """All proposals, as they lie in the topic now."""
    book = ProposalBook()
    async for event in present(settings, PROPOSALS):
        book.take(event.record, event.timestamp)
    return book


async def publish(settings: Settings, record: ModelProposed, before: ModelProposed | None) -> None:
    """The change in the audit log, then the record itself; both are confirmed when it returns."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        audit = AuditLog(publisher, "retrain", lambda: datetime.now(UTC))
        verb = {ProposalState.PROPOSED: "propose", ProposalState.APPROVED: "approve", ProposalState.REJECTED: "reject"}
        await audit.record(
            record.decided_by or record.proposed_by,
            f"retrain.{verb[record.state]}",
            str(record.proposal_id),
            before=None if before is None else {"state": before.state.value},
            after={
                "state": record.state.value,
                "scope": f"{record.plant}/{record.line} SKU {record.sku}",
                "model_id": record.model_id,
                "sha256": record.sha256,
                "base_model_id": record.base_model_id,
                "dataset": record.dataset,
            },
            reason=record.reason,
        )
        key = f"{record.plant}/{record.line}/{record.sku}".encode()
        await (await publisher.send(PROPOSALS, record, key=key, partition=0))
