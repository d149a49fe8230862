"""One frame of the past judged again: the same questions as live, less the deadline, and no effect but a verdict.

Pictures that only the archive has are checked against their digest first: what is not kept, gone or damaged is told
apart, and never blamed on the camera. Knows no topic.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from schemas.records import FrameCaptured, Reason, Recipe, VerdictIssued
from streams.errors import FrameRejectedError
from streams.inspection.decide import Provenance, issue, rejected
from streams.inspection.engine_room import EngineRoom
from streams.inspection.inspector import judgement_of
from streams.inspection.model_variants import plainly, variant_of
from streams.inspection.pictures import Pictures
from streams.replay.past import Kept, Past
from streams.replay.recipes_of import ReplayRecipes

NOT_HERE = (Reason.IMAGE_UNAVAILABLE, Reason.PICTURE_NOT_KEPT, Reason.PICTURE_DAMAGED)  # what only the archive lacks


class PastJudge:
    """Judges the frames of one run."""

    def __init__(
        self, run: str, rooms: Mapping[str, EngineRoom], recipes: ReplayRecipes, pictures: Pictures, claims: int
    ) -> None:
        """At most `claims` pictures from the frame store are held at once."""
        self._run = run
        self._rooms = rooms
        self._recipes = recipes
        self._pictures = pictures
        self._claims = asyncio.Semaphore(claims)

    async def verdict(self, past: Past) -> VerdictIssued:
        """The simulated verdict of a frame."""
        received_at = datetime.now(UTC)
        recipe = self._recipe(past)
        provenance = Provenance()
        try:
            if past.frame.image is not None:
                judgement, provenance = await judgement_of(self._rooms, past.frame, recipe, past.frame.image, math.inf)
            else:
                async with self._claims:
                    image = await self._picture(past)
                    judgement, provenance = await judgement_of(self._rooms, past.frame, recipe, image, math.inf)
        except FrameRejectedError as error:
            lacks = past.kept is not None and error.reason in NOT_HERE
            judgement = rejected(Reason(error.reason), error.detail, None if lacks else recipe)
        return issue(
            past.frame,
            judgement,
            past.source,
            recipe=recipe,
            provenance=provenance,
            received_at=received_at,
            decided_at=datetime.now(UTC),
            run=self._run,
        )

    def _recipe(self, past: Past) -> Recipe | None:
        """As it was, and plainly where this run or machine has not what it asks for: the verdict says what judged."""
        recipe = self._recipes.of(past.frame, past.source.timestamp)
        return recipe if recipe is None or str(variant_of(recipe)) in self._rooms else plainly(recipe)

    async def _picture(self, past: Past) -> bytes:
        if past.kept is None:
            return await self._pictures.fetch(past.frame, math.inf)
        return await archived_picture(self._pictures, past.frame, past.kept)


async def archived_picture(pictures: Pictures, frame: FrameCaptured, kept: Kept) -> bytes:
    """A picture that the archive kept; `frame.image_ref` names it.

    FrameRejectedError: PICTURE_NOT_KEPT, PICTURE_DAMAGED, or IMAGE_UNAVAILABLE where the store has it no more.
    """
    if kept.reference is None:
        raise FrameRejectedError(
            Reason.PICTURE_NOT_KEPT, "the frame is archived, its picture was not chosen to be kept"
        )
    data = await pictures.fetch(frame, math.inf)
    if (came := hashlib.sha256(data).hexdigest()) != kept.sha256:
        raise FrameRejectedError(
            Reason.PICTURE_DAMAGED,
            f"{kept.reference} has changed in the frame store: sha256 {came}, kept {kept.sha256}",
        )
    return data
