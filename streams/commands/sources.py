"""From the words of the command line to a source of pictures. Knows every kind of source; knows nothing of Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from streams.capture.coco import CocoLabels
from streams.capture.elpv import ElpvSource
from streams.capture.folder import FolderOptions, FolderSource
from streams.capture.naming import CsvLabels, FolderLabels, Labels, NamePattern, NoLabels
from streams.capture.source import Camera, Shot, Source
from streams.capture.synthetic import SyntheticOptions, SyntheticSource
from streams.errors import CallerError

DEMO_CAMERA = Camera("demo", "line-1", "station-1", "camera-1")


class SourceKind(StrEnum):
    SYNTHETIC = "synthetic"
    ELPV = "elpv"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """What was asked for. Fields are those of the sources' own options."""

    kind: SourceKind
    frames: int | None = None
    camera: Camera = DEMO_CAMERA
    deadline_ms: int | None = None
    folder: Path | None = None
    watch: bool = False
    journal: Path | None = None
    sku: str = "default"
    views: int = 1
    name_pattern: str | None = None
    labels: str | None = None  # "folders", a CSV file, or a JSON file in COCO's format
    good: str = "good"  # the label of good parts
    skip_mismatches: bool = False
    synthetic: SyntheticOptions = field(default_factory=SyntheticOptions)


def make_source(request: SourceRequest) -> Source:
    """The source; CallerError where it can't be had."""
    if request.kind is SourceKind.SYNTHETIC:
        return SyntheticSource(request.synthetic)
    elpv = request.kind is SourceKind.ELPV
    source: Source = ElpvSource(request.camera, deadline_ms=request.deadline_ms) if elpv else folder_source(request)
    return source if request.frames is None else FirstFrames(source, request.frames)


@dataclass(frozen=True, slots=True)
class FirstFrames:
    """A source that ends after `frames` shots."""

    source: Source
    frames: int

    @property
    def total(self) -> int | None:
        known = self.source.total
        return self.frames if known is None else min(known, self.frames)

    @property
    def can_wait(self) -> bool:
        return self.source.can_wait

    async def __aiter__(self) -> AsyncIterator[Shot]:
        left = self.frames
        async for shot in self.source:
            yield shot
            left -= 1
            if not left:
                return

    def confirmed(self, shot: Shot) -> None:
        self.source.confirmed(shot)


def folder_source(request: SourceRequest) -> FolderSource:
    if request.folder is None:
        raise CallerError("--source folder needs --folder DIR, the folder with the pictures")
    options = FolderOptions(
        camera=request.camera,
        sku=request.sku,
        views=request.views,
        pattern=NamePattern.parse(request.name_pattern) if request.name_pattern else None,
        deadline_ms=request.deadline_ms,
        skip_mismatches=request.skip_mismatches,
        watch=request.watch,
        journal=request.journal,
        labels=_labels(request.labels, request.good),
    )
    return FolderSource(request.folder, options)


def _labels(text: str | None, good: str) -> Labels:
    if text is None:
        return NoLabels()
    if text == "folders":
        return FolderLabels()
    return CocoLabels(Path(text), good) if text.lower().endswith(".json") else CsvLabels(Path(text))
