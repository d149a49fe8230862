"""An hour's worth of four lines and two SKUs, replayed twice by the model that decided live, and once by another."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid5

import numpy as np
import pytest
import torch
from PIL import Image
from prometheus_client import CollectorRegistry

from models.artifact import Artifact, save_artifact
from models.resnet import Classifier, build_network
from schemas.records import Encoding, FrameCaptured, Precision
from streams.app import InspectionWorker
from streams.commands.compare import CompareOptions, WhatIfOptions, compare_runs, what_if
from streams.commands.replay import ReplayOptions, start_replay
from streams.inspection.recipes import default_recipe
from streams.replay.runs import open_run
from streams.replay.selection import Selection
from streams.serving import WorkerOptions, serving_model
from streams.settings import Settings
from tests.broker.running import prepared, publish, until_lag_is_zero
from tests.builders import LONG_AGO, NAMESPACE, frame
from tests.models_fixture import TINY_CLASSES, TINY_SIDE, tiny_artifact, tiny_pictures
from tests.sizes import size

FRAMES = int(os.environ.get("LINESIDE_TEST_HOUR_FRAMES", size("800", "4000")))  # 20,000: five minutes on two cores
DISTINCT = 400
LABELS = ("good", "scratch", "dent")
DECISION = ("source_partition", "source_offset", "outcome", "reason", "findings", "scores", "model_sha256")


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def captured(number: int, pictures: Sequence[bytes]) -> FrameCaptured:
    image = pictures[number % DISTINCT]
    return dataclasses.replace(
        frame(number),
        frame_id=uuid5(NAMESPACE, f"hour {number}"),
        line=f"line-{number % 4}",
        sku=f"sku-{number // 4 % 2}",
        part_id=f"P-{number:06}",
        captured_at=LONG_AGO + timedelta(seconds=number * 3600 / FRAMES),
        label=LABELS[number % DISTINCT % 3],
        encoding=Encoding.PNG,
        width=TINY_SIDE,
        height=TINY_SIDE,
        image=image,
        image_sha256=hashlib.sha256(image).hexdigest(),
    )


async def inspected_live(settings: Settings, artifact: Artifact, frames: Sequence[FrameCaptured]) -> None:
    model = serving_model(artifact, WorkerOptions([], precision=Precision.FP32), settings.max_batch)
    recipe = default_recipe(model.model_id, model.thresholds, model.unsure_band, LONG_AGO)
    worker = InspectionWorker(settings, [model], recipe, CollectorRegistry())
    await publish(settings, frames)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(worker.run(stop, ready.set))
    await asyncio.wait_for(ready.wait(), 60)
    await until_lag_is_zero(settings, 240)
    stop.set()
    await task


def evaluated(artifact: Artifact, pixels: np.ndarray[Any, Any]) -> list[str]:
    """What a model decides about pictures, by code of its own: torch, the network, and the limits spelled out."""
    network = build_network(artifact.arch, len(artifact.classes))
    network.load_state_dict(dict(artifact.weights))
    spec = artifact.preprocessing
    with torch.inference_mode():
        scores = Classifier(network, spec.mean, spec.std, artifact.temperature).eval()(torch.from_numpy(pixels)).numpy()
    found = []
    for row in scores.astype(float):
        worst = max(row[i] - (c.threshold or 0) for i, c in enumerate(artifact.classes) if c.role == "defect")
        found.append("NG" if worst >= 0 else "UNSURE" if worst >= -artifact.unsure_band else "OK")
    return found


def exact_p(b: int, c: int) -> float:
    n, k = b + c, min(b, c)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)


@pytest.mark.timeout(900)
async def test_an_hour_replayed_is_as_it_was_live_and_another_model_is_compared_as_directly_evaluated(
    bootstrap: str, topic_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    pixels = tiny_pictures(DISTINCT, 7)
    pictures = [png(picture) for picture in pixels]
    artifacts = {name: tiny_artifact(name, TINY_CLASSES, seed) for name, seed in (("m0", 0), ("m1", 1))}
    for name, artifact in artifacts.items():
        save_artifact(artifact, tmp_path / name)
    live_artifact = dataclasses.replace(artifacts["m0"])
    await inspected_live(settings, live_artifact, [captured(n, pictures) for n in range(FRAMES)])
    for run, model, workers in (("same-1", "m0", 1), ("same-2", "m0", 1), ("other", "m1", 1)):
        options = ReplayOptions(
            selection=Selection(),
            model_dirs=[tmp_path / model],
            recipe="model",
            run=run,
            workers=workers,
            precision=Precision.FP32,
            yields=False,
        )
        assert await start_replay(settings, options)
    first = open_run("same-1", settings)
    live = open_run("live", settings, like=first)
    tables = {run.id: run.to_arrow() for run in (first, live, open_run("same-2", settings))}
    rows = {name: table.select(DECISION[:-1]).to_pylist() for name, table in tables.items()}
    assert len(rows["live"]) == FRAMES
    assert rows["same-1"] == rows["live"] == rows["same-2"]
    assert {(row["line"], row["sku"]) for row in first.frames().to_pylist()} == {
        (f"line-{line}", f"sku-{sku}") for line in range(4) for sku in range(2)
    }
    capsys.readouterr()
    await asyncio.to_thread(
        compare_runs, settings, CompareOptions(a="live", b="other", as_json=True, html=tmp_path / "report.html")
    )
    check_comparison(json.loads(capsys.readouterr().out), {n: evaluated(a, pixels) for n, a in artifacts.items()})
    page = (tmp_path / "report.html").read_bytes()
    await asyncio.to_thread(compare_runs, settings, CompareOptions(a="live", b="other", html=tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_bytes() == page
    await asyncio.to_thread(what_if, settings, WhatIfOptions(run="other", max_escape=0.05, as_json=True))
    check_whatif(json.loads(capsys.readouterr().out), evaluated(artifacts["m1"], pixels))


def check_comparison(compared: dict[str, Any], decided: dict[str, list[str]]) -> None:
    """Every figure by counting over all frames once more."""
    a, b = decided["m0"], decided["m1"]
    all_pairs = [(a[n % DISTINCT], b[n % DISTINCT], LABELS[n % DISTINCT % 3], n % 4) for n in range(FRAMES)]
    assert compared["matrix"] == {f"{x}>{y}": n for (x, y), n in Counter((x, y) for x, y, *_ in all_pairs).items()}
    only_a = sum(x == "OK" != y for x, y, *_ in all_pairs)
    only_b = sum(y == "OK" != x for x, y, *_ in all_pairs)
    assert only_a > 0 < only_b
    whole = compared["whole"]
    assert (whole["pairs"], whole["passes_only_a"], whole["passes_only_b"]) == (FRAMES, only_a, only_b)
    assert whole["p"] == pytest.approx(exact_p(only_a, only_b), rel=1e-6, abs=1e-300)
    for side, outcomes in (("rates_a", [x for x, *_ in all_pairs]), ("rates_b", [y for _, y, *_ in all_pairs])):
        bad = [o for o, (*_, label, _) in zip(outcomes, all_pairs, strict=True) if label != "good"]
        good = [o for o, (*_, label, _) in zip(outcomes, all_pairs, strict=True) if label == "good"]
        assert compared[side]["escape"]["value"] == pytest.approx(bad.count("OK") / len(bad))
        assert compared[side]["overkill"]["value"] == pytest.approx(good.count("NG") / len(good))
    by_line = {g["value"]: g for g in compared["groups"] if g["group"] == "line"}
    for line in range(4):
        here = [(x, y) for x, y, _, at in all_pairs if at == line]
        group = by_line[f"p1/line-{line}"]
        assert group["pairs"] == len(here)
        assert group["passes_only_b"] == sum(y == "OK" != x for x, y in here)


def check_whatif(answer: dict[str, Any], decided: list[str]) -> None:
    counts = Counter(decided[n % DISTINCT] for n in range(FRAMES))
    at = answer["at"]
    assert (at["passed"], at["unsure"], at["rejected"]) == (counts["OK"], counts["UNSURE"], counts["NG"])
    assert set(answer["curves"]) == {"scratch", "dent"}
    assert answer["recipe"]["model_id"] == "m1"
