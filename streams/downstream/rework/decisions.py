"""What a person decides about a case, what became of it, and the outcome that records it. Pure.

Place in the flow: between the page, which makes a `Decision`, and `desk.py`, which publishes it. Ids and times are
arguments. Knows no topic.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from schemas.records import Disposition, ReworkFinding, ReworkOutcome, StationClaim
from streams.downstream.rework.cases import Case
from streams.errors import CallerError

COMMENT_MAX = 2000  # characters
NAME_MAX = 64  # characters of an operator or a label
FINDINGS = (
    ReworkFinding.CONFIRMED,
    ReworkFinding.FALSE_REJECT,
    ReworkFinding.INCONCLUSIVE,
    ReworkFinding.NOT_FOUND,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operator says about a part. `label` is the defect as the operator names it, None to leave the model's."""

    finding: ReworkFinding
    label: str | None = None
    disposition: Disposition = Disposition.UNKNOWN
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """The outcome was read back from its topic as the one that counts."""

    outcome: ReworkOutcome


@dataclass(frozen=True, slots=True)
class AlreadyDecided:
    """Nothing was changed: this decision, by whom and when it says, stands."""

    outcome: ReworkOutcome


@dataclass(frozen=True, slots=True)
class HeldByOther:
    """Nothing was changed: somebody else has the case open."""

    claim: StationClaim


@dataclass(frozen=True, slots=True)
class NothingToUndo:
    """Nothing was changed: the case is open."""


Decided = Saved | AlreadyDecided | HeldByOther
Undone = Saved | AlreadyDecided | NothingToUndo


class BlockAction(StrEnum):
    """What is done with a block of uninspected parts; the values are actions of the audit log."""

    INSPECT_BY_HAND = "block.inspect-by-hand"
    SEND_BACK = "block.send-back"


@dataclass(frozen=True, slots=True)
class Signature:
    """Who records an outcome, where, when and under which id."""

    outcome_id: UUID
    operator: str
    rework_station: str
    at: datetime


def checked(decision: Decision) -> Decision:
    """The decision as it can be recorded; CallerError where it is none."""
    if decision.finding not in FINDINGS:
        raise CallerError(f"a finding is one of {', '.join(FINDINGS)}; came {decision.finding}")
    if len(decision.comment) > COMMENT_MAX:
        raise CallerError(f"a comment has at most {COMMENT_MAX} characters; came {len(decision.comment)}; shorten it")
    label = writable(decision.label.strip()) if decision.label else None
    if label and len(label) > NAME_MAX:
        raise CallerError(f"a label has at most {NAME_MAX} characters; came {len(label)}")
    return dataclasses.replace(decision, label=label or None, comment=writable(decision.comment))


def writable(text: str) -> str:
    """The text without lone surrogates, which a browser may send and UTF-8 can't hold."""
    return text.encode(errors="replace").decode()


def outcome_of(case: Case, decision: Decision, by: Signature, supersedes: UUID | None) -> ReworkOutcome:
    """The record of a decision. `supersedes` is the withdrawn outcome that it follows, if any.

    A label that is the model's own is no correction and is left out, unless the person decided without seeing it.
    """
    return ReworkOutcome(
        outcome_id=by.outcome_id,
        verdict_id=case.verdict_id,
        frame_id=case.frame_id,
        plant=case.plant,
        line=case.line,
        station=case.station,
        camera=case.camera,
        sku=case.sku,
        part_id=case.part_id,
        pass_no=case.pass_no,
        rework_station=by.rework_station,
        operator=by.operator,
        finding=decision.finding,
        predicted_label=case.label,
        corrected_label=decision.label if case.blind or decision.label != case.label else None,
        disposition=decision.disposition,
        comment=decision.comment,
        decided_at=by.at,
        supersedes=supersedes,
        review=case.review,
        sample_id=case.sample.sample_id if case.sample else None,
        verdict_outcome=case.outcome,
        image_sha256=case.image_sha256,
        model_id=case.model_id,
        recipe_version=case.recipe_version,
        inspected_at=case.inspected_at,
    )


def withdrawal_of(outcome: ReworkOutcome, by: Signature) -> ReworkOutcome:
    """The record that takes a decision back and opens its case again."""
    return dataclasses.replace(
        outcome,
        outcome_id=by.outcome_id,
        operator=by.operator,
        rework_station=by.rework_station,
        decided_at=by.at,
        finding=ReworkFinding.WITHDRAWN,
        corrected_label=None,
        disposition=Disposition.UNKNOWN,
        comment="",
        supersedes=outcome.outcome_id,
    )
