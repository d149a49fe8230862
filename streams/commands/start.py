"""What a training begins with: a model's directory, a file of weights, or torchvision's for ImageNet, fetched once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.artifact import load_artifact
from models.artifact_files import MAX_BYTES, WEIGHTS
from models.published import Published, published, read_start
from streams.commands.ui import MakeBar, Ui, stoppable
from streams.download import DownloadError, Wanted, fetched
from streams.errors import CallerError

IMAGENET = "imagenet"
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class First:
    """What a training begins with: weights, and the classes that they know, in order, where that is known. `name`: what
    they are called, which the model remembers."""

    weights: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    name: str = ""


async def first_of(start: str, arch: str, cache: Path, ui: Ui) -> First:
    """What to begin with: IMAGENET, a model's directory, or a file. The cache keeps what was fetched.

    ModelError where there are no weights to be had, CallerError where they can't be fetched.
    """
    place = await imagenet(published(arch), cache, ui) if start == IMAGENET else Path(start)
    return await asyncio.to_thread(_read, place)


async def imagenet(wanted: Published, cache: Path, ui: Ui) -> Path:
    """torchvision's file in the cache; CallerError, with what to do, where it can't be fetched."""
    file = Wanted(url=wanted.url, sha256=wanted.sha256, most_bytes=MAX_BYTES[WEIGHTS])
    try:
        with ui.bars() as make:
            return await stoppable(lambda go_on: fetched(file, cache, _shown(make, go_on)))
    except DownloadError as error:
        raise CallerError(
            f"{error}. Where there is no network, fetch {wanted.file_name} ({wanted.url}) elsewhere and "
            "give it with --start FILE"
        ) from error


def _read(place: Path) -> First:
    if place.is_dir():
        artifact = load_artifact(place)
        return First(artifact.weights, tuple(item.name for item in artifact.classes), artifact.model_id)
    weights, name = read_start(place)
    return First(weights, name=name)


def _shown(make: MakeBar, go_on: Callable[[], None]) -> Callable[[int, int | None], None]:
    bars: list[Any] = []

    def show(done: int, total: int | None) -> None:
        go_on()
        if not bars:
            bars.append(make("fetching, MB", None))
        bars[0](done // MB, total=None if total is None else -(-total // MB))

    return show
