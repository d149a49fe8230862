"""`lineside replay`: a range of history judged again by any model, shown while it runs, kept when it is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.devices import AUTO
from schemas.records import Precision
from streams.bus.admin import require_topics
from streams.bus.offsets import end_offsets
from streams.commands.models import read as released
from streams.commands.replay_report import show_coverage, show_done
from streams.commands.replay_workers import Workers
from streams.commands.ui import Ui
from streams.commands.yielding import yield_to_the_line
from streams.errors import CallerError
from streams.inspection.engine_room import ServingModel
from streams.inspection.recipes import models_of
from streams.registry.book import known_release
from streams.registry.shelf import Shelf
from streams.replay.coverage import coverage, readable
from streams.replay.planning import Range
from streams.replay.prepare import (
    Planned,
    also_asked,
    asked_beyond,
    check_recipes,
    described,
    ever_in_force,
    make_topic,
    plan,
    recipe_book,
    recipes_for,
)
from streams.replay.recipes_of import AS_OF, limits_of
from streams.replay.run_folder import RunFolder
from streams.replay.runs import folder_of, verdicts_of
from streams.replay.selection import Selection, check_run, default_run
from streams.replay.service import ReplayWorker, Task, run_topic
from streams.replay.topics import replay_topic
from streams.serving import WorkerOptions, load_artifacts, open_models
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs

SHOWN_S = 0.25
SHARED_SHOWN_S = 2.0  # between two looks at the topic: each costs a connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What `lineside replay` was asked for."""

    selection: Selection
    model_dirs: Sequence[Path] = ()
    recipe: str | dict[str, Any] = "as-of"
    default_recipe: bool = False
    run: str | None = None
    speed: float | None = None
    workers: int = 1
    device: str = AUTO
    precision: Precision = Precision.UNKNOWN
    yields: bool = True
    as_json: bool = False
    dry_run: bool = False


async def start_replay(settings: Settings, options: ReplayOptions) -> bool:
    """Plan a run, or find the same one, and work on it; True where it is done."""
    if options.run is not None:
        check_run(options.run)  # first: a name that must not be is refused before anything is loaded
    ui, planned = Ui(), None
    if options.yields:
        yield_to_the_line()
    worker = WorkerOptions(options.model_dirs, device=options.device, precision=options.precision)
    artifacts = await asyncio.to_thread(load_artifacts, worker)  # a wrong directory is told before anything is reached
    await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
    if not options.model_dirs:
        planned = await _planned(settings, options.selection, ui)
        options = replace(options, model_dirs=await _released_then(settings, options, planned.frames))
        worker = replace(worker, model_dirs=options.model_dirs)
        artifacts = await asyncio.to_thread(load_artifacts, worker)
    run = options.run or default_run(artifacts[0].model_id, datetime.now(UTC))
    folder, asked = folder_of(settings, run), _asked(options, [a.sha256 for a in artifacts])
    if folder.exists:
        if folder.info()["asked"] != asked:
            raise CallerError(f"{run!r} is another replay already; give it another name with --run")
        return await resume(settings, run, options)
    models = await asyncio.to_thread(open_models, settings, worker, artifacts)
    recipes = await recipes_for(settings, options.recipe, options.default_recipe, models)
    planned = planned or await _planned(settings, options.selection, ui)
    judging = check_recipes(recipes, models, planned.frames)
    show_coverage(planned, described(options.selection), options.dry_run and options.as_json)
    if options.dry_run:
        return True
    await make_topic(settings, run, len(planned.reach.highs))
    is_free = (options.device, options.precision) == (AUTO, Precision.UNKNOWN)
    more = {"limits": limits_of(judging), "variants": asked_beyond(recipes, judging) if is_free else []}
    folder.begin(_info(run, options, asked, models, planned) | more, planned.frames)
    ui.say(f"Run {run}; if it ends early, go on with `lineside replay --resume {run}`")
    return await _work(settings, folder, models, options, ui)


async def _released_then(settings: Settings, options: ReplayOptions, frames: pa.Table) -> list[Path]:
    """Where the released models lie by which these frames were judged; CallerError where that can't be told."""
    if options.recipe != AS_OF:
        raise CallerError("with --recipe a replay needs --model DIR, the model that is to judge")
    shelf, book = Shelf(settings.model_store_dir), await released(settings)
    names = [name for recipe in ever_in_force(await recipe_book(settings, None), frames) for name in models_of(recipe)]
    if not names:
        raise CallerError("no recipe was in force for these frames: give the model that is to judge with --model DIR")
    if missing := sorted({name for name in names if book.get(name) is None}):
        raise CallerError(f"{', '.join(missing)} was never released: give its directory, and all others, with --model")
    return [shelf.place(known_release(book, name).first.uri) for name in dict.fromkeys(names)]


async def resume(settings: Settings, run: str, options: ReplayOptions) -> bool:
    """Go on with a run as it was asked for; True where it is done."""
    folder, ui = folder_of(settings, run), Ui()
    info = folder.info()
    if folder.is_done:
        ui.say(f"Run {run} is done: {info['frames']} frames; compare it with `lineside compare live {run}`")
        show_done(folder, options.as_json)
        return True
    if options.yields:
        yield_to_the_line()
    await make_topic(settings, run, len(info["highs"]))
    models = await asyncio.to_thread(_models_of, settings, info)
    return await _work(settings, folder, models, options, ui)


async def join(settings: Settings, run: str, options: ReplayOptions, ready: Callable[[], None], stay: bool) -> None:
    """Work on a run that somebody else began, until it is done, or with `stay` until told to stop."""
    if options.yields:
        yield_to_the_line()
    info = folder_of(settings, run).info()
    models = await asyncio.to_thread(_models_of, settings, info)
    stop = asyncio.Event()
    with stop_on_signals(stop):
        ready()
        also = await asyncio.to_thread(also_asked, settings, info)
        await ReplayWorker(settings, await _task(settings, info, models), models, also).run(stop)
        if stay:
            await stop.wait()


def _models_of(settings: Settings, info: dict[str, Any]) -> list[ServingModel]:
    """The models that a run began with; CallerError where others lie in their place."""
    asked = info["asked"]
    directories = [Path(directory) for directory in info["model_dirs"]]
    worker = WorkerOptions(directories, device=asked["device"], precision=Precision(asked["precision"]))
    artifacts = load_artifacts(worker)
    if [artifact.sha256 for artifact in artifacts] != asked["models"]:
        places = ", ".join(info["model_dirs"])
        raise CallerError(f"the models in {places} are not those that run {info['run']} began with")
    return open_models(settings, worker, artifacts)


async def _task(settings: Settings, info: dict[str, Any], models: Sequence[ServingModel]) -> Task:
    asked = info["asked"]
    recipes = await recipes_for(settings, asked["recipe"], asked["default_recipe"], models)
    lows, highs, begins = ({int(p): at for p, at in info[name].items()} for name in ("lows", "highs", "begins"))
    return Task(
        info["run"], Selection.from_json(asked["selection"]), Range(lows, highs, begins), recipes, asked["speed"]
    )


async def _work(
    settings: Settings, folder: RunFolder, models: Sequence[ServingModel], options: ReplayOptions, ui: Ui
) -> bool:
    info = folder.info()
    task = await _task(settings, info, models)
    also = await asyncio.to_thread(also_asked, settings, info)
    worker, stop = ReplayWorker(settings, task, models, also), asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        helpers = await stack.enter_async_context(Workers(settings, info["run"], options.workers - 1, options.yields))
        shown = asyncio.create_task(_show(settings, info, worker, helpers, ui))
        try:
            done = await worker.run(stop)
        finally:
            shown.cancel()
            await asyncio.wait([shown])
    if not done:
        ui.say(f"Stopped; go on with `lineside replay --resume {info['run']}`")
        return False
    await finish(settings, folder)
    show_done(folder, options.as_json)
    return True


async def finish(settings: Settings, folder: RunFolder) -> None:
    """Keeps a finished run's verdicts in its folder."""
    if not folder.is_done:
        verdicts = await verdicts_of(settings, replay_topic(folder.info()["run"]))
        await asyncio.to_thread(folder.finish, verdicts)


async def _planned(settings: Settings, selection: Selection, ui: Ui) -> Planned:
    with ui.bars() as make:
        bar = make("coverage", None)
        return await plan(settings, selection, lambda read: bar(read, "live verdicts read"))


async def _show(settings: Settings, info: dict[str, Any], worker: ReplayWorker, helpers: Workers, ui: Ui) -> None:
    """The progress of the whole run: what its topic holds."""
    name, total = run_topic(settings, info["run"]), info["frames"] or None
    with ui.bars() as make:
        bar = make("replayed", total)
        while True:
            done = worker.done
            if helpers.count:
                done = sum((await end_offsets(settings.bootstrap, name)).values())
            bar(done, total=max(done, total) if total else None)
            await asyncio.sleep(SHARED_SHOWN_S if helpers.count else SHOWN_S)


def _asked(options: ReplayOptions, models: list[str]) -> dict[str, Any]:
    return {
        "selection": options.selection.to_json(),
        "models": models,
        "recipe": options.recipe,
        "default_recipe": options.default_recipe,
        "speed": options.speed,
        "device": options.device,
        "precision": options.precision.value,
    }


def _info(
    run: str, options: ReplayOptions, asked: dict[str, Any], models: Sequence[ServingModel], planned: Planned
) -> dict[str, Any]:
    reach, roles = planned.reach, models[0].roles
    return {
        "run": run,
        "asked": asked,
        "selection": asked["selection"],
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model_id": ", ".join(model.model_id for model in models),
        "model_dirs": [str(directory.resolve()) for directory in options.model_dirs],
        "classes": {name: "defect" if name in roles.defects else "good" for name in roles.names},
        "engine": {"device": models[0].engine.device, "precision": models[0].engine.precision.value},
        "lows": {str(p): at for p, at in reach.lows.items()},
        "highs": {str(p): at for p, at in reach.highs.items()},
        "begins": {str(p): at for p, at in reach.begins.items()},
        "frames": readable(planned.frames),
        "coverage": [row.to_json() for row in coverage(planned.frames)],
    }
