"""What a training step minimises: cross-entropy over classes, or binary cross-entropy for each defect on its own.

Place in the flow: the training loop asks once, by the classifier's head; `several` makes what a sigmoid learns from.
Knows no network and no schedule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from models.dataset import Pictures
from models.heads import Head
from models.order import Balance, loss_weights

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [b, classes] and which pictures they are of, int64 [b], to the loss of the batch, a scalar."""


def loss_of(head: Head, data: Pictures, classes: int, balance: Balance, smoothing: float) -> Loss:
    """`smoothing`: the share taken from what is told, for all classes alike (Szegedy et al. 2016, CVPR)."""
    labels = torch.from_numpy(data.labels)
    weights = loss_weights(data.labels, classes) if balance == "weigh" else None
    if head == "softmax":
        wanted = labels if data.soft is None else torch.from_numpy(data.soft)
        return lambda logits, batch: cross_entropy(logits.float(), wanted[batch], weights, label_smoothing=smoothing)
    shown = torch.eye(classes)[labels] if data.soft is None else torch.from_numpy(data.soft)
    each = torch.ones(len(labels)) if weights is None else weights[labels]
    return lambda logits, batch: of_each_defect(logits.float(), shown[batch], each[batch], smoothing)


def of_each_defect(logits: Tensor, shown: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """The mean binary cross-entropy over pictures and defects, all but the first class; what is NaN teaches nothing.

    `logits` and `shown` (0 to 1) are float32 [b, classes], `weights` of the pictures [b].
    """
    truth = shown[:, 1:]
    counted = weights[:, None] * ~truth.isnan()
    wanted = truth.nan_to_num() * (1 - smoothing) + smoothing / 2
    losses = binary_cross_entropy_with_logits(logits[:, 1:], wanted, reduction="none")
    return (counted * losses).sum() / counted.sum().clamp(min=1e-6)


def several(pictures: Pictures) -> Pictures:
    """The same to learn any number of labels from. Each counts as the rarest that it shows, wherever classes are
    balanced; what shows none for sure, and may show one, is left out.
    """
    shown = pictures.shown
    counts = np.nansum(shown, axis=0)
    rarest = np.where(shown == 1, counts, np.inf).argmin(axis=1)
    known = ~np.isnan(shown[:, 0])
    return Pictures(pictures.pictures[known], rarest[known], shown[known])
