"""What the optimiser is told: which parameters, how fast, and when. Pure.

Place in the flow: the training loop's. Knows no loss and no pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def groups_of(weight_decay: float, *parts: tuple[Iterable[nn.Parameter], float]) -> list[dict[str, Any]]:
    """AdamW's groups, of parameters and their peak rate; what is frozen isn't trained.

    Biases, norms and a ViT's embeddings of class and position, [1, n, c], aren't decayed.
    """
    groups: list[dict[str, Any]] = []
    for all_, rate in parts:
        parameters = [parameter for parameter in all_ if parameter.requires_grad]
        for many, decay in ((True, weight_decay), (False, 0.0)):
            chosen = [each for each in parameters if (each.ndim > 1 and each.shape[0] > 1) is many]
            if chosen:
                groups.append({"params": chosen, "peak": rate, "weight_decay": decay})
    return groups


def one_cycle(progress: float, warm_up: float) -> float:
    """The share of the peak rate at a share of the way: a cosine up from a 25th, then down to a thousandth."""
    if progress < warm_up:
        return _between(1 / 25, 1.0, progress / warm_up)
    return _between(1.0, 1e-3, (progress - warm_up) / (1 - warm_up))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """What `AveragedModel` takes: a moving average of this decay that forgets faster while it is young.

    After n updates the decay is (1 + n) / (10 + n) at most (as TensorFlow's ExponentialMovingAverage has it): else a
    short training's average would be of its random first weights.
    """

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    return update
