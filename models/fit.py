"""The training loop: practice on made-up defects, then the real ones. Changes a classifier's weights in place.

Place in the flow: `train.py` calls it between decoding and calibration. Knows no files, no class names and no metrics.
Everything random comes from generators seeded by the caller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, cross_entropy, pad

from models.dataset import Pictures
from models.errors import DatasetError, TrainingFailedError
from models.pasted import KINDS, paste
from models.resnet import Classifier, bf16_is_native, stages

_MARK_WEIGHT = 5.0  # of a cell with a mark in the practice's loss: most cells have none


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSpec:
    """How to train. Rates are the peaks of one-cycle schedules; `shift` in pixels, `jitter` a share of contrast.

    `practice` is how many good pictures with pasted marks are shown first, 0 for none. With `budget_s` the schedule is
    hurried so that fitting takes no longer, and is then not reproducible.
    """

    practice: int = 2_560
    epochs: int = 2
    batch: int = 16
    practice_rate: float = 2e-3
    trunk_rate: float = 3e-4
    head_rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: float = 0.2  # share of the steps
    label_smoothing: float = 0.0
    flips: bool = True
    shift: int = 4
    jitter: float = 0.1
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did; `number` and `epoch` count from 1, and practice is epoch 0."""

    number: int
    total: int
    epoch: int
    loss: float
    eta_s: float


def fit(
    classifier: Classifier,
    data: Pictures,
    good: int,
    spec: FitSpec,
    seed: int,
    on_step: Callable[[Step], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Train in place, in bfloat16 where the CPU has it; `good` is the index of the good class.

    Raises DatasetError for fewer pictures than a batch, TrainingFailedError at the first loss that isn't finite.
    """
    if len(data.labels) < spec.batch:
        raise DatasetError(f"expected at least {spec.batch} pictures to train on, came {len(data.labels)}")
    generator = torch.Generator().manual_seed(seed)
    network = classifier.network.to(memory_format=torch.channels_last).train()
    per_epoch = len(data.labels) // spec.batch
    practice = spec.practice // spec.batch
    descent = _Descent(practice + spec.epochs * per_epoch, per_epoch, practice, spec, on_step, clock)
    if practice:
        spotter = Spotter(network, seed)
        losses = _practice_losses(classifier, spotter, data.pictures[data.labels == good], spec, seed)
        descent.run(practice, _groups(spec, (network, spec.practice_rate), (spotter, spec.practice_rate)), losses)
    trunk = nn.ModuleList(child for child in network.children() if child is not network.fc)
    groups = _groups(spec, (trunk, spec.trunk_rate), (network.fc, spec.head_rate))
    descent.run(spec.epochs * per_epoch, groups, _real_losses(classifier, data, spec, generator))


class Spotter(nn.Module):
    """Heads for the practice alone: the kind of mark in each cell of a ResNet's last three stages."""

    def __init__(self, network: nn.Module, seed: int) -> None:
        """`seed` for the heads' first weights."""
        super().__init__()
        width = int(network.fc.in_features)  # type: ignore[union-attr,arg-type]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(nn.Conv2d(width // share, len(KINDS), 1) for share in (4, 2, 1))
        self.register_buffer("weight", torch.tensor([1.0] + [_MARK_WEIGHT] * (len(KINDS) - 1)))

    def forward(self, found: tuple[Tensor, ...], kinds: Tensor) -> Tensor:
        """The loss of what the four stages found against each pixel's kind, int64 [n, h, w]: a scalar."""
        losses = []
        for head, features in zip(self.heads, found[1:], strict=True):
            logits = head(features.float())  # [n, kinds, rows, columns]
            cells = adaptive_max_pool2d(kinds[:, None].float(), logits.shape[-2:])[:, 0].long()
            losses.append(cross_entropy(logits, cells, weight=self.weight))  # type: ignore[arg-type]
        return torch.stack(losses).mean()


def augmented(inputs: Tensor, spec: FitSpec, generator: torch.Generator) -> Tensor:
    """Flips, a shift and changes of light, [n, 3, h, w] to the same; one shift a batch, all else a picture."""
    n, _, height, width = inputs.shape

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    for axis in (2, 3) if spec.flips else ():
        inputs = torch.where((drawn(n) < 0.5).view(n, 1, 1, 1), inputs.flip(axis), inputs)
    if spec.shift:
        dy, dx = (int(v) for v in torch.randint(2 * spec.shift + 1, (2,), generator=generator))
        inputs = pad(inputs, (spec.shift,) * 4, mode="replicate")[:, :, dy : dy + height, dx : dx + width]
    gain = 1 + spec.jitter * (2 * drawn(n, 1, 1, 1) - 1)
    offset = 2 * spec.jitter * (2 * drawn(n, 1, 1, 1) - 1)
    return (inputs * gain + offset).contiguous(memory_format=torch.channels_last)


def _practice_losses(
    classifier: Classifier, spotter: Spotter, good: np.ndarray, spec: FitSpec, seed: int
) -> Iterator[Tensor]:
    rng = np.random.default_rng(seed)
    while True:
        pictures = good[rng.integers(len(good), size=spec.batch)].astype(np.float32)
        kinds = torch.from_numpy(np.stack([paste(picture, rng) for picture in pictures]))
        with _autocast():
            found = stages(classifier.network, classifier.normalised(torch.from_numpy(pictures)))
        yield spotter(found, kinds)


def _real_losses(classifier: Classifier, data: Pictures, spec: FitSpec, generator: torch.Generator) -> Iterator[Tensor]:
    pictures, labels = torch.from_numpy(data.pictures), torch.from_numpy(data.labels)
    for batch in _batches(len(labels), spec.batch, generator):
        inputs = augmented(classifier.normalised(pictures[batch]), spec, generator)
        with _autocast():
            logits = classifier.network(inputs)
        yield cross_entropy(logits.float(), labels[batch], label_smoothing=spec.label_smoothing)


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of full batches, epoch after epoch in new orders, without end."""
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - batch + 1, batch):
            yield order[start : start + batch]


def _autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_native())


def _groups(spec: FitSpec, *parts: tuple[nn.Module | Tensor, float]) -> list[dict[str, object]]:
    """AdamW's groups: biases and BatchNorm aren't decayed."""
    groups: list[dict[str, object]] = []
    for module, rate in parts:
        parameters = list(module.parameters())  # type: ignore[union-attr]
        groups.append(
            {"params": [p for p in parameters if p.ndim > 1], "peak": rate, "weight_decay": spec.weight_decay}
        )
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "peak": rate, "weight_decay": 0.0})
    return groups


@dataclass(slots=True)
class _Descent:
    """Takes the steps of one phase after the other, and reports them as one count."""

    total: int
    per_epoch: int
    practice: int
    spec: FitSpec
    on_step: Callable[[Step], None]
    clock: Callable[[], float]
    number: int = 0

    def run(self, steps: int, groups: list[dict[str, object]], losses: Iterator[Tensor]) -> None:
        """`steps` steps of AdamW on a one-cycle schedule (Smith and Topin 2018)."""
        optimiser = torch.optim.AdamW(groups)
        started, first, progress = self.clock(), self.number, 0.0
        budget_s = self.spec.budget_s and self.spec.budget_s * steps / self.total
        while progress < 1:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * _one_cycle(progress, self.spec.warm_up)
            loss = next(losses)
            self.number += 1
            if not torch.isfinite(loss):
                raise TrainingFailedError(f"the loss is {loss.item()} at step {self.number}; lower the learning rate")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            elapsed_s = self.clock() - started
            progress = max((self.number - first) / steps, elapsed_s / budget_s if budget_s else 0.0)
            steps_left = steps * max(0.0, 1 - progress) + self.total - first - steps
            self._report(loss.item(), steps_left * elapsed_s / (self.number - first))
        self.number = first + steps

    def _report(self, loss: float, eta_s: float) -> None:
        epoch = max(0, self.number - self.practice - 1) // self.per_epoch + 1 if self.number > self.practice else 0
        self.on_step(Step(self.number, self.total, epoch, loss, eta_s))


def _one_cycle(progress: float, warm_up: float) -> float:
    """The share of the peak rate at a share of the way: a cosine up from a 25th, then down to a thousandth."""
    if progress < warm_up:
        return _between(1 / 25, 1.0, progress / warm_up)
    return _between(1.0, 1e-3, (progress - warm_up) / (1 - warm_up))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
