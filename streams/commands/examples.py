"""Labelled pictures of a source's own kind: what a demo's model is trained on, and what of a run it has not seen.

Knows every kind of source; knows nothing of Kafka and of training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath

from models.dataset import Example, Split, split_of
from models.preprocess import EncodedImage
from schemas.records import Encoding, VerdictIssued
from streams.capture.coco import CocoLabels
from streams.capture.elpv import cells
from streams.capture.frames import sha256_of
from streams.capture.naming import Labels
from streams.capture.source import Shot
from streams.capture.synthetic import SyntheticOptions, take, trigger
from streams.commands.sources import SourceKind, SourceRequest, folder_source
from streams.datasets.offers import elpv_offers

TRAINING_SEED = 7_000_000  # far from the seeds of cameras: no training picture is ever inspected
TRAINING_PICTURES = 1_800
TRAINING_SHARES: tuple[tuple[float, Split], ...] = ((0.75, "train"), (0.9, "validation"), (1.0, "test"))


async def training_examples(request: SourceRequest, on_progress: Callable[[int, int], None]) -> list[Example]:
    """Labelled pictures of the same kind as the source's, for a demo's model; progress as (done, total)."""
    if request.kind is SourceKind.ELPV:
        return _elpv_examples()
    if request.kind is SourceKind.FOLDER:
        return [example async for example in _folder_examples(request)]
    return _synthetic_examples(request.synthetic, on_progress)


def held_out(request: SourceRequest) -> Callable[[VerdictIssued], bool] | None:
    """Tells the verdicts about pictures that the demo's model was not trained on; None where that is all of them."""
    if request.kind is SourceKind.ELPV:
        test = {cell.name for cell in cells() if cell.split == "test"}
        return lambda verdict: verdict.part_id in test
    if request.kind is SourceKind.FOLDER:
        return lambda verdict: split_of(verdict.part_id or verdict.image_sha256) == "test"
    return None


def _synthetic_examples(options: SyntheticOptions, on_progress: Callable[[int, int], None]) -> list[Example]:
    """Parts that no camera shows: another seed, more defects, none of them fainter than can be seen."""
    drawn = dataclasses.replace(
        options,
        seed=TRAINING_SEED + options.seed,
        frames=TRAINING_PICTURES,
        defect_share=0.5,
        severity=(0.25, 1.0),
        lines=1,
        stations=1,
        cameras=1,
        views=1,
        distinct=0,
    )
    examples = []
    for number in range(TRAINING_PICTURES):
        part = trigger(drawn, number).part
        split = next(name for share, name in TRAINING_SHARES if number < share * TRAINING_PICTURES)
        image = EncodedImage(data=take(drawn, part), encoding=Encoding.JPEG)
        examples.append(Example(image=image, label=part.label, part_id=f"T{number}", split=split))
        on_progress(number + 1, TRAINING_PICTURES)
    return examples


async def unlabelled(folder: Path) -> dict[str, EncodedImage]:
    """All pictures of a folder by their names, whatever they show."""
    source = folder_source(SourceRequest(kind=SourceKind.FOLDER, folder=folder))
    return {shot.attributes["file"]: _image(shot) async for shot in source}


async def _folder_examples(request: SourceRequest) -> AsyncIterator[Example]:
    """The folder's labelled pictures; a picture without part id counts as a part of its own."""
    source = folder_source(request)
    async for shot in source:
        if shot.label is not None:
            image, also = _image(shot), _beside(source.options.labels, shot, request.good)
            yield Example(image=image, label=shot.label, part_id=shot.part_id or sha256_of(shot.data), also=also)


def _image(shot: Shot) -> EncodedImage:
    digest = sha256_of(shot.data)
    return EncodedImage(shot.data, shot.encoding, shot.width, shot.height, shot.stride, shot.bits, digest)


def _beside(labels: Labels, shot: Shot, good: str) -> tuple[str, ...]:
    """What was drawn on a bad picture beside its own label."""
    if not isinstance(labels, CocoLabels) or shot.label == good:
        return ()
    drawn = {mark.label for mark in labels.boxes(PurePosixPath(shot.attributes["file"]))}
    return tuple(sorted(drawn - {shot.label, good}))


def _elpv_examples() -> list[Example]:
    """The cells as a data set has them: training, validation, and the 656 test cells for the held-out figure."""
    return [
        Example(
            image=EncodedImage(data=offered.data, encoding=Encoding.PNG),
            label=str(offered.label),
            part_id=str(offered.part_id),
            split=offered.split,
            known={"cell": str(offered.sku), "experts' probability": f"{offered.probability:.2f}"},
            probability=offered.probability,
        )
        for offered in elpv_offers()
    ]
