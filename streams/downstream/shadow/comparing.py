"""What a shadow model says of a frame, beside what was decided. Pure: records and scores in, a comparison out.

Place in the flow: `service.py` asks which verdicts are compared and makes the pair. The shadow judges by its own limits
and by everything else that the recipe says; its verdict is simulated and acts on nothing. Knows no network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime

from schemas.records import FrameCaptured, Recipe, ShadowCompared, VerdictIssued
from streams.inspection.decide import LIVE, Judgement, Provenance, Source, is_collected, issue
from streams.inspection.fallback import is_fallback
from streams.inspection.recipes import RecipeBook

RUN = "shadow:"  # what the run of a shadow's verdict begins with, before the model's id


def is_compared(verdict: VerdictIssued) -> bool:
    """Whether there is something to compare: a live verdict about a picture that was looked at."""
    was_seen = not is_fallback(verdict.reason) and not is_collected(verdict)
    return verdict.run == LIVE and not verdict.simulated and was_seen


def shadowed_by(verdict: VerdictIssued, recipes: RecipeBook) -> Recipe | None:
    """The recipe of a frame, where it names a shadow that did not decide itself."""
    recipe = recipes.of_frame(verdict, verdict.source_timestamp)
    if recipe is None or recipe.shadow_model_id in (None, verdict.model_id):
        return None
    return recipe


def shadow_recipe(recipe: Recipe, limits: Mapping[str, float], unsure_band: float) -> Recipe:
    """The recipe as its shadow judges by it: with the shadow's own limits."""
    assert recipe.shadow_model_id is not None, "it names one"
    return dataclasses.replace(
        recipe, model_id=recipe.shadow_model_id, canary=None, thresholds=dict(limits), unsure_band=unsure_band
    )


def source_of(verdict: VerdictIssued) -> Source:
    """Where the verdict's frame stands."""
    return Source(verdict.source_topic, verdict.source_partition, verdict.source_offset, verdict.source_timestamp)


def compared(
    live: VerdictIssued,
    frame: FrameCaptured,
    said: Judgement,
    recipe: Recipe,
    provenance: Provenance,
    received_at: datetime,
    at: datetime,
) -> ShadowCompared:
    """The pair. `recipe` is the shadow's; `received_at` is when its frame was taken up, by this machine's clock."""
    shadow = issue(
        frame,
        said,
        source_of(live),
        recipe=recipe,
        provenance=provenance,
        received_at=received_at,
        decided_at=at,
        run=RUN + recipe.model_id,
    )
    return ShadowCompared(live=live, shadow=shadow, compared_at=at)
