"""Frames that were not inspected, late or unreadable: how they are known, and what they count as. Pure.

Place in the flow: under `decide.py`; everybody downstream asks here whether an outcome is a model's word. The reason
alone says so: the outcome of such a frame is what its recipe wants of it. It is no defect, whatever the outcome: people
hear of it through its part.
"""

from __future__ import annotations

from schemas.records import Fallback, Mode, Outcome, Reason, Recipe

OUTCOMES = {Fallback.NG: Outcome.NG, Fallback.UNSURE: Outcome.UNSURE}  # else ERROR: not inspected
_OTHERS = (Reason.SCORE, Reason.UNQUALIFIED)  # a model decided, or nobody was to


def is_fallback(reason: Reason) -> bool:
    """Whether a frame was not inspected: late, or unreadable."""
    return reason not in _OTHERS


def is_unreadable(reason: Reason) -> bool:
    """Whether a frame's picture could not be inspected: it is a dead letter beside its verdict."""
    return is_fallback(reason) and reason is not Reason.LATE


def outcome_of(reason: Reason, recipe: Recipe | None) -> Outcome:
    """What such a frame counts as: never OK, and ERROR where nobody was to decide about it."""
    if recipe is None or recipe.mode is Mode.COLLECT:
        return Outcome.ERROR
    action = recipe.late_action if reason is Reason.LATE else recipe.error_action
    return OUTCOMES.get(action, Outcome.ERROR)
