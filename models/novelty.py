"""How unlike any good part a picture is: how far its places are from a bank of places of good parts.

Place in the flow: engines give it beside the probabilities of models that have a bank; `lineside novelty` makes the
bank, from good parts alone. Method: PatchCore (Roth et al. 2022, CVPR), with two changes: features are unit vectors, so
that half precisions are exact enough, and their distance is 1 - cosine. Knows no file, no event and no defect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize

from models.artifact import F32, U8, Artifact, Golden, Novelty
from models.artifact_checks import MAX_TOLERANCE
from models.engines.network import frozen_classifier
from models.errors import DatasetError
from models.order import generator_of
from models.resnet import Classifier, stages
from schemas.records import Precision

MOST_PLACES = 60_000  # of good parts, from which the bank is chosen
PROJECTED = 64  # dimensions in which it is chosen (Johnson and Lindenstrauss 1984)
TOLERANCE_MARGIN = 3.0  # over the largest difference seen in bfloat16
_BATCH = 16
OnDone = Callable[[int], None]


class NovelClassifier(Classifier):
    """uint8 [n, h, w, 3] to float32 [n, classes + 1]: a classifier's probabilities, and the novelty, 0 to 2."""

    def __init__(self, classifier: Classifier, mean: Sequence[float], std: Sequence[float], bank: Tensor) -> None:
        """Shares the classifier's network; `bank` float32 [m, c]."""
        super().__init__(classifier.network, mean, std, classifier.temperature)
        self.register_buffer("bank", bank.T.contiguous())  # [c, m]
        self.bank: Tensor

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        found = stages(self.network, self.normalised(pictures))
        pooled = self.network.avgpool(found[-1]).flatten(1)  # type: ignore[operator]
        logits = self.network.fc(pooled).float()  # type: ignore[operator]
        probabilities = torch.softmax(logits / self.temperature, dim=1)
        return torch.cat((probabilities, farthest(places(found), self.bank)[:, None]), dim=1)


def places(found: tuple[Tensor, ...]) -> Tensor:
    """A ResNet's stages to unit vectors of every eighth pixel, float32 [n, h/8 * w/8, c]: second stage and third."""
    second, third = found[1].float(), found[2].float()
    coarse = interpolate(third, (second.shape[2], second.shape[3]), mode="bilinear", align_corners=False)
    halves = [normalize(avg_pool2d(half, 3, 1, 1).flatten(2).transpose(1, 2), dim=2) for half in (second, coarse)]
    return torch.cat(halves, dim=2) * math.sqrt(0.5)


def farthest(seen: Tensor, bank: Tensor) -> Tensor:
    """Places [n, p, c] against a bank [c, m] to [n]: how far the farthest place is from the nearest of the bank."""
    return 1 - (seen @ bank).amax(dim=2).amin(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSpec:
    """The share of good parts that may be called novel, how many places the bank keeps at most, and its seed."""

    false_alarm: float
    places: int
    seed: int


def with_novelty(artifact: Artifact, good: U8, held_out: U8, spec: BankSpec, at: datetime, on_done: OnDone) -> Artifact:
    """The artifact with a bank of places of good parts, and a threshold.

    `good` and `held_out`: prepared pictures of good parts, uint8 [n, h, w, 3] each; the threshold comes from the second
    alone. `on_done` is told how many pictures have been looked at. DatasetError where they are too few for so low a
    share of false alarms.
    """
    rank = _rank(len(held_out), spec.false_alarm)
    classifier = frozen_classifier(artifact)
    with torch.inference_mode():
        bank = coreset(_places_of(classifier, good, spec.seed, on_done), spec.places, spec.seed)
        measured = np.sort(_novelty_of(classifier, held_out, bank, lambda done: on_done(len(good) + done)))
        golden, rough = (
            _novelty_of(classifier, artifact.golden.pictures, bank, lambda done: None, dtype)
            for dtype in (torch.float32, torch.bfloat16)
        )
    return replace(
        artifact,
        tolerance=_tolerance(artifact, float(np.abs(golden - rough).max())),
        novelty=Novelty(bank, float(measured[rank]), spec.false_alarm, len(held_out)),
        golden=Golden(artifact.golden.pictures, artifact.golden.scores, golden),
        created_at=at,
        metrics={**artifact.metrics, "novelty_from": artifact.sha256},
        sha256="",
    )


def coreset(features: Tensor, most: int, seed: int) -> Tensor:
    """At most `most` of N vectors [N, c], spread over all: each is the farthest from those before (Sener and Savarese
    2018, ICLR), in a random projection; float32 [m, c].
    """
    generator = generator_of(seed, "bank", 0)
    projected = features @ torch.randn(features.shape[1], PROJECTED, generator=generator)
    nearest = torch.full((len(features),), math.inf)
    chosen, at = list[int](), int(torch.randint(len(features), (1,), generator=generator))
    for _ in range(min(most, len(features))):
        chosen.append(at)
        nearest = torch.minimum(nearest, (projected - projected[at]).square().sum(dim=1))
        at = int(nearest.argmax())
    return features[chosen].clone()


def _rank(count: int, false_alarm: float) -> int:
    """The place, from 0, in ascending order of the novelty that a new good part exceeds with at most that probability.

    Of n + 1 exchangeable parts each is the k-th with the same chance (Vovk et al. 2005, conformal prediction).
    """
    rank = math.ceil((count + 1) * (1 - false_alarm))
    if rank > count:
        needed = math.ceil(1 / false_alarm) - 1 if false_alarm > 0 else None
        told = f"at least {needed} good parts" if needed else "more good parts than there can be"
        raise DatasetError(
            f"a false-alarm rate of {false_alarm:.2%} takes {told} in the validation split; came {count}: give more, "
            "or allow more false alarms"
        )
    return rank - 1


def _tolerance(artifact: Artifact, in_bfloat16: float) -> dict[Precision, float]:
    """The artifact's limits, widened by what bfloat16 makes of the novelty; float16 has eight times its resolution."""
    wider = {Precision.BF16: TOLERANCE_MARGIN * in_bfloat16, Precision.FP16: TOLERANCE_MARGIN * in_bfloat16 / 4}
    limits = {name: round(max(limit, wider.get(name, 0.0)), 4) for name, limit in artifact.tolerance.items()}
    return {name: limit for name, limit in limits.items() if limit <= MAX_TOLERANCE}


def _places_of(classifier: Classifier, good: U8, seed: int, on_done: OnDone) -> Tensor:
    """Places of all pictures, drawn evenly from each where there are more than MOST_PLACES; float32 [N, c]."""
    share, kept = max(1, MOST_PLACES // len(good)), []
    for start in range(0, len(good), _BATCH):
        seen = places(_stages(classifier, good[start : start + _BATCH]))
        for number, picture in enumerate(seen, start):
            drawn = torch.randperm(len(picture), generator=generator_of(seed, "places", number))[:share]
            kept.append(picture[drawn])
        on_done(min(start + _BATCH, len(good)))
    return torch.cat(kept)


def _novelty_of(
    classifier: Classifier, pictures: U8, bank: Tensor, on_done: OnDone, dtype: torch.dtype = torch.float32
) -> F32:
    """float32 [n], by a network and a bank of this precision."""
    found: list[Any] = []
    for start in range(0, len(pictures), _BATCH):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            seen = places(_stages(classifier, pictures[start : start + _BATCH]))
            found.append(farthest(seen, bank.T).float().numpy())
        on_done(min(start + _BATCH, len(pictures)))
    return np.asarray(np.concatenate(found), np.float32)


def _stages(classifier: Classifier, pictures: U8) -> tuple[Tensor, ...]:
    return stages(classifier.network, classifier.normalised(torch.from_numpy(pictures)))
