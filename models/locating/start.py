"""Weights to start a locator's training with: a locator's, torchvision's Mask R-CNN, or a ResNet's for the body alone.

Place in the flow: `lineside locator train --start`. Files are safetensors; a pickle is refused. Knows no training.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from models.artifact import Artifact, load_artifact
from models.errors import ModelRefusedError
from models.locating.artifact import LOCATOR, load_locator_artifact
from models.locating.network import ANCHOR_SIDE, BODIES, expected_tensors
from models.weights import read_tensors

_BODY = "backbone.body."
_HEADS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")  # depend on the classes
_COCO = "roi_heads.box_predictor.cls_score.weight"
_COCO_CLASSES = 91
_EPSILON = 1e-5  # of our frozen BatchNorm; torchvision's COCO weights were made with none
_RENAMED = (  # what torchvision's files say, and what its networks say today
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^rpn\.head\.conv\.(weight|bias)$"), r"rpn.head.conv.0.0.\1"),
)
_MASK_LAYER = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)$")


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Weights by the network's names, some or all of them; `arch` is theirs, `anchor_side` None where they know no
    anchors, `classes` None where they name no defects."""

    weights: Mapping[str, Tensor]
    arch: str
    anchor_side: int | None = None
    classes: tuple[str, ...] | None = None
    sides: tuple[int, int] | None = None


def read_start(start: Path) -> Start:
    """Of a locator's or a classifier's directory, or of a safetensors file. ModelRefusedError for any other."""
    if (start / LOCATOR).is_file():
        known = load_locator_artifact(start)
        return Start(known.weights, known.arch, known.anchor_side, known.classes, known.sides)
    if start.is_dir():
        return of_classifier(load_artifact(start))
    tensors = read_tensors(start)
    if any(name.startswith(_BODY) for name in tensors):
        return Start(_of_torchvision(tensors), _arch_of(tensors, _BODY), ANCHOR_SIDE)
    return _of_body(start.name, tensors, BODIES[_arch_of(tensors, "")])


def of_classifier(artifact: Artifact) -> Start:
    """A classifier's network as the body. ModelRefusedError where no locator has such a one."""
    return _of_body(f"{artifact.model_id} ({artifact.arch})", artifact.weights, artifact.arch)


def fitting(start: Start, arch: str, classes: tuple[str, ...]) -> dict[str, Tensor]:
    """The weights that a network of these classes takes; heads of other classes are left out.

    ModelRefusedError, naming the first that doesn't fit, where they are of another network.
    """
    expected = expected_tensors(arch, len(classes))
    others = start.classes is not None and start.classes != classes
    found: dict[str, Tensor] = {}
    for name, value in start.weights.items():
        is_head = name.startswith(_HEADS)
        if is_head and (others or name not in expected or expected[name].shape != value.shape):
            continue
        if name not in expected or expected[name].shape != value.shape:
            raise ModelRefusedError(f"the weights to start with don't fit a {arch}: {name} is not as expected")
        found[name] = value.to(expected[name].dtype)
    whole_body = {name for name in expected if name.startswith(_BODY)}
    if missing := sorted(whole_body - set(found)):
        raise ModelRefusedError(f"the weights to start with don't fit a {arch}: {missing[0]} is missing")
    return found


def _of_body(of: str, tensors: Mapping[str, Tensor], arch: str) -> Start:
    """A ResNet's weights as the body's."""
    names = {body: name for name, body in BODIES.items()}
    if arch not in names:
        raise ModelRefusedError(f"{of} is no body of a locator; expected one of {', '.join(names)}")
    kept = {
        _BODY + name: value
        for name, value in tensors.items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }
    return Start(kept, names[arch])


def _of_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's weights by the names of today.

    Those of COCO were made without the small number that BatchNorm adds to the variance: it is taken off beforehand.
    """
    found = {}
    of_coco = _COCO in tensors and len(tensors[_COCO]) == _COCO_CLASSES
    for name, value in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        if of_coco and name.startswith(_BODY) and name.endswith("running_var"):
            value = value - _EPSILON
        for pattern, today in _RENAMED:
            name = pattern.sub(today, name)
        name = _MASK_LAYER.sub(lambda m: f"roi_heads.mask_head.{int(m[1]) - 1}.0.{m[2]}", name)
        found[name] = value
    return found


def _arch_of(tensors: Mapping[str, Tensor], before: str) -> str:
    """By whether blocks have three convolutions or two. Deeper bodies are found out when names are compared."""
    deep = f"{before}layer1.0.conv3.weight" in tensors
    return "maskrcnn_resnet50_fpn" if deep else "maskrcnn_resnet18_fpn"
