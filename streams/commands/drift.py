"""`lineside drift`: watch cameras until told to stop; show what is usual of each; teach it anew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from rich.console import Console

from schemas.records import CameraReference
from streams.bus.admin import require_topics
from streams.bus.registry_client import codec_for
from streams.commands.ui import Ui
from streams.downstream.drift.camera import Scope
from streams.downstream.drift.product import Product
from streams.downstream.drift.reading import newest, read_through, told_of
from streams.downstream.drift.service import LOOKED_AT_AGAIN, DriftOptions, DriftService
from streams.downstream.drift.teaching import Lesson, teach
from streams.downstream.drift.watch import Watch
from streams.downstream.drift.window import SIZES
from streams.downstream.rework.link import now_ms
from streams.inspection.recipes import RecipeBook
from streams.monitor import monitored
from streams.registry.book import Book
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.tail import plain, safe
from streams.topics import ALARMS, CAMERA_REFERENCES, MODELS, RECIPES, topic_specs

SHOWN = SIZES[-2]  # newest frames that are held against what is usual


async def run_drift(settings: Settings, options: DriftOptions, on_ready: Callable[[], None]) -> None:
    """Work until SIGTERM or Ctrl-C; ModelError for a model that can't be read, CallerError where topics are wrong."""
    stop = asyncio.Event()
    async with monitored(settings, "drift") as monitor:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        service = DriftService(settings, options)
        monitor.watch(service.work)
        with stop_on_signals(stop):
            await service.run(stop, on_ready)


def show_drift(settings: Settings, as_json: bool) -> None:
    """Of each camera and SKU: its reference, the newest frames against it, and the alarms that stand."""
    watch = asyncio.run(_watched(settings))
    found = [_state(watch, scope, product) for scope, product in sorted(watch.products, key=lambda item: item[0])]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    ui = Ui(Console())
    if not found:
        ui.say("No camera has been seen yet: `lineside gateway` and `lineside worker` make its first frames.")
    for state in found:
        ui.table(safe(f"{state['camera']} · {state['sku']}"), _rows(state))


def teach_drift(settings: Settings, lesson: Lesson, as_json: bool) -> None:
    """Learn from the newest frames, audit, publish, say."""
    made = asyncio.run(teach(settings, codec_for(settings), lesson, now_ms))
    if as_json:
        print(json.dumps([plain(record) for record in made], indent=2))
        return
    ui = Ui(Console())
    for record in made:
        ui.table(safe(f"{record.station}/{record.camera} · {record.sku}: {record.frames} frames"), _usual(record))


async def _watched(settings: Settings) -> Watch:
    """All that lies in the topics, and the newest frames."""
    recipes, book, codec = RecipeBook(), Book(), codec_for(settings)
    watch, looked_up = Watch(recipes), set[str]()
    await read_through(settings, codec, RECIPES, recipes.add)
    await read_through(settings, codec, MODELS, book.take)
    await read_through(settings, codec, CAMERA_REFERENCES, lambda record, _: watch.teach(record))
    await read_through(settings, codec, ALARMS, lambda record, _: watch.stand(record))
    async with aclosing(newest(settings, codec, LOOKED_AT_AGAIN)) as verdicts:
        async for received in verdicts:
            model_id = received.record.model_id or ""
            if model_id not in looked_up:
                looked_up.add(model_id)
                if (told := told_of(book, model_id, settings.model_store_dir)) is not None:
                    watch.know(told)
            watch.remember(received.record, now_ms(), also_over=True)
    return watch


def _state(watch: Watch, scope: Scope, product: Product) -> dict[str, Any]:
    taught = watch.taught(scope)
    figures = {
        name: {
            "usual": [usual.at(share) for share in (0.1, 0.5, 0.9)],
            "now": shift.middle,
            "effect": shift.effect,
            "chance": shift.p,
        }
        for name, (shift, usual) in product.shifts(SHOWN).items()
    }
    return {
        "camera": scope.camera.subject,
        "sku": scope.sku,
        "taught_by": taught and taught.taught_by,
        "taught_at": taught and taught.taught_at.isoformat(),
        "reference_frames": taught.frames if taught else 0,
        "frames": min(SHOWN, len(product.window)),
        "figures": figures,
        "alarms": [
            {"kind": str(a.kind), "since": a.since.isoformat(), "detail": a.detail} for a in watch.standing(scope)
        ],
    }


def _rows(state: dict[str, Any]) -> list[tuple[str, str]]:
    frames = f"the newest {state['frames']} frames, against {state['reference_frames']}"
    who = f" taught by {state['taught_by']}" if state["taught_by"] else " (there is no reference yet)"
    rows = [("frames", safe(frames + who))]
    for name, figure in state["figures"].items():
        low, middle, high = figure["usual"]
        effect = f"effect {figure['effect']:.2f}, chance {figure['chance']:.2g}"
        rows.append((name, f"{figure['now']:.4g}, usual {middle:.4g} ({low:.4g} to {high:.4g}); {effect}"))
    return [
        *rows,
        *((alarm["kind"], safe(f"since {alarm['since'][:16]}: {alarm['detail']}")) for alarm in state["alarms"]),
    ]


def _usual(record: CameraReference) -> list[tuple[str, str]]:
    rows = []
    for figure in record.figures:
        steps = len(figure.quantiles) - 1
        low, middle, high = (figure.quantiles[round(share * steps)] for share in (0.1, 0.5, 0.9))
        rows.append((figure.name, f"{middle:.4g} ({low:.4g} to {high:.4g})"))
    return rows
