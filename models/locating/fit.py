"""The training loop of a Mask R-CNN: AdamW on a one-cycle schedule, bf16 where the machine multiplies it itself.

Place in the flow: `train.py` gives it pictures and a network. Every step draws from its number and the seed alone. A
training that was ended begins anew. Knows no files, no streams and no terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.augment import Symmetry
from models.errors import DatasetError, TrainingFailedError
from models.locating.losses import losses
from models.locating.marked import MarkedPictures, changed
from models.locating.network import Network, batched, half_the_cores
from models.mixed import autocast, precision_on
from models.order import generator_of, seed_of
from models.schedule import groups_of, one_cycle

LEAST_BATCH = 4  # of a start from nothing
_BODY_SHARE = 1 / 3  # of the rate, where the body comes with weights
_LONGEST_GRADIENT = 5.0
_SETTLING = 12  # batches


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatorFitSpec:
    """How to train. `rate` is the peak of a one-cycle schedule; `jitter` a share of contrast and brightness.

    An epoch shows each marked picture once, and good ones in turn so that they are `good_share` of what is shown. With
    `budget_s` the schedule is hurried so that fitting takes no longer, and is then not reproducible.
    """

    epochs: int = 24
    batch: int = 8
    rate: float = 5e-4
    weight_decay: float = 0.01
    warm_up: float = 0.1  # share of the steps
    symmetries: tuple[Symmetry, ...] = ("mirror", "flip")
    jitter: float = 0.1
    good_share: float = 0.2
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class FitStep:
    """What one step did; `number` and `epoch` count from 1."""

    number: int
    total: int
    epoch: int
    loss: float
    eta_s: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training was: by epoch the mean loss of its steps, and what it cost."""

    losses: tuple[float, ...]
    steps: int
    pictures: int
    fit_s: float


class LocatorFit:
    """A training: `run` goes through with it, on the device that the network is on."""

    def __init__(
        self, network: Network, data: MarkedPictures, spec: LocatorFitSpec, seed: int, started_with_weights: bool
    ) -> None:
        """DatasetError where no picture is marked, or BatchNorm can't learn from so small batches."""
        self._marked = data.marked
        self._good = sorted(set(range(len(data))) - set(self._marked))
        if not self._marked:
            raise DatasetError("no picture has a box that a person drew; a locator learns from marked defects (COCO)")
        if not started_with_weights and spec.batch < LEAST_BATCH:
            raise DatasetError(
                f"without weights to start with a step needs {LEAST_BATCH} pictures at least, for BatchNorm learns "
                f"from them; came {spec.batch}"
            )
        good = round(len(self._marked) * spec.good_share / (1 - spec.good_share)) if self._good else 0
        self._good_an_epoch = min(good, len(self._good))
        self._per_epoch = max(1, (len(self._marked) + self._good_an_epoch) // spec.batch)
        self._network, self._data, self._spec, self._seed = network, data, spec, seed
        self._groups = _groups(network, spec, _BODY_SHARE if started_with_weights else 1.0)

    @half_the_cores()
    def run(self, on_step: Callable[[FitStep], None], clock: Callable[[], float] = time.monotonic) -> Fitted:
        """Train to the end; `on_step` may raise to end it. TrainingFailedError at the first loss that isn't finite."""
        optimiser, spec = torch.optim.AdamW(self._groups, fused=True), self._spec
        total, number, started = spec.epochs * self._per_epoch, 0, clock()
        curve, sums = list[float](), 0.0
        while (progress := self._progress(number, total, clock() - started)) < 1:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * one_cycle(progress, spec.warm_up)
            loss = self._step(optimiser, number)
            number, sums = number + 1, sums + loss
            if number % self._per_epoch == 0:
                curve, sums = [*curve, sums / self._per_epoch], 0.0
            elapsed_s = clock() - started
            left = max(0.0, 1 / max(1e-9, self._progress(number, total, elapsed_s)) - 1)
            epoch = (number - 1) // self._per_epoch + 1
            on_step(FitStep(number, total, epoch, loss, left * elapsed_s))
        self._settle_norm()
        return Fitted(tuple(curve), number, number * spec.batch, clock() - started)

    @torch.no_grad()
    def _settle_norm(self) -> None:
        """Statistics of BatchNorm that learned, over pictures as they are, by the weights that training ended with.

        Running averages trail behind them ("precise BatchNorm", Wu and Johnson 2021, arXiv 2105.07576).
        """
        norms = [part for part in self._network.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average
        batch = self._spec.batch
        device = next(self._network.parameters()).device
        for first in range(0, min(len(self._data), _SETTLING * batch) if norms else 0, batch):
            places = [(first + turn) % len(self._data) for turn in range(batch)]
            pictures = [torch.from_numpy(self._data.picture(place)) for place in places]
            with autocast(device, precision_on(device)):
                self._network.backbone.body(batched(pictures, device).tensors)

    def _progress(self, number: int, total: int, elapsed_s: float) -> float:
        budget_s = self._spec.budget_s
        return max(number / total, elapsed_s / budget_s if budget_s else 0.0)

    def _step(self, optimiser: torch.optim.Optimizer, number: int) -> float:
        self._network.train()
        generator = generator_of(self._seed, "changes", number)
        shown = [
            changed(
                self._data.picture(place),
                self._data.marks(place),
                self._spec.symmetries,
                self._spec.jitter,
                generator,
            )
            for place in self._places(number)
        ]
        device = next(self._network.parameters()).device
        with torch.random.fork_rng(), autocast(device, precision_on(device)):
            torch.manual_seed(seed_of(self._seed, "draws", number))
            told = losses(self._network, [picture for picture, _ in shown], [marks for _, marks in shown])
            loss = torch.stack(list(told.values())).sum()
        if not torch.isfinite(loss):
            raise TrainingFailedError(f"the loss is {loss.item()} at step {number + 1}; lower the learning rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), _LONGEST_GRADIENT)
        optimiser.step()
        return float(loss.item())

    def _places(self, number: int) -> Sequence[int]:
        """The pictures of a step: of its epoch's order, round again where that is shorter than a batch."""
        epoch, step = divmod(number, self._per_epoch)
        first = epoch * self._good_an_epoch
        good = [self._good[(first + turn) % len(self._good)] for turn in range(self._good_an_epoch)]
        together = [*self._marked, *good]
        order: list[int] = torch.randperm(len(together), generator=generator_of(self._seed, "order", epoch)).tolist()
        batch = self._spec.batch
        return [together[order[(step * batch + turn) % len(order)]] for turn in range(batch)]


def _groups(network: Network, spec: LocatorFitSpec, body_share: float) -> list[dict[str, object]]:
    rest = nn.ModuleList((network.backbone.fpn, network.rpn, network.roi_heads)).parameters()
    return groups_of(spec.weight_decay, (network.backbone.body.parameters(), body_share * spec.rate), (rest, spec.rate))


def frozen(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights whose BatchNorm learned, as those of a network whose BatchNorm is frozen: it computes the same."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
