"""Whether a model that is new on a line does badly, by the verdicts alone. Pure: verdicts in, a breach out.

Place in the flow: `service.py` folds the topic `verdicts` through a `Guard` and takes a model back where it says so. A
canary is compared with the model beside it; a model newly in force with the one before it. Compared are the shares of
frames that are rejected, that are unsure, and that could not be judged; looked at after 50, 100, 200, 400 … frames, so
that the same verdicts lead to the same answer whenever they are read. Knows no Kafka and no clock.

The test is Fisher's exact one (1922), one-sided; the level is shared out over all measures and looks (Bonferroni), so
that a model like the one beside it is taken back with a probability of at most ALPHA.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from schemas.records import Outcome, Reason, Recipe, VerdictIssued
from streams.inspection.fallback import is_unreadable
from streams.recipes.history import History, Scope, scope_of

ALPHA = 0.01
FIRST_LOOK = 50
LOOKS = 12
LEAST_RISE = 0.02  # a smaller difference of shares harms nobody so soon
LEAST_FALL = 0.25  # it rejects a quarter of what the other does, or less: does it see anything?
FRESH_FRAMES = 2_000  # so long a model newly in force is new


@dataclass(slots=True)
class Tally:
    """Frames that one model judged."""

    frames: int = 0
    rejected: int = 0
    unsure: int = 0
    unjudged: int = 0

    def add(self, verdict: VerdictIssued) -> None:
        self.frames += 1
        is_judged = not is_unreadable(verdict.reason)
        self.unjudged += not is_judged
        self.rejected += is_judged and verdict.outcome is Outcome.NG
        self.unsure += is_judged and verdict.outcome is Outcome.UNSURE


@dataclass(frozen=True, slots=True)
class Breach:
    """A model that does badly: `measure` of its frames, against that of the other model."""

    scope: Scope
    version: int
    model_id: str
    beside: str
    measure: str
    count: int
    frames: int
    share: float
    beside_share: float
    beside_frames: int

    def __str__(self) -> str:
        return (
            f"{self.model_id}: {self.count} of {self.frames} frames {self.measure} ({100 * self.share:.1f} %), "
            f"{self.beside} {100 * self.beside_share:.1f} % of {self.beside_frames}"
        )


class Guard:
    """Folds verdicts in the order of their log; `history` holds the recipes and may grow."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._tallies: defaultdict[tuple[Scope, int], defaultdict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))

    def take(self, verdict: VerdictIssued) -> Breach | None:
        """The next live verdict; a breach where it is the one at which somebody must look and it looks bad."""
        model_id = verdict.model_id
        if verdict.simulated or model_id is None or verdict.reason in (Reason.LATE, Reason.UNQUALIFIED):
            return None
        recipe = self._history.book.in_force(verdict.plant, verdict.line, verdict.sku, verdict.source_timestamp)
        if recipe is None or recipe.version != verdict.recipe_version:
            return None
        tallies = self._tallies[scope_of(recipe), recipe.version]
        tallies[model_id].add(verdict)
        return self._looked(recipe, model_id) if is_look(tallies[model_id].frames) else None

    def _looked(self, recipe: Recipe, model_id: str) -> Breach | None:
        scope, own = scope_of(recipe), self._tallies[scope_of(recipe), recipe.version]
        if recipe.canary is not None:
            if model_id != recipe.canary.model_id:
                return None
            return breach(scope, recipe.version, (model_id, own[model_id]), (recipe.model_id, own[recipe.model_id]))
        before = newcomer_after(self._history, recipe)
        if before is None or own[model_id].frames > FRESH_FRAMES:
            return None
        other = self._tallies[scope, before.version][before.model_id]
        return breach(scope, recipe.version, (model_id, own[model_id]), (before.model_id, other))


def previous(history: History, recipe: Recipe) -> Recipe | None:
    """What was in force in exactly its scope before it."""
    return max(_earlier(history, recipe), key=lambda r: (r.effective_at, r.version), default=None)


def newcomer_after(history: History, recipe: Recipe) -> Recipe | None:
    """What a recipe's model is compared with: the one before it, where the model was never in force in its scope."""
    was_there = any(earlier.model_id == recipe.model_id for earlier in _earlier(history, recipe))
    return None if was_there else previous(history, recipe)


def _earlier(history: History, recipe: Recipe) -> list[Recipe]:
    taken = [entry.recipe for entry in history.of(scope_of(recipe)) if entry.takes_effect]
    return [r for r in taken if r.version < recipe.version and r.effective_at <= recipe.effective_at]


def is_look(frames: int) -> bool:
    """Whether a model is looked at after so many frames: 50, 100, 200 and so on, LOOKS times."""
    return any(frames == FIRST_LOOK << look for look in range(LOOKS))


def breach(scope: Scope, version: int, new: tuple[str, Tally], other: tuple[str, Tally]) -> Breach | None:
    """What the new model does worse than the other one, if anything; None too where there is too little of the other.

    Fewer rejects are bad only where hardly any are left.
    """
    (model_id, mine), (beside, theirs) = new, other
    if theirs.frames < FIRST_LOOK:
        return None
    for name, more in (("rejected", True), ("unsure", True), ("unjudged", True), ("rejected", False)):
        count, base = getattr(mine, name), getattr(theirs, name)
        share, base_share = count / mine.frames, base / theirs.frames
        is_far = share - base_share >= LEAST_RISE if more else share <= LEAST_FALL * base_share
        if is_far and _p(count, mine.frames, base, theirs.frames, more) < ALPHA / (4 * LOOKS):
            told = name if more else f"only {name}"
            return Breach(
                *(scope, version, model_id, beside, told, count, mine.frames, share, base_share, theirs.frames)
            )
    return None


def _p(count: int, frames: int, base: int, base_frames: int, more: bool) -> float:
    from scipy.stats import fisher_exact  # a second of start-up

    table = [[count, frames - count], [base, base_frames - base]]
    return float(fisher_exact(table, alternative="greater" if more else "less").pvalue)
