"""Mask R-CNN (He et al. 2017, ICCV) as torchvision builds it, with what training and looking need around it.

Names of weights are torchvision's. Pictures come in at the network's own size, uint8, so that they are scaled by the
one path of `models/preprocess.py` and not by torchvision's; masks leave as the head gives them, 28 x 28. Knows no
files and no class names; never downloads weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from models.errors import ModelRefusedError
from models.preprocess import Preprocessing, prepare
from models.quick_torchvision import torchvision
from models.resnet import NothingDrawn

U8 = np.ndarray[Any, np.dtype[np.uint8]]
F32 = np.ndarray[Any, np.dtype[np.float32]]
I64 = np.ndarray[Any, np.dtype[np.int64]]

BODIES: Mapping[str, str] = MappingProxyType({"maskrcnn_resnet18_fpn": "resnet18", "maskrcnn_resnet50_fpn": "resnet50"})
"""Architectures by their names, and the ResNet in each."""
LEVELS = 5  # of the pyramid, each with anchors twice as large
STRIDE = 32  # of the coarsest level that is computed; inputs are padded to multiples
ANCHOR_SIDE = 32  # pixels, torchvision's smallest, for inputs of 800 pixels
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision's Mask R-CNN has them
_PROPOSALS: Mapping[str, int] = MappingProxyType(
    {
        "rpn_pre_nms_top_n_train": 600,  # of each level
        "rpn_post_nms_top_n_train": 400,
        "rpn_pre_nms_top_n_test": 500,
        "rpn_post_nms_top_n_test": 250,
        "rpn_batch_size_per_image": 128,
        "box_batch_size_per_image": 64,
    }
)
"""Fewer than torchvision's, made for 80 classes and crowds: a part has a few defects, and a CPU looks."""

Network = Any
"""torchvision's MaskRCNN, which comes without types."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a network found in one picture, the most certain first.

    `boxes` float32 [n, 4] as left, top, right, bottom in the network's pixels; `labels` int64 [n], from 1 on; `scores`
    float32 [n]; `masks` float32 [n, 28, 28], each filling its box.
    """

    boxes: F32
    labels: I64
    scores: F32
    masks: F32


def build(arch: str, classes: int, anchor_side: int, learning_norm: bool = False) -> Network:
    """A network of random weights for so many kinds of defects, in training mode.

    `learning_norm`: BatchNorm that learns from batches, for a start from nothing; else it is frozen. ModelRefusedError
    for an architecture that isn't one of BODIES.
    """
    if arch not in BODIES:
        raise ModelRefusedError(f"unknown architecture {arch!r}; expected one of {', '.join(BODIES)}")
    detection = torchvision.models.detection
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name=BODIES[arch],
        weights=None,
        norm_layer=nn.BatchNorm2d if learning_norm else torchvision.ops.FrozenBatchNorm2d,
        trainable_layers=5,
    )
    anchors = detection.anchor_utils.AnchorGenerator(
        tuple((anchor_side << level,) for level in range(LEVELS)), ((0.5, 1.0, 2.0),) * LEVELS
    )
    network = detection.MaskRCNN(backbone, classes + 1, rpn_anchor_generator=anchors, **_PROPOSALS)
    for part in (network.rpn.head, network.roi_heads.box_predictor, network.roi_heads.mask_predictor):
        part.register_forward_hook(_in_float32)
    return network


@lru_cache(maxsize=8)
def expected_tensors(arch: str, classes: int) -> Mapping[str, Tensor]:
    """Names, shapes and types of a network's weights, on the meta device: nothing is allocated."""
    with torch.device("meta"), NothingDrawn():
        return MappingProxyType(build(arch, classes, ANCHOR_SIDE).state_dict())


def network_of(arch: str, classes: int, anchor_side: int, weights: Mapping[str, Tensor]) -> Network:
    """A network of these weights, in evaluation mode. RuntimeError for weights of another one."""
    with NothingDrawn():
        network = build(arch, classes, anchor_side)
    network.load_state_dict(dict(weights), strict=True)
    return network.eval().requires_grad_(False)


def best_device() -> torch.device:
    """Where networks run: on a GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def half_the_cores() -> Iterator[None]:
    """torch on half of its threads: on two cores, beside other load, a training step of 8 pictures took 27 s on two
    threads, which wait for each other, and 7.5 s on one (torch 2.15)."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def size_of(width: int, height: int, sides: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the input for a picture: its shorter side the first, unless the longer exceeds the second."""
    scale = min(sides[0] / min(width, height), sides[1] / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def scaled(pixels: U8, sides: tuple[int, int]) -> U8:
    """An upright picture, uint8 [H, W, 3], at the network's size, by the one path of preprocessing."""
    width, height = size_of(pixels.shape[1], pixels.shape[0], sides)
    return prepare(pixels, Preprocessing(width=width, height=height))


def batched(pictures: Sequence[Tensor], device: torch.device) -> Any:
    """Pictures uint8 [h, w, 3] of any sizes as one normalised batch, padded to the right and below: an ImageList."""
    height, width = (-(-max(p.shape[side] for p in pictures) // STRIDE) * STRIDE for side in (0, 1))
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (_MEAN, _STD))
    planes = []
    for picture in pictures:
        plane = (picture.to(device).permute(2, 0, 1).float() / 255 - mean) / std
        planes.append(pad(plane, (0, width - plane.shape[2], 0, height - plane.shape[1])))
    together = torch.stack(planes).contiguous(memory_format=torch.channels_last)
    sizes = [(int(p.shape[0]), int(p.shape[1])) for p in pictures]
    return torchvision.models.detection.image_list.ImageList(together, sizes)


@half_the_cores()
@torch.inference_mode()
def look(network: Network, picture: U8, min_score: float, most: int) -> Found:
    """What a network in evaluation mode finds in a picture at its size, uint8 [h, w, 3]; in float32.

    At most `most` places, each of a score of at least `min_score`.
    """
    images = batched([torch.from_numpy(picture)], next(network.parameters()).device)
    features = network.backbone(images.tensors)
    proposals, _ = network.rpn(images, features)
    heads = network.roi_heads
    heads.score_thresh, heads.detections_per_img = float(np.nextafter(np.float32(min_score), np.float32(-1))), most
    (found,), _ = heads(features, proposals, images.image_sizes)
    cpu = {name: value.cpu().numpy() for name, value in found.items()}
    return Found(cpu["boxes"], cpu["labels"], cpu["scores"], cpu["masks"][:, 0])


def _in_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """What a head said in half precision, so that boxes are never reckoned in it: bfloat16 knows no pixel above 256."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    return type(outputs)(_in_float32(module, inputs, output) for output in outputs)
