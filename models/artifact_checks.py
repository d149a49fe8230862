"""What a model must be before it may judge parts: names, numbers, tensors and golden vectors that fit together. Pure.

Place in the flow: every `Artifact` passes them when it is made, wherever it came from. Knows no file and no engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models.artifact_files import check_keys
from models.errors import ModelRefusedError
from models.heads import HEADS, Head
from models.resnet import check_input, expected_tensors, head_tensors, place_channels
from schemas.records import Precision

if TYPE_CHECKING:
    from models.artifact import F32, Artifact, ModelClass

MAX_CLASSES = 1000
MAX_TOLERANCE = 0.2  # a precision that differs by more isn't offered
MAX_BANK = 20_000  # places of good parts
MAX_NOVELTY = 2.0  # of a cosine distance
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def check(artifact: Artifact) -> None:
    """ModelRefusedError, naming the check, for a model that can't be."""
    check_name("model_id", artifact.model_id)
    _check_classes(artifact.classes)
    _check_head(artifact)
    _check_numbers(artifact)
    check_input(artifact.arch, artifact.preprocessing.width, artifact.preprocessing.height)
    _check_weights(artifact)
    _check_golden(artifact)
    _check_novelty(artifact)


def check_name(what: str, value: object) -> None:
    """ModelRefusedError unless it is text that may be part of a path or an event."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ModelRefusedError(f"{what} must be 1 to 64 of A-Z a-z 0-9 . _ -; came {value!r}")


def check_range(what: str, value: object, low: float, high: float) -> None:
    """ModelRefusedError unless it is a number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ModelRefusedError(f"{what} must be a number from {low} to {high}; came {value!r}")


def _check_classes(classes: tuple[ModelClass, ...]) -> None:
    if not 2 <= len(classes) <= MAX_CLASSES or len({c.name for c in classes}) != len(classes):
        raise ModelRefusedError(f"expected 2 to {MAX_CLASSES} classes with different names; came {len(classes)}")
    if {c.role for c in classes} != {"good", "defect"}:
        raise ModelRefusedError("expected at least one class of the role 'good' and one of 'defect', and no other role")
    for item in classes:
        check_name("a class name", item.name)
        if item.role == "defect":
            check_range(f"the threshold of {item.name}", item.threshold, 0.0, 1.0)
        elif item.threshold is not None:
            raise ModelRefusedError(f"the good class {item.name} has a threshold; only defects do")


def _check_head(artifact: Artifact) -> None:
    if artifact.head not in HEADS:
        raise ModelRefusedError(f"unknown head {artifact.head!r:.80}; expected one of {', '.join(HEADS)}")
    if artifact.head == "sigmoid" and artifact.defects != (False,) + (True,) * (len(artifact.classes) - 1):
        raise ModelRefusedError("a sigmoid head takes one good class, the first; all others are defects")


def _check_numbers(artifact: Artifact) -> None:
    check_range("temperature", artifact.temperature, 0.01, 100.0)
    check_range("unsure_band", artifact.unsure_band, 0.0, 1.0)
    if artifact.any_defect_threshold is not None:
        check_range("any_defect_threshold", artifact.any_defect_threshold, 0.0, 1.0)
    if Precision.FP32 not in artifact.tolerance or Precision.UNKNOWN in artifact.tolerance:
        raise ModelRefusedError(f"tolerance must name FP32 and real precisions; came {sorted(artifact.tolerance)}")
    if (Precision.INT8 in artifact.tolerance) != (artifact.int8 is not None):
        raise ModelRefusedError("a tolerance for INT8 and a quantised network come together; one of them is missing")
    for precision, value in artifact.tolerance.items():
        check_range(f"the tolerance of {precision}", value, 0.0, MAX_TOLERANCE)


def _check_weights(artifact: Artifact) -> None:
    classes = len(artifact.classes)
    heads = dict.fromkeys(head_tensors(artifact.arch), f"; {classes} classes are named")
    check_tensors(f"a {artifact.arch}", artifact.weights, expected_tensors(artifact.arch, classes), heads)


def check_tensors(
    of: str,
    weights: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    hints: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """ModelRefusedError unless weights have the names, shapes and types expected and are finite.

    `hints` are what to say more of a weight of another shape, by its name.
    """
    check_keys(f"weights of {of}", dict(weights), set(expected))
    for name, wanted in expected.items():
        came = weights[name]
        if (came.shape, came.dtype) != (wanted.shape, wanted.dtype):
            raise ModelRefusedError(
                f"weight {name}: expected {wanted.dtype} {list(wanted.shape)}, "
                f"came {came.dtype} {list(came.shape)}{hints.get(name, '')}"
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
    if not np.isfinite(scores).all() or not _are_probabilities(scores, artifact.head):
        wanted = "that add up to 1" if artifact.head == "softmax" else "with the good class's that of no defect"
        raise ModelRefusedError(f"golden scores must be probabilities {wanted}")


def _are_probabilities(scores: F32, head: Head) -> bool:
    """Whether scores [k, classes] can be what the head gives."""
    if head == "softmax":
        return np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    none = (1 - scores[:, 1:]).prod(axis=1)
    return bool((scores >= 0).all() and (scores <= 1).all()) and np.allclose(scores[:, 0], none, atol=1e-3)


def _check_novelty(artifact: Artifact) -> None:
    novelty, golden = artifact.novelty, artifact.golden
    if (novelty is None) != (golden.novelty is None):
        raise ModelRefusedError("a bank of good parts and the golden vectors' novelty come together; one is missing")
    if novelty is None or golden.novelty is None:
        return
    channels = place_channels(artifact.arch)
    bank = novelty.bank
    if bank.dtype != torch.float32 or bank.ndim != 2 or bank.shape[1] != channels or not 0 < len(bank) <= MAX_BANK:
        raise ModelRefusedError(
            f"the bank of good parts: expected float32 [1 to {MAX_BANK}, {channels}], "
            f"came {bank.dtype} {list(bank.shape)}"
        )
    if not torch.allclose(bank.norm(dim=1), torch.ones(len(bank)), atol=1e-3):  # so written, a NaN is refused too
        raise ModelRefusedError("the bank of good parts must hold unit vectors")
    check_range("the novelty threshold", novelty.threshold, 0.0, MAX_NOVELTY)
    check_range("the novelty threshold's false-alarm rate", novelty.false_alarm, 0.0, 1.0)
    if type(novelty.good) is not int or novelty.good < 1:
        raise ModelRefusedError(f"the good parts behind the novelty threshold must be counted; came {novelty.good!r}")
    if golden.novelty.dtype != np.float32 or golden.novelty.shape != (len(golden.pictures),):
        raise ModelRefusedError(
            f"golden novelty: expected float32 [{len(golden.pictures)}], "
            f"came {golden.novelty.dtype} {list(golden.novelty.shape)}"
        )
    if not np.isfinite(golden.novelty).all():
        raise ModelRefusedError("golden novelty holds numbers that are not finite")
