"""A network that was trained elsewhere, made an artifact: its weights, and a description of all that they don't say.

Place in the flow: `lineside models import`. Weights are safetensors with torchvision's names, or ONNX; the description
is JSON: class order, preprocessing, thresholds. Golden vectors come along, made where the network was trained: they are
what proves that classes, preprocessing and weights belong together. Everything is untrusted. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import safetensors.numpy
from safetensors import SafetensorError
from torch import Tensor

from models.artifact import Artifact, Golden, ModelClass
from models.artifact_files import GOLDEN, MANIFEST, MAX_BYTES, check_header, check_keys, parse_json, read_bounded
from models.errors import ModelRefusedError
from models.families import family_named
from models.onnx_import import SUFFIX, read_onnx
from models.preprocess import Preprocessing
from models.resnet import TOGETHER
from models.weights import read_tensors
from schemas.records import Precision

_NEEDED = frozenset({"model_id", "arch", "classes", "preprocessing"})
_OPTIONAL: Mapping[str, Any] = {
    "head": "softmax",
    "temperature": 1.0,
    "unsure_band": 0.05,
    "any_defect_threshold": None,
    "tolerance": {"FP32": 1e-3},
    "metrics": {},
}
_PARALLEL = "module."  # what torch's DataParallel puts before every name


def imported(weights: Path, description: Path, golden: Path, at: datetime) -> Artifact:
    """The three files as an artifact that has passed every check but the golden vectors, which an engine runs.

    Raises ModelRefusedError, naming the file and what was expected.
    """
    told = _description(description)
    try:
        return Artifact(
            model_id=told["model_id"],
            arch=told["arch"],
            head=told["head"],
            classes=tuple(
                ModelClass(**check_keys("a class", item, {"name", "role", "threshold"})) for item in told["classes"]
            ),
            preprocessing=Preprocessing.from_json(told["preprocessing"]),
            unsure_band=told["unsure_band"],
            any_defect_threshold=told["any_defect_threshold"],
            temperature=told["temperature"],
            tolerance={Precision(name): limit for name, limit in told["tolerance"].items()},
            weights=_tensors(weights, told["arch"], len(told["classes"])),
            golden=_golden(golden),
            created_at=at,
            metrics={"imported": weights.name} | told["metrics"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelRefusedError(f"{description} doesn't describe a model: {type(error).__name__}: {error}") from error


def _description(file: Path) -> dict[str, Any]:
    parsed = parse_json(file.name, read_bounded(file, MAX_BYTES[MANIFEST]))
    given = set(parsed) & set(_OPTIONAL) if isinstance(parsed, Mapping) else set[str]()
    told = dict(_OPTIONAL) | dict(check_keys(file.name, parsed, _NEEDED | given))
    if isinstance(told["preprocessing"], Mapping):
        told["preprocessing"] = Preprocessing().to_json() | dict(told["preprocessing"])
    return told


def _golden(file: Path) -> Golden:
    data = read_bounded(file, MAX_BYTES[GOLDEN])
    check_header(file.name, data)
    try:
        found = check_keys(file.name, safetensors.numpy.load(data), {"pictures", "scores"})
    except SafetensorError as error:
        raise ModelRefusedError(f"{file} is no safetensors file: {error}") from error
    return Golden(found["pictures"], found["scores"])


def _tensors(file: Path, arch: str, classes: int) -> dict[str, Tensor]:
    """The file's tensors by torchvision's names."""
    if file.suffix.lower() == SUFFIX:
        return read_onnx(file, arch, classes)
    found = read_tensors(file)
    if all(name.startswith(_PARALLEL) for name in found):
        found = {name.removeprefix(_PARALLEL): value for name, value in found.items()}
    return family_named(arch).renamed(found) if TOGETHER not in arch else found
