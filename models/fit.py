"""The training loop: augmentation, optimiser, schedule. Changes a classifier's weights in place.

Place in the flow: `train.py` calls it between decoding and calibration. Knows no files, no class names and no metrics.
Everything random comes from one generator seeded by the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from models.dataset import Pictures
from models.errors import DatasetError, TrainingFailedError
from models.resnet import Classifier, bf16_is_native


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSpec:
    """How to train. `shift` in pixels, `jitter` as a share of brightness and contrast.

    With `budget_s` the schedule is hurried so that fitting takes no longer, and is then not reproducible.
    """

    epochs: int = 5
    batch: int = 16
    learning_rate: float = 2e-3  # the peak of a one-cycle schedule
    weight_decay: float = 0.01
    warm_up: float = 0.3  # share of the steps
    label_smoothing: float = 0.0
    flip_x: bool = True
    flip_y: bool = True
    shift: int = 4
    jitter: float = 0.1
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did; `number` counts from 1, `epoch` too."""

    number: int
    total: int
    epoch: int
    loss: float
    eta_s: float


def fit(
    classifier: Classifier,
    data: Pictures,
    spec: FitSpec,
    seed: int,
    on_step: Callable[[Step], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Train in place with AdamW on a one-cycle schedule (Smith and Topin 2018); in bfloat16 where the CPU has it.

    Raises DatasetError for fewer pictures than a batch, TrainingFailedError at the first loss that isn't finite.
    """
    if len(data.labels) < spec.batch:
        raise DatasetError(f"expected at least {spec.batch} pictures to train on, came {len(data.labels)}")
    generator = torch.Generator().manual_seed(seed)
    network = classifier.network.to(memory_format=torch.channels_last).train()
    optimiser = _optimiser(network, spec)
    per_epoch = len(data.labels) // spec.batch
    total, started = spec.epochs * per_epoch, clock()
    pictures, labels = torch.from_numpy(data.pictures), torch.from_numpy(data.labels)
    progress = 0.0
    for number, batch in enumerate(_batches(len(labels), spec.batch, generator), 1):
        rate = _one_cycle(progress, spec)
        for group in optimiser.param_groups:
            group["lr"] = rate
        inputs = augmented(classifier.normalised(pictures[batch]), spec, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_native()):
            logits = network(inputs)
        loss = cross_entropy(logits.float(), labels[batch], label_smoothing=spec.label_smoothing)
        if not torch.isfinite(loss):
            raise TrainingFailedError(
                f"the loss is {loss.item()} at step {number}; lower the learning rate ({rate:.2g})"
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        elapsed_s = clock() - started
        progress = max(number / total, elapsed_s / spec.budget_s if spec.budget_s else 0.0)
        left_s = elapsed_s * (1 / progress - 1) if progress < 1 else 0.0
        on_step(Step(number, total, (number - 1) // per_epoch + 1, loss.item(), left_s))
        if progress >= 1:
            return


def augmented(inputs: Tensor, spec: FitSpec, generator: torch.Generator) -> Tensor:
    """Flips, a shift and changes of light, [n, 3, h, w] to the same; one shift a batch, all else a picture."""
    n, _, height, width = inputs.shape

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    for wanted, axis in ((spec.flip_y, 2), (spec.flip_x, 3)):
        if wanted:
            inputs = torch.where((drawn(n) < 0.5).view(n, 1, 1, 1), inputs.flip(axis), inputs)
    if spec.shift:
        dy, dx = (int(v) for v in torch.randint(2 * spec.shift + 1, (2,), generator=generator))
        inputs = pad(inputs, (spec.shift,) * 4, mode="replicate")[:, :, dy : dy + height, dx : dx + width]
    gain = 1 + spec.jitter * (2 * drawn(n, 1, 1, 1) - 1)
    offset = 2 * spec.jitter * (2 * drawn(n, 1, 1, 1) - 1)
    return (inputs * gain + offset).contiguous(memory_format=torch.channels_last)


def _optimiser(network: nn.Module, spec: FitSpec) -> torch.optim.Optimizer:
    """AdamW; biases and BatchNorm aren't decayed."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    free = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=spec.learning_rate)


def _one_cycle(progress: float, spec: FitSpec) -> float:
    """The learning rate at a share of the way: a cosine up from a 25th, then down to nothing."""
    peak = spec.learning_rate
    if progress < spec.warm_up:
        return _between(peak / 25, peak, progress / spec.warm_up)
    return _between(peak, peak * 1e-4, (progress - spec.warm_up) / (1 - spec.warm_up))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + float(torch.cos(torch.tensor(torch.pi * min(share, 1.0))))) / 2


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of full batches, epoch after epoch in new orders, without end."""
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - batch + 1, batch):
            yield order[start : start + batch]
