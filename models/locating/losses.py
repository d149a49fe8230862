"""What a Mask R-CNN's training minimises (He et al. 2017; Ren et al. 2015), by torchvision's parts.

Two things differ from torchvision's own: a box without an outline teaches no mask, and few masks a picture are looked
at, for they are most of a step's work. Knows no optimiser and no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.locating.network import Network, batched
from models.quick_torchvision import torchvision

MASKS_A_PICTURE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """The defects of one picture at the network's size [h, w].

    `boxes` float32 [n, 4] as left, top, right, bottom; `labels` int64 [n], from 1 on; `masks` uint8 [n, h, w] of ones;
    `outlined` bool [n]: whose mask is known.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    outlined: Tensor

    def to(self, device: torch.device) -> Marks:
        return Marks(*(part.to(device) for part in (self.boxes, self.labels, self.masks, self.outlined)))


def losses(network: Network, pictures: Sequence[Tensor], marks: Sequence[Marks]) -> dict[str, Tensor]:
    """The five losses by name, scalars, of pictures uint8 [h, w, 3]; `network` is in training mode.

    Draws from torch's random numbers which proposals teach. The mask's is left out where no mask is known.
    """
    device = next(network.parameters()).device
    images, known = batched(pictures, device), [its.to(device) for its in marks]
    targets = [{"boxes": m.boxes, "labels": m.labels, "masks": m.masks} for m in known]
    features = {name: value.float() for name, value in network.backbone(images.tensors).items()}
    proposals, found = network.rpn(images, features, targets)
    heads = network.roi_heads
    proposals, matched, labels, wanted = heads.select_training_samples(proposals, targets)
    pooled = heads.box_roi_pool(features, proposals, images.image_sizes)
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    of_class, of_box = torchvision.models.detection.roi_heads.fastrcnn_loss(logits, deltas, labels, wanted)
    told = {**found, "class": of_class, "box": of_box}
    rows = [_with_masks(of, to, its) for of, to, its in zip(labels, matched, known, strict=True)]
    if any(len(chosen) for chosen in rows):
        told["mask"] = _mask_loss(heads, features, images.image_sizes, known, rows, proposals, matched)
    return told


def _with_masks(labels: Tensor, matched: Tensor, marks: Marks) -> Tensor:
    """Rows of the proposals that teach masks: on a defect whose outline is known, MASKS_A_PICTURE at most."""
    rows = torch.where(labels > 0)[0]
    rows = rows[marks.outlined[matched[rows]]]
    return rows[torch.randperm(len(rows), device=rows.device)[:MASKS_A_PICTURE]]


def _mask_loss(
    heads: Any,
    features: dict[str, Tensor],
    sizes: Sequence[tuple[int, int]],
    marks: Sequence[Marks],
    rows: Sequence[Tensor],
    proposals: Sequence[Tensor],
    matched: Sequence[Tensor],
) -> Tensor:
    """Mean cross entropy of each chosen proposal's mask, of its own class alone."""
    boxes = [its[chosen] for its, chosen in zip(proposals, rows, strict=True)]
    masked = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, sizes)))  # [m, classes, 28, 28]
    wanted, labels = [], []
    for its, where, to, chosen in zip(marks, boxes, matched, rows, strict=True):
        regions = torch.cat((to[chosen, None].to(where), where), dim=1)
        planes = its.masks[:, None].float()
        # aligned: pixel (0, 0) reaches from 0 to 1, as everywhere here
        wanted.append(torchvision.ops.roi_align(planes, regions, masked.shape[-2:], aligned=True)[:, 0])
        labels.append(its.labels[to[chosen]])
    own = masked[torch.arange(len(masked), device=masked.device), torch.cat(labels)]
    return binary_cross_entropy_with_logits(own, torch.cat(wanted))
