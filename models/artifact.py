"""A model on disk: safetensors and JSON, nothing executable, and every check that comes before it may judge parts.

Place in the flow: training writes an artifact, workers and replays read it, engines run it. A directory holds
`model.json` (all facts, and the hashes of the others), `weights.safetensors`, `golden.safetensors`; where the model was
quantised `int8.xml` and `int8.bin`, where it knows good parts `novelty.safetensors`. An `Artifact` that exists has
passed every check but the golden vectors, which engines run. This file knows no engine and no event.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
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

from models.artifact_checks import check
from models.artifact_files import (
    GOLDEN,
    INT8_GRAPH,
    INT8_WEIGHTS,
    MANIFEST,
    NOVELTY,
    WEIGHTS,
    check_keys,
    parse_json,
    read,
    read_unchanged,
    write_whole,
)
from models.errors import ModelError, ModelRefusedError
from models.heads import Head
from models.preprocess import Preprocessing
from models.reference import Reference
from schemas.records import Precision

FORMAT = 1
_KEYS = frozenset(
    {"format", "model_id", "arch", "created_at", "classes", "preprocessing", "temperature", "unsure_band"}
    | {"any_defect_threshold"}
    | {"tolerance", "golden_labels", "metrics", "files"}
)
_OPTIONAL = frozenset({"novelty", "head", "reference"})  # absent without a bank, for a softmax, where it is unknown

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
    """Prepared pictures, uint8 [k, h, w, 3], and the probabilities that training saw, float32 [k, classes].

    `novelty`, float32 [k], is there just where the model has a bank of good parts.
    """

    pictures: U8
    scores: F32
    novelty: F32 | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A quantised network as OpenVINO keeps it: uint8 pictures [n, h, w, 3] to logits [n, classes]."""

    xml: bytes
    weights: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """What good parts look like, and how far from it is novel.

    `bank` float32 [m, c]: unit vectors of places of good parts. A picture whose novelty is above `threshold` is one of
    the share `false_alarm` of good parts, at most and in the mean, by `good` pictures that the bank has not seen.
    """

    bank: Tensor
    threshold: float
    false_alarm: float
    good: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Artifact:
    """A model and all that is needed to run it; raises ModelRefusedError, naming the check, for one that can't be.

    The order of `classes` is the head's order and stands nowhere else. `tolerance` is the largest absolute difference
    of a probability from the golden one that an engine of that precision may show, in any bucket and place. `int8` is
    there just where a tolerance for INT8 is. `head`: whether a picture is of one class (softmax), or may show several
    defects (sigmoid), the good class being the first. `reference`: how good parts score; None where no figures tell it,
    as of models from elsewhere. `sha256` is that of model.json, and so of all files; empty unless
    saved.
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
    novelty: Novelty | None = None
    head: Head = "softmax"
    reference: Reference | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("tolerance", "weights", "metrics"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        check(self)

    @property
    def defects(self) -> tuple[bool, ...]:
        """Of each class, whether it is a defect."""
        return tuple(item.role == "defect" for item in self.classes)

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
    files = read_unchanged(directory, manifest["files"])
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
    files = _files(artifact)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    write_whole(directory, {**files, MANIFEST: _manifest_bytes(artifact, hashes)})


def _files(artifact: Artifact) -> dict[str, bytes]:
    """All files but model.json."""
    golden: dict[str, np.ndarray[Any, Any]] = {"pictures": artifact.golden.pictures, "scores": artifact.golden.scores}
    if artifact.golden.novelty is not None:
        golden["novelty"] = artifact.golden.novelty
    files = {
        WEIGHTS: safetensors.torch.save({k: v.contiguous() for k, v in artifact.weights.items()}),
        GOLDEN: safetensors.numpy.save(golden),
    }
    if artifact.int8:
        files |= {INT8_GRAPH: artifact.int8.xml, INT8_WEIGHTS: artifact.int8.weights}
    if artifact.novelty:
        files[NOVELTY] = safetensors.torch.save({"bank": artifact.novelty.bank.contiguous()})
    return files


def _parse_manifest(data: bytes) -> Mapping[str, Any]:
    parsed = parse_json(MANIFEST, data)
    given = _OPTIONAL & set(parsed) if isinstance(parsed, Mapping) else set[str]()
    manifest = check_keys(MANIFEST, parsed, _KEYS | given)
    if manifest["format"] != FORMAT:
        raise ModelRefusedError(f"{MANIFEST} has format {manifest['format']!r}; this program reads format {FORMAT}")
    files = manifest["files"]
    quantised = {INT8_GRAPH, INT8_WEIGHTS} if isinstance(files, Mapping) and INT8_GRAPH in files else set[str]()
    novel = {NOVELTY} if "novelty" in given else set[str]()
    check_keys(f"'files' of {MANIFEST}", files, {WEIGHTS, GOLDEN} | quantised | novel)
    return manifest


def _build(manifest: Mapping[str, Any], files: Mapping[str, bytes], sha256: str) -> Artifact:
    golden = safetensors.numpy.load(files[GOLDEN])
    check_keys(GOLDEN, golden, {"pictures", "scores"} | ({"novelty"} if NOVELTY in files else set()))
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
        novelty=_novelty(manifest["novelty"], files[NOVELTY]) if NOVELTY in files else None,
        head=manifest.get("head", "softmax"),
        reference=Reference.from_json(manifest["reference"]) if "reference" in manifest else None,
        sha256=sha256,
    )


def _novelty(facts: object, data: bytes) -> Novelty:
    given = check_keys(f"'novelty' of {MANIFEST}", facts, {"threshold", "false_alarm", "good"})
    return Novelty(check_keys(NOVELTY, safetensors.torch.load(data), {"bank"})["bank"], **given)


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
    if artifact.novelty:
        kept = artifact.novelty
        manifest["novelty"] = {"threshold": kept.threshold, "false_alarm": kept.false_alarm, "good": kept.good}
    if artifact.head != "softmax":
        manifest["head"] = artifact.head
    if artifact.reference:
        manifest["reference"] = artifact.reference.to_json()
    return (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode()
