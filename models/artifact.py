"""A model on disk: safetensors and JSON, nothing executable, verified whole before anything is believed.

    model.json            identity, ordered classes and their roles, preprocessing, thresholds, tolerance, file hashes
    weights.safetensors   the network's tensors
    golden.safetensors    pictures and the scores that every engine must give for them

The bytes that are hashed are the bytes that are parsed. Knows no engine; `engines/` runs the golden pictures.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from models.errors import ModelRefusedError
from models.preprocess import Preprocessing
from models.resnet import expected_tensors
from schemas.records import Precision

FORMAT = 1
MODEL_FILE, WEIGHTS_FILE, GOLDEN_FILE = "model.json", "weights.safetensors", "golden.safetensors"
MAX_BYTES = {MODEL_FILE: 1 << 20, WEIGHTS_FILE: 2 << 30, GOLDEN_FILE: 256 << 20}
MODEL_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CLASS_NAME = re.compile(r"[A-Za-z0-9._ -]{1,64}")

Role = Literal["good", "defect"]
Pictures = np.ndarray[Any, np.dtype[np.uint8]]
Scores = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class ModelClass:
    """One output of the head. A defect's `threshold` is the probability from which a frame is NG."""

    name: str
    role: Role
    threshold: float | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Artifact:
    """A model with everything that decides what it says. `classes` are in the order of the head."""

    model_id: str
    arch: str
    classes: tuple[ModelClass, ...]
    preprocessing: Preprocessing
    weights: Mapping[str, Tensor]
    golden_pictures: Pictures  # uint8 [k, height, width, 3]
    golden_scores: Scores  # float32 [k, classes], by the torch engine in fp32
    tolerance: Mapping[Precision, float]  # largest difference of a score, by precision
    temperature: float = 1.0
    unsure_band: float = 0.0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sha256: str = ""  # of model.json, which holds the hashes of the other files; empty until saved


def save_artifact(artifact: Artifact, directory: Path) -> Artifact:
    """Write an artifact, whole or not at all, in the place of any earlier one; gives it back with its sha256."""
    weights = {name: tensor.contiguous() for name, tensor in artifact.weights.items()}
    golden = {
        "pictures": torch.from_numpy(artifact.golden_pictures.copy()),
        "scores": torch.from_numpy(artifact.golden_scores.copy()),
    }
    files = {WEIGHTS_FILE: safetensors.torch.save(weights), GOLDEN_FILE: safetensors.torch.save(golden)}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files[MODEL_FILE] = (json.dumps(_to_json(artifact, digests), indent=2, allow_nan=False) + "\n").encode()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as temporary:
        whole = Path(temporary) / "model"
        whole.mkdir()
        for name, data in files.items():
            with (whole / name).open("wb") as file:
                file.write(data)
                os.fsync(file.fileno())
        if directory.exists():
            shutil.move(directory, Path(temporary) / "earlier")
        whole.rename(directory)
    return load_artifact(directory)


def load_artifact(directory: Path) -> Artifact:
    """The artifact in a directory. ModelRefusedError names the first check that fails."""
    if not (directory / MODEL_FILE).is_file():
        raise ModelRefusedError(f"{directory} is no model: it holds no {MODEL_FILE}; name a directory that `train` made")
    text = _read(directory, MODEL_FILE)
    try:
        return _parse(directory, text)
    except ModelRefusedError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelRefusedError(f"{directory}/{MODEL_FILE} is no description of a model: {error!r}") from error


def _to_json(artifact: Artifact, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model_id": artifact.model_id,
        "arch": artifact.arch,
        "classes": [{"name": c.name, "role": c.role, "threshold": c.threshold} for c in artifact.classes],
        "preprocessing": artifact.preprocessing.to_json(),
        "temperature": artifact.temperature,
        "unsure_band": artifact.unsure_band,
        "tolerance": {str(precision): limit for precision, limit in artifact.tolerance.items()},
        "metrics": dict(artifact.metrics),
        "created_at": artifact.created_at.isoformat(),
        "files": dict(digests),
    }


def _parse(directory: Path, text: bytes) -> Artifact:
    value = json.loads(text)
    expected = set(_to_json(_EMPTY, {}))
    if set(value) != expected:
        raise ModelRefusedError(f"{directory}/{MODEL_FILE} must have exactly the keys {sorted(expected)}")
    if value["format"] != FORMAT:
        raise ModelRefusedError(f"{directory} has format {value['format']!r}; this program reads format {FORMAT}")
    if set(value["files"]) != {WEIGHTS_FILE, GOLDEN_FILE}:
        raise ModelRefusedError(f"{directory} must list exactly {WEIGHTS_FILE} and {GOLDEN_FILE}")
    weights = _tensors(directory, WEIGHTS_FILE, value["files"])
    golden = _tensors(directory, GOLDEN_FILE, value["files"])
    if set(golden) != {"pictures", "scores"}:
        raise ModelRefusedError(f"{directory}/{GOLDEN_FILE} must hold exactly `pictures` and `scores`")
    artifact = Artifact(
        model_id=value["model_id"],
        arch=value["arch"],
        classes=tuple(ModelClass(**one) for one in value["classes"]),
        preprocessing=Preprocessing.from_json(value["preprocessing"]),
        weights=weights,
        golden_pictures=golden["pictures"].numpy(),
        golden_scores=golden["scores"].numpy(),
        tolerance={Precision(name): float(limit) for name, limit in value["tolerance"].items()},
        temperature=float(value["temperature"]),
        unsure_band=float(value["unsure_band"]),
        metrics=dict(value["metrics"]),
        created_at=datetime.fromisoformat(value["created_at"]),
        sha256=hashlib.sha256(text).hexdigest(),
    )
    check_artifact(artifact)
    return artifact


def _read(directory: Path, name: str) -> bytes:
    path = directory / name
    if path.is_symlink() or not path.is_file():
        raise ModelRefusedError(f"{path} must be a plain file")
    if (size := path.stat().st_size) > MAX_BYTES[name]:
        raise ModelRefusedError(f"{path} has {size} bytes; at most {MAX_BYTES[name]} are read")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelRefusedError(f"{path} can't be read: {error.strerror}") from error


def _tensors(directory: Path, name: str, digests: Mapping[str, str]) -> dict[str, Tensor]:
    data = _read(directory, name)
    if (came := hashlib.sha256(data).hexdigest()) != digests[name]:
        raise ModelRefusedError(f"{directory}/{name} was changed: expected sha256 {digests[name]}, came {came}")
    try:
        return dict(safetensors.torch.load(data))
    except Exception as error:  # safetensors raises a type of its own and more: the file is at fault in any case
        raise ModelRefusedError(f"{directory}/{name} is no safetensors file: {error}") from error


def check_artifact(artifact: Artifact) -> None:
    """Everything that can be known without running the network; ModelRefusedError names what is wrong."""
    _check_identity(artifact)
    _check_numbers(artifact)
    _check_weights(artifact)
    _check_golden(artifact)


def _refuse_unless(good: bool, why: str) -> None:
    if not good:
        raise ModelRefusedError(why)


def _check_identity(artifact: Artifact) -> None:
    _refuse_unless(
        isinstance(artifact.model_id, str) and bool(MODEL_ID.fullmatch(artifact.model_id)),
        f"model id {artifact.model_id!r}: expected letters, digits, `.`, `_` and `-`, 1 to 64 of them",
    )
    who, names = artifact.model_id, [c.name for c in artifact.classes]
    _refuse_unless(len(set(names)) == len(names) >= 2, f"{who}: expected two or more classes that differ; came {names}")
    for one in artifact.classes:
        named = isinstance(one.name, str) and bool(CLASS_NAME.fullmatch(one.name))
        _refuse_unless(named, f"{who}: {one.name!r} is no name of a class")
        _refuse_unless(one.role in get_args(Role), f"{who}: class {one.name} has the unknown role {one.role!r}")
    roles = {c.role for c in artifact.classes}
    _refuse_unless(roles == set(get_args(Role)), f"{who}: a model needs a good and a defect class; came {sorted(roles)}")


def _check_numbers(artifact: Artifact) -> None:
    who = artifact.model_id
    for one in artifact.classes:
        if one.role == "good":
            _refuse_unless(one.threshold is None, f"{who}: the good class {one.name} can't have a threshold")
        else:
            inside = isinstance(one.threshold, int | float) and 0 <= one.threshold <= 1
            _refuse_unless(inside, f"{who}: threshold of {one.name} must lie in 0 to 1; came {one.threshold!r}")
    positive = math.isfinite(artifact.temperature) and artifact.temperature > 0
    _refuse_unless(positive, f"{who}: temperature must be a positive number; came {artifact.temperature}")
    _refuse_unless(0 <= artifact.unsure_band <= 1, f"{who}: unsure_band must lie in 0 to 1; came {artifact.unsure_band}")
    limits = artifact.tolerance.values()
    _refuse_unless(
        Precision.FP32 in artifact.tolerance and all(0 < limit < 1 for limit in limits),
        f"{who}: tolerance needs a limit between 0 and 1 for FP32 at least; came {dict(artifact.tolerance)}",
    )


def _check_weights(artifact: Artifact) -> None:
    who, expected = artifact.model_id, expected_tensors(artifact.arch, len(artifact.classes))
    if missing := sorted(expected.keys() - artifact.weights.keys()):
        raise ModelRefusedError(f"{who}: the weights lack {missing[0]} ({len(missing)} in all)")
    if extra := sorted(artifact.weights.keys() - expected.keys()):
        raise ModelRefusedError(f"{who}: the weights hold {extra[0]}, which no {artifact.arch} has ({len(extra)} in all)")
    for name, tensor in expected.items():
        came = artifact.weights[name]
        same = came.shape == tensor.shape and came.dtype == tensor.dtype
        want = f"{tensor.dtype} {list(tensor.shape)}"
        _refuse_unless(same, f"{who}: {name} must be {want} ({artifact.arch}); came {came.dtype} {list(came.shape)}")
        _refuse_unless(bool(torch.isfinite(came).all()), f"{who}: {name} holds numbers that are not finite")


def _check_golden(artifact: Artifact) -> None:
    who, spec, pictures, scores = (
        artifact.model_id,
        artifact.preprocessing,
        artifact.golden_pictures,
        artifact.golden_scores,
    )
    count = len(pictures)
    shape = (count, spec.height, spec.width, 3)
    good = count > 0 and pictures.shape == shape and pictures.dtype == np.uint8
    _refuse_unless(good, f"{who}: golden pictures must be uint8 {list(shape)}; came {pictures.dtype} {pictures.shape}")
    wanted = (count, len(artifact.classes))
    good = scores.shape == wanted and scores.dtype == np.float32 and bool(np.isfinite(scores).all())
    _refuse_unless(good, f"{who}: golden scores must be finite float32 {list(wanted)}; came {scores.dtype} {scores.shape}")


_EMPTY = Artifact(
    model_id="",
    arch="",
    classes=(),
    preprocessing=Preprocessing(),
    weights={},
    golden_pictures=np.zeros((0, 0, 0, 3), np.uint8),
    golden_scores=np.zeros((0, 0), np.float32),
    tolerance={},
)
