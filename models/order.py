"""Which picture is shown when: epochs of full batches, rare classes more often. Pure.

Place in the flow: the training loop asks for the batch of a step by its number, so that a training that was ended goes
on where it was. Knows no pixels.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from models.evaluate import I64

Balance = Literal["none", "oversample", "weigh"]
MOST_REPEATS = 8.0
"""A rare class counts this often at most: shown more often it is learnt by heart."""


def shares(labels: I64, classes: int, most: float = MOST_REPEATS) -> list[float]:
    """How often each class's pictures count for one of the commonest: the square root of how rare it is, capped.

    The root lies between nature and evenness (Mahajan et al. 2018, ECCV). A class without pictures has 0.
    """
    counts = [int((labels == index).sum()) for index in range(classes)]
    return [min(most, (max(counts) / count) ** 0.5) if count else 0.0 for count in counts]


def loss_weights(labels: I64, classes: int) -> Tensor:
    """Weights in the loss that give each class its share, with a mean of 1 over the pictures; float32 [classes]."""
    weights = torch.tensor(shares(labels, classes))
    return weights / weights[torch.from_numpy(labels)].mean()


class Order:
    """The batches of a training by their numbers; each epoch has an order of its own, by the seed."""

    def __init__(self, labels: I64, classes: int, batch: int, balance: Balance, seed: int) -> None:
        """`labels` int64 [n]. With `oversample` an epoch holds pictures of rare classes several times."""
        self._members = [torch.nonzero(torch.from_numpy(labels) == index).flatten() for index in range(classes)]
        self._batch, self._seed = batch, seed
        repeats = shares(labels, classes) if balance == "oversample" else [1.0] * classes
        self._wanted = [round(len(mine) * share) for mine, share in zip(self._members, repeats, strict=True)]
        self.per_epoch = sum(self._wanted) // batch
        self._epoch, self._shuffled = -1, torch.empty(0, dtype=torch.long)

    def batch(self, number: int) -> Tensor:
        """Indices of the pictures of batch `number`, from 0 on, without end; int64 [batch]."""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._shuffled = epoch, self._of_epoch(epoch)
        return self._shuffled[place * self._batch : (place + 1) * self._batch]

    def _of_epoch(self, epoch: int) -> Tensor:
        generator = generator_of(self._seed, "order", epoch)
        shown = []
        for mine, wanted in zip(self._members, self._wanted, strict=True):
            whole, rest = divmod(wanted, max(1, len(mine)))
            shown += [mine] * whole + [mine[torch.randperm(len(mine), generator=generator)[:rest]]]
        together = torch.cat(shown)
        return together[torch.randperm(len(together), generator=generator)]


def seed_of(seed: int, purpose: str, number: int) -> int:
    """A seed that depends on nothing but these: who begins at step 500 draws what all others drew there."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(seed: int, purpose: str, number: int) -> torch.Generator:
    """torch's random numbers by `seed_of`."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, number))
