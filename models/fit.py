"""The training loop: practice on made-up defects, then the real ones. Changes a classifier's weights in place.

Place in the flow: `train.py` calls it between decoding and calibration. What a step draws at random depends on the seed
and its number alone, so a training that was ended goes on as if it had not been (`training_state.py` keeps it). Knows
no files, no class names and no metrics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from models.augment import Symmetry, augmented, blended
from models.dataset import Pictures
from models.errors import DatasetError
from models.families import family_of, head_of, trunk_of
from models.losses import loss_of
from models.mixed import Mixed
from models.order import Balance, Order, generator_of, seed_of
from models.practice import Spotter, marked
from models.resnet import Classifier
from models.schedule import groups_of, moving_average, one_cycle
from schemas.records import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSpec:
    """How to train. Rates are the peaks of one-cycle schedules; `shift` in pixels, `jitter` a share of contrast.

    `practice` is how many good pictures with pasted marks are shown first, 0 for none. `symmetries` are the product's.
    `mixup`: the share of another good picture in a good one, at most. `average`: decay of the moving average of weights
    that becomes the model, 0 for none. `freeze_norm` keeps BatchNorm as it came, for small batches on weights that were
    trained elsewhere. `patience`: epochs without a better judgement until it stops, 0 for never. With `budget_s` the
    schedule is hurried so that fitting takes no longer, and is then not reproducible. `precision`: of the forward pass.
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
    symmetries: tuple[Symmetry, ...] = ("mirror", "flip")
    shift: int = 4
    jitter: float = 0.1
    balance: Balance = "none"
    mixup: float = 0.0
    average: float = 0.0
    freeze_norm: bool = False
    patience: int = 0
    budget_s: float | None = None
    precision: Precision = Precision.UNKNOWN


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did; `number` and `epoch` count from 1, and practice is epoch 0."""

    number: int
    total: int
    epoch: int
    loss: float
    eta_s: float


Judge = Callable[[nn.Module], float]
"""How good a network is after an epoch, the more the better; it is given in evaluation mode."""


@dataclass(slots=True)
class _Phase:
    """One schedule: `steps` of a loss by its number, from 0, over parameters with their peak rates."""

    name: str
    steps: int
    loss_at: Callable[[int], Tensor]
    groups: list[dict[str, Any]]


@dataclass(slots=True)
class Hooks:
    """What is told of a training under way. `on_step` may raise to end it: all of the step is done by then."""

    on_step: Callable[[Step], None] = lambda step: None
    judge: Judge | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Best:
    value: float = -math.inf
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


class Fit:
    """A training under way. `run` goes on to its end; `state` and `restore` are all that it is between two steps."""

    def __init__(self, classifier: Classifier, data: Pictures, good: int, spec: FitSpec, seed: int) -> None:
        """`good` is the index of the good class. DatasetError for fewer pictures than a batch, turns of no square."""
        if len(data.labels) < spec.batch:
            raise DatasetError(f"expected at least {spec.batch} pictures to train on, came {len(data.labels)}")
        if "turn" in spec.symmetries and data.pictures.shape[1] != data.pictures.shape[2]:
            height, width = data.pictures.shape[1:3]
            raise DatasetError(f"quarter turns need a square input; came {width}x{height}: give --size such as 224x224")
        self._classifier, self._data, self._good, self._spec, self._seed = classifier, data, good, spec, seed
        self._network = classifier.network.to(memory_format=torch.channels_last).train()
        classes = head_of(self._network).out_features
        self._order = Order(data.labels, classes, spec.batch, spec.balance, seed)
        self._practice_steps = spec.practice // spec.batch
        self._total = self._practice_steps + spec.epochs * self._order.per_epoch
        self._loss = loss_of(classifier.head, data, classes, spec.balance, spec.label_smoothing)
        self._spotter = Spotter(self._network, seed) if self._practice_steps else None
        self._mixed = Mixed(next(self._network.parameters()).device, spec.precision)
        self._average: AveragedModel | None = None
        self._optimiser: torch.optim.AdamW | None = None
        self._best, self._values, self._losses, self._loss_sum = _Best(), list[float](), list[float](), 0.0
        self._number, self._elapsed_s, self._stopped = 0, 0.0, False
        self._resumed: dict[str, dict[str, Tensor]] = {}

    @property
    def curve(self) -> tuple[list[float], list[float]]:
        """By epoch: the mean loss of its steps, and what the judge said after it."""
        return self._losses, self._values

    @property
    def precision(self) -> Precision:
        """What the forward pass is computed in."""
        return self._mixed.precision

    def run(self, hooks: Hooks) -> None:
        """Train to the end. Raises TrainingFailedError where `Mixed.step` does."""
        if self._number < self._practice_steps:
            self._descend(self._practice(), 0, hooks)
        if not self._stopped:
            self._descend(self._real(), self._practice_steps, hooks)
        if self._best.weights:
            self._network.load_state_dict(self._best.weights)
        elif self._average is not None:
            self._network.load_state_dict(self._average.module.state_dict())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that has changed since the beginning: tensors, and numbers for JSON."""
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        if self._spotter is not None and self._number < self._practice_steps:
            tensors |= {f"spotter.{name}": value for name, value in self._spotter.state_dict().items()}
        if self._average is not None:
            tensors |= {f"average.{name}": value for name, value in self._average.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self._best.weights.items()}
        if self._optimiser is not None:
            for index, kept in self._optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{index}.{name}": value for name, value in kept.items()}
        facts: dict[str, Any] = {"number": self._number, "elapsed_s": self._elapsed_s, "stopped": self._stopped}
        facts |= {"values": self._values, "losses": self._losses, "loss_sum": self._loss_sum}
        facts["mixed"] = self._mixed.state()
        best = self._best.value if self._best.epoch else None
        return tensors, facts | {"best": best, "best_epoch": self._best.epoch}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Become what `state` said, before `run`."""
        self._number, self._elapsed_s, self._stopped = facts["number"], facts["elapsed_s"], facts["stopped"]
        self._values, self._losses, self._loss_sum = list(facts["values"]), list(facts["losses"]), facts["loss_sum"]
        best = -math.inf if facts["best"] is None else facts["best"]
        self._best = _Best(best, facts["best_epoch"], _under("best", tensors))
        self._mixed.restore(facts["mixed"])
        self._network.load_state_dict(_under("network", tensors))
        if self._spotter is not None and (kept := _under("spotter", tensors)):
            self._spotter.load_state_dict(kept)
        self._resumed = {"average": _under("average", tensors), "optimiser": _under("optimiser", tensors)}

    def _practice(self) -> _Phase:
        assert self._spotter is not None
        good = self._data.pictures[self._data.labels == self._good]
        spotter, rate, see = self._spotter, self._spec.practice_rate, family_of(self._network).maps

        def loss_at(number: int) -> Tensor:
            rng = np.random.default_rng(seed_of(self._seed, "practice", number))
            pictures, kinds = marked(good, self._spec.batch, rng)
            with self._mixed.autocast():
                found = see(self._network, self._classifier.normalised(torch.from_numpy(pictures)))
            loss: Tensor = spotter(found, torch.from_numpy(kinds))
            return loss

        groups = groups_of(self._spec.weight_decay, *((part.parameters(), rate) for part in (self._network, spotter)))
        return _Phase("practice", self._practice_steps, loss_at, groups)

    def _real(self) -> _Phase:
        spec, network, head = self._spec, self._network, head_of(self._network)
        pictures, labels = torch.from_numpy(self._data.pictures), torch.from_numpy(self._data.labels)

        def loss_at(number: int) -> Tensor:
            batch, generator = self._order.batch(number), generator_of(self._seed, "changes", number)
            inputs = self._classifier.normalised(pictures[batch])
            inputs = augmented(inputs, spec.symmetries, spec.shift, spec.jitter, generator)
            if spec.mixup:
                inputs = blended(inputs, labels[batch], self._good, spec.mixup, generator)
            with self._mixed.autocast():
                logits = network(inputs)
            return self._loss(logits, batch)

        if spec.freeze_norm:
            for norm in _norms(network):
                norm.requires_grad_(False)
        if spec.average:
            self._average = AveragedModel(network, multi_avg_fn=moving_average(spec.average), use_buffers=True)
        groups = groups_of(spec.weight_decay, (trunk_of(network), spec.trunk_rate), (head.parameters(), spec.head_rate))
        return _Phase("real", spec.epochs * self._order.per_epoch, loss_at, groups)

    def _descend(self, phase: _Phase, first: int, hooks: Hooks) -> None:
        """AdamW on a one-cycle schedule (Smith and Topin 2018), from where it stands to the phase's end."""
        self._optimiser = optimiser = torch.optim.AdamW(phase.groups, fused=True)
        self._take_up(optimiser, first)
        budget_s = self._spec.budget_s and self._spec.budget_s * phase.steps / self._total
        started, before_s = hooks.clock(), self._elapsed_s
        while not self._stopped and (progress := self._progress(first, phase.steps, budget_s)) < 1:
            self._train_mode(phase)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * one_cycle(progress, self._spec.warm_up)
            loss = phase.loss_at(self._number - first)
            self._number += 1
            self._mixed.step(loss, optimiser, self._number)
            if self._average is not None:
                self._average.update_parameters(self._network)
            if phase.name == "real":
                self._note(loss.item(), self._number - first, hooks.judge)
            self._elapsed_s = before_s + hooks.clock() - started
            hooks.on_step(self._step(loss.item(), first, phase.steps, budget_s))
        self._number, self._elapsed_s, self._optimiser = first + phase.steps, 0.0, None

    def _take_up(self, optimiser: torch.optim.AdamW, first: int) -> None:
        """What `restore` brought for the phase that begins here; nothing for one that begins anew."""
        resumed, self._resumed = self._resumed, {}
        if self._number == first:
            self._elapsed_s = 0.0
            return
        if self._average is not None:
            self._average.load_state_dict(resumed["average"])
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        kept: dict[int, dict[str, Tensor]] = {}
        for name, value in resumed["optimiser"].items():
            index, _, key = name.partition(".")
            of = parameters[int(index)]
            # laid out in memory as it was: elsewhere in a vector a number may be rounded otherwise
            kept.setdefault(int(index), {})[key] = torch.empty_like(of).copy_(value) if value.ndim else value
        optimiser.load_state_dict({"state": kept, "param_groups": optimiser.state_dict()["param_groups"]})

    def _progress(self, first: int, steps: int, budget_s: float | None) -> float:
        done = (self._number - first) / steps if steps else 1.0
        return max(done, self._elapsed_s / budget_s if budget_s else 0.0)

    def _train_mode(self, phase: _Phase) -> None:
        self._network.train()
        if self._spec.freeze_norm and phase.name == "real":
            for norm in _norms(self._network):
                norm.eval()

    def _note(self, loss: float, steps: int, judge: Judge | None) -> None:
        """One step more; at an epoch's end its mean loss, and what the judge says."""
        self._loss_sum += loss
        if steps % self._order.per_epoch == 0:
            self._losses.append(self._loss_sum / self._order.per_epoch)
            self._loss_sum = 0.0
            self._judge(judge)

    def _judge(self, judge: Judge | None) -> None:
        """Remember the network of the best epoch; stop where `patience` epochs have not brought a better one."""
        if judge is None:
            return
        network = self._network if self._average is None else self._average.module
        self._values.append(judge(network.eval()))
        if self._spec.patience and self._values[-1] > self._best.value:
            kept = {name: value.detach().clone() for name, value in network.state_dict().items()}
            self._best = _Best(self._values[-1], len(self._values), kept)
        self._stopped = 0 < self._spec.patience <= len(self._values) - self._best.epoch

    def _step(self, loss: float, first: int, steps: int, budget_s: float | None) -> Step:
        left = steps * max(0.0, 1 - self._progress(first, steps, budget_s)) + self._total - first - steps
        done = max(0, self._number - self._practice_steps - 1)
        epoch = done // self._order.per_epoch + 1 if self._number > self._practice_steps else 0
        eta_s = 0.0 if self._stopped else left * self._elapsed_s / (self._number - first)
        return Step(self._number, self._total, epoch, loss, eta_s)


def _norms(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
