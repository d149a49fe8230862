"""From the words of the command line to a source of pictures. Knows every kind of source; knows nothing of Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from streams.capture.elpv import ElpvSource
from streams.capture.folder import FolderOptions, FolderSource
from streams.capture.naming import CsvLabels, FolderLabels, NamePattern, NoLabels
from streams.capture.source import Camera, Source
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
    labels: str | None = None  # "folders", or a CSV file
    skip_mismatches: bool = False
    synthetic: SyntheticOptions = field(default_factory=SyntheticOptions)


def make_source(request: SourceRequest) -> Source:
    """The source; CallerError where it can't be had."""
    if request.kind is SourceKind.SYNTHETIC:
        return SyntheticSource(request.synthetic)
    if request.kind is SourceKind.ELPV:
        return ElpvSource(request.camera, deadline_ms=request.deadline_ms)
    return folder_source(request)


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
        labels=_labels(request.labels),
    )
    return FolderSource(request.folder, options)


def _labels(text: str | None) -> NoLabels | FolderLabels | CsvLabels:
    if text is None:
        return NoLabels()
    return FolderLabels() if text == "folders" else CsvLabels(Path(text))
