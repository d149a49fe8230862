"""A locator small enough for tests: a ResNet-18's of random weights on 64 x 64 pixels, made in about a second.

Its places mean nothing; they differ from picture to picture, a few in pictures of coarse blocks. The same seed gives
the same.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import torch
from torch import Tensor

from models.locating.artifact import GoldenPicture, LocatorArtifact
from models.locating.network import U8, build, look, network_of

TINY_SIDES = (64, 96)  # pixels
TINY_DEFECTS = ("dent", "scratch")
_ARCH, _ANCHOR_SIDE = "maskrcnn_resnet18_fpn", 8
_SPREAD, _NOTHING = 3.0, 5.0  # of logits over a picture's places, and how much more likely nothing is


def tiny_locator(
    model_id: str = "tiny-locator", classes: tuple[str, ...] = TINY_DEFECTS, seed: int = 1, min_score: float = 0.6
) -> LocatorArtifact:
    """A valid artifact whose places differ from picture to picture."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = build(_ARCH, len(classes), _ANCHOR_SIDE).state_dict()
    picture = np.random.default_rng(seed).integers(0, 256, (*TINY_SIDES, 3), dtype=np.uint8)
    _spread_scores(weights, picture, len(classes))
    found = look(network_of(_ARCH, len(classes), _ANCHOR_SIDE, weights), picture, 0.0, 5)
    return LocatorArtifact(
        model_id=model_id,
        arch=_ARCH,
        classes=classes,
        sides=TINY_SIDES,
        anchor_side=_ANCHOR_SIDE,
        min_score=min_score,
        weights={name: value.detach().clone() for name, value in weights.items()},
        golden=(GoldenPicture(picture, found),),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _spread_scores(weights: dict[str, Tensor], picture: U8, classes: int) -> None:
    """Centre and widen what the head says of a picture's places, so that few of them are something."""
    told: list[Tensor] = []
    network = network_of(_ARCH, classes, _ANCHOR_SIDE, weights)
    network.roi_heads.box_predictor.cls_score.register_forward_hook(lambda module, inputs, output: told.append(output))
    look(network, picture, 0.0, 1)
    scale = _SPREAD / told[0].std(dim=0)
    weights["roi_heads.box_predictor.cls_score.weight"].mul_(scale[:, None])
    bias = weights["roi_heads.box_predictor.cls_score.bias"]
    bias.copy_((bias - told[0].mean(dim=0)) * scale)
    bias[0] += _NOTHING
