"""The network of models that know what good parts look like: probabilities and novelty in one pass. Pure.

Place in the flow: engines run it; `novelty.py` makes the bank that it compares with, and says where the method is from.
Knows no file and no threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, normalize

from models.families import head_of, stages
from models.heads import Head
from models.resnet import Classifier


class NovelClassifier(Classifier):
    """uint8 [n, h, w, 3] to float32 [n, classes + 1]: a classifier's probabilities, and the novelty, 0 to 2."""

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        temperature: float,
        head: Head,
        bank: Tensor,
    ) -> None:
        """`bank` float32 [m, c], else as `Classifier`."""
        super().__init__(network, mean, std, temperature, head)
        self.register_buffer("bank", bank.T.contiguous())  # [c, m]
        self.bank: Tensor

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        found = stages(self.network, self.normalised(pictures))
        pooled = self.network.avgpool(found[-1]).flatten(1)  # type: ignore[operator]
        logits = head_of(self.network)(pooled).float()
        return torch.cat((self.probabilities(logits), farthest(places(found), self.bank)[:, None]), dim=1)


def places(found: tuple[Tensor, ...]) -> Tensor:
    """A ResNet's stages to unit vectors of every eighth pixel, float32 [n, h/8 * w/8, c]: second stage and third."""
    second, third = found[1].float(), found[2].float()
    coarse = interpolate(third, (second.shape[2], second.shape[3]), mode="bilinear", align_corners=False)
    halves = [normalize(avg_pool2d(half, 3, 1, 1).flatten(2).transpose(1, 2), dim=2) for half in (second, coarse)]
    return torch.cat(halves, dim=2) * math.sqrt(0.5)


def farthest(seen: Tensor, bank: Tensor) -> Tensor:
    """Places [n, p, c] against a bank [c, m] to [n]: how far the farthest place is from the nearest of the bank.

    1 - cosine is half the square of the distance. It comes out of one product, with two further columns: a one, and
    what a place's length lacks to one, for half precision makes unit vectors that are 0.1 % too long or too short. So
    what is added up is exact enough and what is rounded is small; a cosine near 1 would be rounded to steps of 0.002,
    which is as far as good parts lie from each other. (The excess is a product too: of its plain sum OpenVINO 2026.4
    makes -3e38 now and then, which golden vectors catch.)
    """
    ones = torch.ones_like(seen[..., :1])
    halves = torch.cat((torch.full_like(bank[:, :1], 0.5), torch.full_like(bank[:1, :1], -0.5)))
    excess = torch.cat((seen * seen, ones), dim=2) @ halves
    against = torch.cat((-bank, torch.ones_like(bank[:2])))
    return (torch.cat((seen, ones, excess), dim=2) @ against).amin(dim=2).amax(dim=1)
