"""Practice before real defects are learnt, self-supervised: where is a made-up mark, and of which kind?

Place in the flow: the first phase of `fit.py`, and all of it in `pretrain.py`. From real labels alone a network of
random weights learns next to nothing in the minutes that training may take; see `pasted.py`. Knows no real defect.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, cross_entropy

from models.families import family_of, head_of
from models.pasted import F32, I64, KINDS, paste

_MARK_WEIGHT = 5.0  # of a cell with a mark in the practice's loss: most cells have none


class Spotter(nn.Module):
    """Heads for the practice alone: the kind of mark in each cell of what a network sees (`families.Family.maps`)."""

    def __init__(self, network: nn.Module, seed: int) -> None:
        """`seed` for the heads' first weights."""
        super().__init__()
        widths = family_of(network).map_widths(head_of(network).in_features)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(nn.Conv2d(width, len(KINDS), 1) for width in widths)
        self.register_buffer("weight", torch.tensor([1.0] + [_MARK_WEIGHT] * (len(KINDS) - 1)))

    def forward(self, found: tuple[Tensor, ...], kinds: Tensor) -> Tensor:
        """The loss of maps [n, c, rows, columns] against each pixel's kind, int64 [n, h, w]: a scalar."""
        losses = []
        for head, features in zip(self.heads, found, strict=True):
            logits = head(features.float())  # [n, kinds, rows, columns]
            cells = adaptive_max_pool2d(kinds[:, None].float(), logits.shape[-2:])[:, 0].long()
            losses.append(cross_entropy(logits, cells, weight=self.weight))  # type: ignore[arg-type]
        return torch.stack(losses).mean()


def marked(good: np.ndarray, count: int, rng: np.random.Generator) -> tuple[F32, I64]:
    """`count` good pictures, drawn again and again from uint8 [n, h, w, 3], with marks: float32, and pixels' kinds."""
    pictures = good[rng.integers(len(good), size=count)].astype(np.float32)
    kinds = np.stack([paste(picture, rng) for picture in pictures])
    return pictures, kinds
