"""Recipes that ask for a device and a precision, on the real broker with real engines, all on one worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from schemas.records import (
    AlarmKind,
    FrameCaptured,
    Outcome,
    Precision,
    Reason,
    Recipe,
    VerdictIssued,
)
from streams.bus.subscriber import Subscription
from streams.commands.replay import ReplayOptions, start_replay
from streams.replay.selection import Selection
from streams.replay.topics import replay_topic
from streams.serving import WorkerOptions, released_models
from streams.settings import Settings
from tests.broker.running import prepared, publish, running_worker, until_lag_is_zero
from tests.broker.test_swap import LIMITS, PICTURES, all_of
from tests.builders import frame, recipe
from tests.models_fixture import tiny_artifact
from tests.released import in_s, put_in_force, release

STARTED_SO = WorkerOptions(model_dirs=(), device="torch:cpu", precision=Precision.BF16)
FP32, BF16 = ("torch:cpu", Precision.FP32), ("torch:cpu", Precision.BF16)
OPENVINO, INT8 = ("openvino:CPU", Precision.FP32), ("openvino:CPU", Precision.INT8)


def asking(line: str, version: int, seconds: float, engine: tuple[str, Precision]) -> Recipe:
    device, precision = engine
    return recipe(
        line=line, version=version, model_id="m1", thresholds=LIMITS, effective_at=in_s(seconds), device=device,
        precision=precision,
    )  # fmt: skip


def shots(first: int, *lines: str) -> list[FrameCaptured]:
    return [frame(first + n, line=line, image=PICTURES[first % len(PICTURES)]) for n, line in enumerate(lines)]


async def replayed(settings: Settings) -> list[VerdictIssued]:
    assert await start_replay(settings, ReplayOptions(selection=Selection(), run="as-asked", yields=False))
    run: Subscription[VerdictIssued] = Subscription(
        replay_topic("as-asked"), "earliest", settings=settings, follow=False
    )
    return [received.record async for received in run]


def judged(verdicts: list[Any]) -> list[Any]:
    return [(v.line, v.recipe_version, v.outcome, v.reason, v.device, v.precision) for v in verdicts]


async def test_each_line_is_judged_as_its_recipe_asks_through_a_change_and_never_by_another_precision(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    """
    l1   FP32 ─────────── 2: OpenVINO      l3   int8, which the model hasn't ─── 2: left to the worker
    l2   BF16 ───────────────────────
    """
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    await release(settings, tiny_artifact("m1"), tmp_path / "made")
    firsts = [asking("l1", 1, 6, FP32), asking("l2", 1, 6, BF16), asking("l3", 1, 6, INT8)]
    open_again = ("auto", Precision.UNKNOWN)
    await put_in_force(settings, *firsts)
    while in_s(0) <= firsts[-1].effective_at:
        await asyncio.sleep(0.1)
    poured = 0
    async with running_worker(settings, default=None, sources=released_models(settings, STARTED_SO)):
        seconds = [asking("l1", 2, 20, OPENVINO), asking("l3", 2, 20, open_again)]
        await put_in_force(settings, *seconds)
        while in_s(-5) < seconds[-1].effective_at:
            await publish(settings, shots(poured, "l1", "l2", "l3"))
            poured += 3
            await asyncio.sleep(0.2)
        await until_lag_is_zero(settings)
        async with asyncio.timeout(30):
            while not (alarms := await all_of(settings, "alarms")) or alarms[-1].cleared is None:
                await asyncio.sleep(0.2)
    verdicts: list[VerdictIssued] = await all_of(settings, "verdicts")
    assert len({v.frame_id for v in verdicts}) == len(verdicts) == poured
    engines = {("l1", 1): FP32, ("l1", 2): OPENVINO, ("l2", 1): BF16, ("l3", 2): BF16}
    decided = [v for v in verdicts if v.reason is Reason.SCORE]
    refused = [v for v in verdicts if v.reason is not Reason.SCORE]
    assert {(v.line, v.recipe_version, v.outcome, v.reason, v.detail) for v in refused} == {
        ("l3", 1, Outcome.UNSURE, Reason.UNQUALIFIED, "model m1 as INT8 on openvino:CPU is not on this worker")
    }
    assert {((v.line, v.recipe_version), (v.device, v.precision)) for v in decided} == set(engines.items())
    assert {(a.kind, a.subject) for a in alarms} == {(AlarmKind.MODEL_FAILED, "m1 as INT8 on openvino:CPU")}
    assert all("m1 can't be had as INT8, only as FP32, BF16, FP16" in a.detail for a in alarms)

    again = {v.frame_id: v for v in await replayed(settings)}
    stated = [v for v in decided if (v.line, v.recipe_version) != ("l3", 2)]
    assert judged([again[v.frame_id] for v in stated]) == judged(stated)
    assert {again[v.frame_id].reason for v in refused} == {Reason.SCORE}, "judged as it can be, and saying so"
    assert Precision.INT8 not in {v.precision for v in again.values()}
