"""Weights that torchvision publishes for ImageNet-1K: which there are, and how such a file is read.

Place in the flow: `lineside train --start`. torchvision's own table says where a file lies and how its sha256 begins;
no address stands here. Their files are pickles, and a pickle is a program: so this is the one place that has torch read
one, by its reader of plain tensors alone, and only where the sha256 begins as torchvision says (decision 037). Knows no
network and no cache.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.artifact_files import MAX_BYTES, WEIGHTS, read_bounded
from models.errors import ModelRefusedError
from models.families import ARCHITECTURES
from models.quick_torchvision import torchvision
from models.weights import CONVERT, is_pickle, tensors_of

_VERSION = re.compile(r"IMAGENET1K_V(\d+)")  # and not of weights that began with other pictures
_FILE = re.compile(r"[\w.]+-(?P<sha256>[0-9a-f]{8,64})\.pth")


@dataclass(frozen=True, slots=True)
class Published:
    """One file of torchvision's table. `sha256` is how its digest begins, in hexadecimal; `mean` and `std` per channel
    of RGB / 255, as its preprocessing has them.
    """

    name: str
    url: str
    sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


def published(arch: str) -> Published:
    """The newest weights of an architecture; ModelRefusedError where torchvision has none."""
    if found := versions(arch):
        return found[-1]
    known = ", ".join(name for name in ARCHITECTURES if versions(name))
    raise ModelRefusedError(f"torchvision names no ImageNet weights of a {arch}; it does for {known}")


def versions(arch: str) -> list[Published]:
    """All weights of an architecture, the newest last; none where torchvision has none."""
    try:
        table = torchvision.models.get_model_weights(arch)
    except ValueError:
        return []
    found = {int(version[1]): each for each in table if (version := _VERSION.fullmatch(each.name))}
    return [entry for number in sorted(found) if (entry := _entry(found[number]))]


def read_start(file: Path) -> tuple[dict[str, Tensor], str]:
    """All tensors of a safetensors file, or of a .pth that torchvision publishes, and what the file is called.

    ModelRefusedError for any other file, or one beyond 1 GiB.
    """
    data = read_bounded(file, MAX_BYTES[WEIGHTS])
    if not is_pickle(data):
        return tensors_of(file, data), file.name
    known = _known_by(hashlib.sha256(data).hexdigest())
    if known is None:
        raise ModelRefusedError(
            f"{file} is a pickle, which may run programs when it is read, and none of the files that torchvision names "
            f"as its ImageNet weights; {CONVERT}"
        )
    return _unpickled(file, data), known.name


def _entry(weights: Any) -> Published | None:
    """None where torchvision doesn't say how the sha256 begins."""
    file, transforms = _FILE.fullmatch(weights.url.rpartition("/")[2]), weights.transforms()
    if file is None:
        return None
    return Published(str(weights), weights.url, file["sha256"], tuple(transforms.mean), tuple(transforms.std))


def _known_by(sha256: str) -> Published | None:
    every = (weights for arch in ARCHITECTURES for weights in versions(arch))
    return next((weights for weights in every if sha256.startswith(weights.sha256)), None)


def _unpickled(file: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors of a pickle whose sha256 is known. torch's reader here builds tensors and plain containers, and calls
    nothing that a file names.
    """
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever bytes may make it raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelRefusedError(f"{file} holds something other than tensors: {first:.200}") from error
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise ModelRefusedError(f"{file} holds something other than tensors by their names")
    return {name: value.detach() for name, value in found.items()}
