"""A locator on disk: safetensors and JSON, nothing executable, and every check that comes before it may look.

Place in the flow: training writes one, `models/locator.py` opens it. A directory holds `locator.json` (all facts, and
the hashes of the others), `weights.safetensors`, `golden.safetensors`. A `LocatorArtifact` that exists has passed every
check but the golden pictures, which a network looks at. The helpers are those of a classifier's artifact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from models.artifact_checks import check_name, check_range, check_tensors
from models.artifact_files import (
    GOLDEN,
    MANIFEST,
    MAX_BYTES,
    WEIGHTS,
    check_keys,
    parse_json,
    read_bounded,
    read_unchanged,
    write_whole,
)
from models.errors import ModelError, ModelRefusedError
from models.locating.network import BODIES, Found, expected_tensors, size_of
from models.preprocess import MAX_SIDE

LOCATOR = "locator.json"
FORMAT = 1
MAX_CLASSES = 200
MIN_SIDE = 32  # pixels of an input
MAX_GOLDEN = 4  # pictures
MASK_SIDE = 28
_ANCHORS = (2, 128)  # pixels, of the smallest
_PARTS = ("weight", "bias")
_KEYS = frozenset(
    {"format", "model_id", "arch", "created_at", "classes", "sides", "anchor_side", "min_score", "tolerance"}
    | {"metrics", "files"}
)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from a golden place another machine's may lie: score and mask of 0 to 1 (a mask in the mean), box in
    pixels of the network's input."""

    score: float = 0.01
    pixels: float = 1.0
    mask: float = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class GoldenPicture:
    """A picture at the network's size, uint8 [h, w, 3], and the surest places that training saw in it, whatever their
    score."""

    picture: np.ndarray[Any, np.dtype[np.uint8]]
    found: Found


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LocatorArtifact:
    """A locator and all that is needed to run it; raises ModelRefusedError, naming the check, for one that can't be.

    `classes` are the labels of defects, by the network's number from 1 on. `sides`: the input's shorter side, unless
    its longer one would exceed the second, in pixels. `anchor_side`: of the smallest anchor, in the input's pixels.
    `sha256` is that of locator.json, and so of all files; empty unless saved.
    """

    model_id: str
    arch: str
    classes: tuple[str, ...]
    sides: tuple[int, int]
    anchor_side: int
    min_score: float
    weights: Mapping[str, Tensor]
    golden: tuple[GoldenPicture, ...]
    created_at: datetime
    tolerance: Tolerance = field(default_factory=Tolerance)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("weights", "metrics"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        _check(self)


def load_locator_artifact(directory: Path) -> LocatorArtifact:
    """Read and verify a locator's directory; golden pictures are not looked at.

    Raises ModelError where there is none, ModelRefusedError, naming the check, where it fails one.
    """
    if not (directory / LOCATOR).is_file():
        what = "a classifier, not a locator" if (directory / MANIFEST).is_file() else "no locator"
        raise ModelError(
            f"{directory} holds {what}: expected a directory with {LOCATOR}, as `lineside locator train` makes"
        )
    data = read_bounded(directory / LOCATOR, MAX_BYTES[MANIFEST])
    manifest = check_keys(LOCATOR, parse_json(LOCATOR, data), _KEYS)
    if manifest["format"] != FORMAT:
        raise ModelRefusedError(f"{LOCATOR} has format {manifest['format']!r}; this program reads format {FORMAT}")
    hashes = check_keys(f"'files' of {LOCATOR}", manifest["files"], {WEIGHTS, GOLDEN})
    files = read_unchanged(directory, hashes, LOCATOR)
    try:
        return _build(manifest, files, hashlib.sha256(data).hexdigest())
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, SafetensorError) as error:
        raise ModelRefusedError(f"{directory} can't be read as a locator: {type(error).__name__}: {error}") from error


def save_locator_artifact(artifact: LocatorArtifact, directory: Path) -> None:
    """Write a locator's directory whole or not at all; an earlier locator there is replaced.

    Raises ModelError where the directory holds anything but a locator.
    """
    files = {
        WEIGHTS: safetensors.torch.save({name: value.contiguous() for name, value in artifact.weights.items()}),
        GOLDEN: safetensors.numpy.save(_golden_tensors(artifact.golden)),
    }
    manifest = {
        "format": FORMAT,
        "model_id": artifact.model_id,
        "arch": artifact.arch,
        "created_at": artifact.created_at.isoformat(),
        "classes": list(artifact.classes),
        "sides": list(artifact.sides),
        "anchor_side": artifact.anchor_side,
        "min_score": artifact.min_score,
        "tolerance": asdict(artifact.tolerance),
        "metrics": dict(artifact.metrics),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    write_whole(directory, {**files, LOCATOR: text.encode()}, LOCATOR)


def _golden_tensors(golden: tuple[GoldenPicture, ...]) -> dict[str, np.ndarray[Any, Any]]:
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for number, its in enumerate(golden):
        tensors[f"{number}.picture"] = np.ascontiguousarray(its.picture)
        for part in fields(Found):
            tensors[f"{number}.{part.name}"] = np.ascontiguousarray(getattr(its.found, part.name))
    return tensors


def _build(manifest: Mapping[str, Any], files: Mapping[str, bytes], sha256: str) -> LocatorArtifact:
    golden = safetensors.numpy.load(files[GOLDEN])
    parts = [part.name for part in fields(Found)]
    count = len(golden) // (1 + len(parts))
    check_keys(GOLDEN, golden, {f"{number}.{name}" for number in range(count) for name in ("picture", *parts)})
    if not isinstance(manifest["classes"], list) or not isinstance(manifest["sides"], list):
        raise ModelRefusedError(f"classes and sides of {LOCATOR} must be lists")
    return LocatorArtifact(
        model_id=manifest["model_id"],
        arch=manifest["arch"],
        classes=tuple(manifest["classes"]),
        sides=tuple(manifest["sides"]),
        anchor_side=manifest["anchor_side"],
        min_score=manifest["min_score"],
        weights=safetensors.torch.load(files[WEIGHTS]),
        golden=tuple(
            GoldenPicture(golden[f"{n}.picture"], Found(**{name: golden[f"{n}.{name}"] for name in parts}))
            for n in range(count)
        ),
        created_at=datetime.fromisoformat(manifest["created_at"]),
        tolerance=Tolerance(**check_keys("tolerance", manifest["tolerance"], {f.name for f in fields(Tolerance)})),
        metrics=manifest["metrics"],
        sha256=sha256,
    )


def _check(artifact: LocatorArtifact) -> None:
    check_name("model_id", artifact.model_id)
    if artifact.arch not in BODIES:
        raise ModelRefusedError(f"unknown architecture {artifact.arch!r:.80}; expected one of {', '.join(BODIES)}")
    for name in artifact.classes:
        check_name("a class name", name)
    if not 1 <= len(artifact.classes) <= MAX_CLASSES or len(set(artifact.classes)) != len(artifact.classes):
        raise ModelRefusedError(
            f"expected 1 to {MAX_CLASSES} kinds of defects with different names; came {len(artifact.classes)}"
        )
    _check_numbers(artifact)
    classes = len(artifact.classes)
    hints = {f"roi_heads.box_predictor.cls_score.{part}": f"; {classes} classes are named" for part in _PARTS}
    check_tensors(f"a {artifact.arch}", artifact.weights, expected_tensors(artifact.arch, classes), hints)
    if not 1 <= len(artifact.golden) <= MAX_GOLDEN:
        raise ModelRefusedError(f"expected 1 to {MAX_GOLDEN} golden pictures; came {len(artifact.golden)}")
    for number, golden in enumerate(artifact.golden):
        _check_golden(number, golden, artifact)


def _check_numbers(artifact: LocatorArtifact) -> None:
    sides = artifact.sides
    if len(sides) != 2 or any(type(side) is not int for side in (*sides, artifact.anchor_side)):
        raise ModelRefusedError(f"sides and anchor_side must be whole numbers; came {sides!r:.80}")
    if not MIN_SIDE <= sides[0] <= sides[1] <= MAX_SIDE:
        raise ModelRefusedError(f"sides must rise from at least {MIN_SIDE} to at most {MAX_SIDE}; came {sides!r:.80}")
    check_range("anchor_side", artifact.anchor_side, *_ANCHORS)
    check_range("min_score", artifact.min_score, 0.0, 1.0)
    check_range("the tolerance of scores", artifact.tolerance.score, 0.0, 0.1)
    check_range("the tolerance of boxes in pixels", artifact.tolerance.pixels, 0.0, 8.0)
    check_range("the tolerance of masks", artifact.tolerance.mask, 0.0, 0.1)


def _check_golden(number: int, golden: GoldenPicture, artifact: LocatorArtifact) -> None:
    picture, found = golden.picture, golden.found
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ModelRefusedError(
            f"golden picture {number}: expected uint8 [h, w, 3], came {picture.dtype} {list(picture.shape)}"
        )
    height, width = picture.shape[:2]
    if size_of(width, height, artifact.sides) != (width, height):
        raise ModelRefusedError(
            f"golden picture {number} has {width}x{height}, which sides {artifact.sides} don't give"
        )
    n = len(found.scores)
    expected = {"boxes": (n, 4), "labels": (n,), "scores": (n,), "masks": (n, MASK_SIDE, MASK_SIDE)}
    for name, shape in expected.items():
        came, kind = getattr(found, name), np.int64 if name == "labels" else np.float32
        if came.shape != shape or came.dtype != kind or not np.isfinite(came).all():
            raise ModelRefusedError(
                f"golden {name} {number}: expected finite {np.dtype(kind)} {list(shape)}, "
                f"came {came.dtype} {list(came.shape)}"
            )
    if not n or found.labels.min() < 1 or found.labels.max() > len(artifact.classes):
        raise ModelRefusedError(f"golden labels {number} must be some of 1 to {len(artifact.classes)}")
