"""A model on disk: safetensors and JSON, nothing executable, and every check that comes before it may judge parts.

Place in the flow: training writes an artifact, workers and replays read it, engines run it. A directory holds
`model.json` (all facts, and the hashes of the others), `weights.safetensors`, `golden.safetensors` and, where the model
was quantised, `int8.xml` and `int8.bin`. An `Artifact` that exists has passed every check but the golden vectors, which
engines run. This file knows no engine and no event.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import safetensors.numpy
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from models.artifact_files import (
    GOLDEN,
    INT8_GRAPH,
    INT8_WEIGHTS,
    MANIFEST,
    WEIGHTS,
    check_header,
    check_keys,
    parse_json,
    read,
    write,
)
from models.errors import ModelError, ModelRefusedError
from models.preprocess import Preprocessing
from models.resnet import expected_tensors
from schemas.records import Precision

FORMAT = 1
MAX_CLASSES = 1000
MAX_TOLERANCE = 0.2  # a precision that differs by more isn't offered
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEYS = frozenset(
    {"format", "model_id", "arch", "created_at", "classes", "preprocessing", "temperature", "unsure_band"}
    | {"any_defect_threshold"}
    | {"tolerance", "golden_labels", "metrics", "files"}
)

U8 = np.ndarray[Any, np.dtype[np.uint8]]
F32 = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class ModelClass:
    """One output of the head. `threshold`: a defect's probability at or above it is NG; None for good classes."""

    name: str
    role: Literal["good", "defect"]
    threshold: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Prepared pictures, uint8 [k, h, w, 3], and the probabilities that training saw, float32 [k, classes]."""

    pictures: U8
    scores: F32


@dataclass(frozen=True, slots=True)
class Graph:
    """A quantised network as OpenVINO keeps it: uint8 pictures [n, h, w, 3] to logits [n, classes]."""

    xml: bytes
    weights: bytes


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Artifact:
    """A model and all that is needed to run it; raises ModelRefusedError, naming the check, for one that can't be.

    The order of `classes` is the head's order and stands nowhere else. `tolerance` is the largest absolute difference
    of a probability from the golden one that an engine of that precision may show, in any bucket and place. `int8` is
    there just where a tolerance for INT8 is. `sha256` is that of model.json, and so of all files; empty unless saved.
    """

    model_id: str
    arch: str
    classes: tuple[ModelClass, ...]
    preprocessing: Preprocessing
    unsure_band: float
    tolerance: Mapping[Precision, float]
    weights: Mapping[str, Tensor]
    golden: Golden
    created_at: datetime
    any_defect_threshold: float | None = None  # limit for the sum of all defects' probabilities
    temperature: float = 1.0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    int8: Graph | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("tolerance", "weights", "metrics"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        _check_name("model_id", self.model_id)
        _check_classes(self.classes)
        _check_numbers(self)
        _check_weights(self)
        _check_golden(self)

    def golden_labels(self) -> list[str]:
        """The class each golden picture scores highest: ties the head's order to the names."""
        return [self.classes[index].name for index in self.golden.scores.argmax(axis=1)]


def load_artifact(directory: Path) -> Artifact:
    """Read and verify a model's directory.

    Raises ModelError where there is none, ModelRefusedError, naming the check, where it fails one.
    """
    if not (directory / MANIFEST).is_file():
        raise ModelError(f"{directory} holds no model: expected a directory with {MANIFEST}, as `lineside train` makes")
    manifest_bytes = read(directory, MANIFEST)
    manifest = _parse_manifest(manifest_bytes)
    files = {name: read(directory, name) for name in manifest["files"]}
    for name, data in files.items():
        if (found := hashlib.sha256(data).hexdigest()) != manifest["files"][name]:
            raise ModelRefusedError(
                f"{name} was changed: {MANIFEST} says sha256 {manifest['files'][name]}, it has {found}"
            )
        if name in (WEIGHTS, GOLDEN):
            check_header(name, data)
    try:
        artifact = _build(manifest, files, hashlib.sha256(manifest_bytes).hexdigest())
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, SafetensorError) as error:
        raise ModelRefusedError(f"{directory} can't be read as a model: {type(error).__name__}: {error}") from error
    if manifest["golden_labels"] != artifact.golden_labels():
        names = ", ".join(c.name for c in artifact.classes)
        raise ModelRefusedError(
            f"the golden vectors don't fit the order of the classes ({names}): the order was changed"
        )
    return artifact


def save_artifact(artifact: Artifact, directory: Path) -> None:
    """Write a model's directory whole or not at all; an earlier model there is replaced.

    Raises ModelError where the directory holds anything but a model.
    """
    if directory.exists() and (not directory.is_dir() or _holds_other_things(directory)):
        raise ModelError(f"{directory} holds something other than a model; give a new or empty directory")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        files = {
            WEIGHTS: safetensors.torch.save({k: v.contiguous() for k, v in artifact.weights.items()}),
            GOLDEN: safetensors.numpy.save({"pictures": artifact.golden.pictures, "scores": artifact.golden.scores}),
        }
        if artifact.int8:
            files |= {INT8_GRAPH: artifact.int8.xml, INT8_WEIGHTS: artifact.int8.weights}
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        for name, data in {**files, MANIFEST: _manifest_bytes(artifact, hashes)}.items():
            write(new / name, data)
        if directory.exists():
            directory.rename(old)
        new.rename(directory)


def _holds_other_things(directory: Path) -> bool:
    return not (directory / MANIFEST).exists() and any(directory.iterdir())


def _parse_manifest(data: bytes) -> Mapping[str, Any]:
    manifest = check_keys(MANIFEST, parse_json(MANIFEST, data), _KEYS)
    if manifest["format"] != FORMAT:
        raise ModelRefusedError(f"{MANIFEST} has format {manifest['format']!r}; this program reads format {FORMAT}")
    files = manifest["files"]
    quantised = {INT8_GRAPH, INT8_WEIGHTS} if isinstance(files, Mapping) and INT8_GRAPH in files else set()
    check_keys(f"'files' of {MANIFEST}", files, {WEIGHTS, GOLDEN} | quantised)
    return manifest


def _build(manifest: Mapping[str, Any], files: Mapping[str, bytes], sha256: str) -> Artifact:
    golden = safetensors.numpy.load(files[GOLDEN])
    check_keys(GOLDEN, golden, {"pictures", "scores"})
    for item in manifest["classes"]:
        check_keys("a class", item, {"name", "role", "threshold"})
    return Artifact(
        model_id=manifest["model_id"],
        arch=manifest["arch"],
        classes=tuple(ModelClass(**item) for item in manifest["classes"]),
        preprocessing=Preprocessing.from_json(manifest["preprocessing"]),
        unsure_band=manifest["unsure_band"],
        tolerance={Precision(name): value for name, value in manifest["tolerance"].items()},
        weights=safetensors.torch.load(files[WEIGHTS]),
        golden=Golden(**golden),
        created_at=datetime.fromisoformat(manifest["created_at"]),
        any_defect_threshold=manifest["any_defect_threshold"],
        temperature=manifest["temperature"],
        metrics=manifest["metrics"],
        int8=Graph(files[INT8_GRAPH], files[INT8_WEIGHTS]) if INT8_GRAPH in files else None,
        sha256=sha256,
    )


def _manifest_bytes(artifact: Artifact, hashes: Mapping[str, str]) -> bytes:
    manifest = {
        "format": FORMAT,
        "model_id": artifact.model_id,
        "arch": artifact.arch,
        "created_at": artifact.created_at.isoformat(),
        "classes": [dataclasses.asdict(item) for item in artifact.classes],
        "preprocessing": artifact.preprocessing.to_json(),
        "temperature": artifact.temperature,
        "unsure_band": artifact.unsure_band,
        "any_defect_threshold": artifact.any_defect_threshold,
        "tolerance": dict(artifact.tolerance),
        "golden_labels": artifact.golden_labels(),
        "metrics": dict(artifact.metrics),
        "files": dict(hashes),
    }
    return (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode()


def _check_name(what: str, value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ModelRefusedError(f"{what} must be 1 to 64 of A-Z a-z 0-9 . _ -; came {value!r}")


def _check_range(what: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ModelRefusedError(f"{what} must be a number from {low} to {high}; came {value!r}")


def _check_classes(classes: tuple[ModelClass, ...]) -> None:
    if not 2 <= len(classes) <= MAX_CLASSES or len({c.name for c in classes}) != len(classes):
        raise ModelRefusedError(f"expected 2 to {MAX_CLASSES} classes with different names; came {len(classes)}")
    if {c.role for c in classes} != {"good", "defect"}:
        raise ModelRefusedError("expected at least one class of the role 'good' and one of 'defect', and no other role")
    for item in classes:
        _check_name("a class name", item.name)
        if item.role == "defect":
            _check_range(f"the threshold of {item.name}", item.threshold, 0.0, 1.0)
        elif item.threshold is not None:
            raise ModelRefusedError(f"the good class {item.name} has a threshold; only defects do")


def _check_numbers(artifact: Artifact) -> None:
    _check_range("temperature", artifact.temperature, 0.01, 100.0)
    _check_range("unsure_band", artifact.unsure_band, 0.0, 1.0)
    if artifact.any_defect_threshold is not None:
        _check_range("any_defect_threshold", artifact.any_defect_threshold, 0.0, 1.0)
    if Precision.FP32 not in artifact.tolerance or Precision.UNKNOWN in artifact.tolerance:
        raise ModelRefusedError(f"tolerance must name FP32 and real precisions; came {sorted(artifact.tolerance)}")
    if (Precision.INT8 in artifact.tolerance) != (artifact.int8 is not None):
        raise ModelRefusedError("a tolerance for INT8 and a quantised network come together; one of them is missing")
    for precision, value in artifact.tolerance.items():
        _check_range(f"the tolerance of {precision}", value, 0.0, MAX_TOLERANCE)


def _check_weights(artifact: Artifact) -> None:
    expected = expected_tensors(artifact.arch, len(artifact.classes))
    check_keys(f"weights of a {artifact.arch}", dict(artifact.weights), set(expected))
    for name, wanted in expected.items():
        came = artifact.weights[name]
        if (came.shape, came.dtype) != (wanted.shape, wanted.dtype):
            head = f"; {len(artifact.classes)} classes are named" if name.startswith("fc.") else ""
            raise ModelRefusedError(
                f"weight {name}: expected {wanted.dtype} {list(wanted.shape)}, "
                f"came {came.dtype} {list(came.shape)}{head}"
            )
        if not came.isfinite().all():
            raise ModelRefusedError(f"weight {name} holds numbers that are not finite")


def _check_golden(artifact: Artifact) -> None:
    pictures, scores, spec = artifact.golden.pictures, artifact.golden.scores, artifact.preprocessing
    shape = (len(pictures), spec.height, spec.width, 3)
    if not len(pictures) or pictures.dtype != np.uint8 or pictures.shape != shape:
        raise ModelRefusedError(
            f"golden pictures: expected uint8 [k, {spec.height}, {spec.width}, 3], "
            f"came {pictures.dtype} {list(pictures.shape)}"
        )
    if scores.dtype != np.float32 or scores.shape != (len(pictures), len(artifact.classes)):
        raise ModelRefusedError(
            f"golden scores: expected float32 [{len(pictures)}, {len(artifact.classes)}], "
            f"came {scores.dtype} {list(scores.shape)}"
        )
    if not np.isfinite(scores).all() or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        raise ModelRefusedError("golden scores must be probabilities that add up to 1")
