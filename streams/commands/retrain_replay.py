"""A retraining's look at history: frames that the line has seen, judged by the model in force and by the new one.

Place in the flow: one of the steps of `lineside retrain`. Says what came out as JSON, or why there is nothing to say.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from models.artifact import Artifact
from schemas.records import Precision
from streams.commands.compare import truths_of
from streams.commands.sampler import parse_time
from streams.commands.ui import MakeBar, Ui
from streams.errors import CallerError
from streams.inspection.recipes import ANY_SKU, default_recipe
from streams.replay.comparison import compare
from streams.replay.coverage import readable
from streams.replay.decided import Decisions
from streams.replay.prepare import Planned, described, plan
from streams.replay.selection import Selection
from streams.retraining.history import Share, Side, by_role, decisions, judged_again
from streams.retraining.steps import Work
from streams.serving import WorkerOptions, serving_model
from streams.settings import Settings


def replayed(
    settings: Settings, work: Work, models: tuple[Artifact, Artifact], learned: frozenset[str], ui: Ui
) -> dict[str, Any]:
    """The comparison of both on the frames of the work's range, `skipped` with the reason where there are none.

    `models` are the one in force and the new one, `learned` the frames that the new one knows from training.
    """
    try:
        with ui.bars() as make:
            return _compared(settings, work, models, learned, make)
    except CallerError as error:
        return {"skipped": str(error)}


def selection_of(work: Work) -> Selection:
    """The frames of the work's line and SKU in the time that was asked for."""
    scope, asked = work.scope, work.settings
    return Selection(
        since=parse_time("--from", asked["since"]),
        until=parse_time("--to", asked["until"]),
        plant=scope.plant,
        line=scope.line,
        sku=None if scope.sku == ANY_SKU else scope.sku,
    )


def _compared(
    settings: Settings, work: Work, models: tuple[Artifact, Artifact], learned: frozenset[str], make: MakeBar
) -> dict[str, Any]:
    selection = selection_of(work)
    planned = asyncio.run(plan(settings, selection, make("coverage", None)))
    if not readable(planned.frames):
        raise CallerError(f"there is no frame that was inspected in this range ({described(selection)})")
    share, sides = Share.of(planned, work.settings["most_frames"], learned), _sides(settings, work, models)
    base, new = (asyncio.run(_again(settings, selection, planned, share, side, make)) for side in sides)
    truths = asyncio.run(truths_of(settings, planned.frames, by_role(sides[1].model.roles), (base, new), "auto"))
    compared = compare(base, new, truths, intersect=True).to_json()
    return {**compared, "skipped": "", "flipped": [], "range": described(selection), "share": share.share}


async def _again(
    settings: Settings, selection: Selection, planned: Planned, share: Share, side: Side, make: MakeBar
) -> Decisions:
    bar = make(f"replaying {side.name}", round(share.share * readable(planned.frames)))
    said = await judged_again(settings, selection, planned.reach, share, side, bar)
    return decisions(side.name, said, side.model.roles)


def _sides(settings: Settings, work: Work, models: tuple[Artifact, Artifact]) -> tuple[Side, Side]:
    """The model in force by its recipe's limits, and the new one by its own."""
    options = WorkerOptions((), device=work.settings["device"], precision=Precision(work.settings["precision"]))
    base, new = (_side(settings, artifact, options) for artifact in models)
    recipe = replace(base.recipe, thresholds=work.thresholds, unsure_band=work.unsure_band)
    return replace(base, recipe=recipe), new


def _side(settings: Settings, artifact: Artifact, options: WorkerOptions) -> Side:
    model = serving_model(artifact, options, settings.max_batch)
    own = default_recipe(model.model_id, model.thresholds, model.unsure_band, datetime.now(UTC))
    return Side(model.model_id, model, own)
