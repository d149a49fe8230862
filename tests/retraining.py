"""A line whose loop can be closed in seconds: marks on 32 x 32 pictures, a tiny model, samples and what people say."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid5

import numpy as np
from PIL import Image

from schemas.records import (
    Encoding,
    FrameCaptured,
    Outcome,
    ReworkFinding,
    ReworkOutcome,
    SampleSelected,
    Strategy,
    VerdictIssued,
)
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.capture.frames import sha256_of
from streams.downstream.sampling.samples import sample_id
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import OUTCOMES, SAMPLES
from tests.builders import NAMESPACE, frame
from tests.contracts.samples import OUTCOME, SAMPLE

SIDE = 32
COLOURS = {"scratch": (255, 40, 40), "dent": (40, 255, 40), "crack": (40, 40, 255)}
KNOWN, NEW = ("good", "scratch", "dent"), "crack"


def picture(label: str, number: int) -> bytes:
    """A grey PNG, a coloured square on it unless the part is good; no two numbers show the same pixels."""
    rng = np.random.default_rng([number, sorted(["good", *COLOURS]).index(label)])
    pixels = rng.integers(90, 130, (SIDE, SIDE, 3), dtype=np.uint8)
    if label in COLOURS:
        x, y = rng.integers(4, 16, 2)
        pixels[y : y + 12, x : x + 12] = COLOURS[label]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def labelled_folder(folder: Path, labels: Iterable[str], count: int) -> Path:
    """Pictures in a folder for each label."""
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            (folder / label / f"old-{label}-{number}.png").write_bytes(picture(label, 10_000 + number))
    return folder


def shots(labels: Iterable[str], first: int = 0, sku: str = "A") -> list[FrameCaptured]:
    """Frames of p1/l1, one for each label."""
    made = []
    for number, label in enumerate(labels, first):
        image = picture(label, number)
        about = {"part_id": f"P-{number}", "sku": sku, "label": label, "encoding": Encoding.PNG}
        made.append(frame(number, image=image, width=SIDE, height=SIDE, deadline_ms=None, **about))
    return made


def sampled(of: VerdictIssued, store: FrameStore, strategy: Strategy) -> SampleSelected:
    """The sample of an inspected frame; its picture is in the store."""
    data = picture(of.label or "good", of.trigger_seq)
    return dataclasses.replace(
        SAMPLE,
        sample_id=sample_id(of.verdict_id, strategy),
        strategy=strategy,
        image_ref=store.put(data, sha256_of(data), "png"),
        image_sha256=sha256_of(data),
        encoding=Encoding.PNG,
        width=SIDE,
        height=SIDE,
        verdict_outcome=of.outcome,
        inclusion_probability=0.5,
        inspected_at=of.source_timestamp,
        selected_at=datetime.now(UTC),
        **_identity(of),
    )


def decided(of: VerdictIssued, label: str) -> ReworkOutcome:
    """A person's word about an inspected frame."""
    said = of.findings[0].label if of.findings else None
    return dataclasses.replace(
        OUTCOME,
        outcome_id=uuid5(NAMESPACE, f"{of.verdict_id}/said"),
        finding=ReworkFinding.FALSE_REJECT if label == "good" else ReworkFinding.CONFIRMED,
        predicted_label=said,
        corrected_label=None if label == "good" else label,
        supersedes=None,
        verdict_outcome=of.outcome,
        image_sha256=of.image_sha256,
        inspected_at=of.source_timestamp,
        decided_at=datetime.now(UTC),
        **_identity(of),
    )


def _identity(of: VerdictIssued) -> dict[str, object]:
    names = ("verdict_id", "frame_id", "plant", "line", "station", "camera", "sku", "part_id", "pass_no", "model_id")
    return {**{name: getattr(of, name) for name in names}, "recipe_version": of.recipe_version}


async def teach(settings: Settings, verdicts: Iterable[VerdictIssued]) -> None:
    """Every frame becomes a sample, and somebody says what it is: what its label says."""
    store = FrameStore(settings.frame_store_url)
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for of in verdicts:
            key, at = f"{of.plant}/{of.line}/{of.station}".encode(), of.source_partition
            strategy = Strategy.PASS_AUDIT if of.outcome is Outcome.OK else Strategy.UNCERTAIN
            sample = await publisher.send(SAMPLES, sampled(of, store, strategy), key=key, partition=at)
            said = await publisher.send(OUTCOMES, decided(of, of.label or "good"), key=key, partition=at)
            await asyncio.gather(sample, said)
