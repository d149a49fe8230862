"""How unlike any good part a picture is: how far its places are from a bank of places of good parts.

Place in the flow: engines give it beside the probabilities of models that have a bank; `lineside novelty` makes the
bank, from good parts alone. Method: PatchCore (Roth et al. 2022, CVPR), with two changes: features are unit vectors, so
that half precisions are exact enough, and their distance is 1 - cosine. Knows no file, no event and no defect.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.artifact import F32, U8, Artifact, Golden, Novelty
from models.artifact_checks import MAX_TOLERANCE
from models.dataset import Pictures
from models.engines.network import frozen_classifier
from models.errors import DatasetError
from models.families import stages
from models.order import generator_of
from models.places import farthest, places
from models.reference import Reference, quantiles_of
from models.resnet import Classifier, half_precision_limits, place_channels
from schemas.records import Precision

MOST_PLACES = 60_000  # of good parts, from which the bank is chosen
PROJECTED = 64  # dimensions in which it is chosen (Johnson and Lindenstrauss 1984)
_BATCH = 16
OnDone = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSpec:
    """The share of good parts that may be called novel, how many places the bank keeps at most, and its seed."""

    false_alarm: float
    places: int
    seed: int


def with_novelty(
    artifact: Artifact, good: U8, held_out: Pictures, spec: BankSpec, at: datetime, on_done: OnDone
) -> Artifact:
    """The artifact with a bank of places of good parts, and a threshold.

    `good`: what the network sees of good parts, uint8 [n, h, w, 3]. The threshold comes from `held_out` alone, good
    parts as well, each as novel as its most novel view. `on_done` is told how much has been looked at. DatasetError
    where they are too few for so low a share of false alarms.
    """
    place_channels(artifact.arch)  # an ensemble has none, a ViT neither: refused before anything is computed
    rank = _rank(len(held_out.labels), spec.false_alarm)
    classifier = frozen_classifier(artifact)
    with torch.inference_mode():
        bank = coreset(_places_of(classifier, good, spec.seed, on_done), spec.places, spec.seed)
        seen = _novelty_of(classifier, held_out.pictures, bank, lambda done: on_done(len(good) + done))
        measured = np.sort(held_out.combined(seen[:, None], [])[:, 0])
        golden, rough = (
            _novelty_of(classifier, artifact.golden.pictures, bank, lambda done: None, dtype)
            for dtype in (torch.float32, torch.bfloat16)
        )
    return replace(
        artifact,
        tolerance=_tolerance(artifact, float(np.abs(golden - rough).max())),
        novelty=Novelty(bank, float(measured[rank]), spec.false_alarm, len(held_out.labels)),
        golden=Golden(artifact.golden.pictures, artifact.golden.scores, golden),
        created_at=at,
        reference=_reference(artifact, measured[: rank + 1], len(held_out.labels)),
        metrics={**artifact.metrics, "novelty_from": artifact.sha256},
        sha256="",
    )


def _reference(artifact: Artifact, novelty: F32, good: int) -> Reference:
    """With the novelty of held-out good parts that are not called novel; what is known of their scores stays."""
    known = artifact.reference or Reference(good)
    return replace(known, good=min(known.good, good), novelty=quantiles_of(novelty))


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
    """The artifact's limits, widened by what bfloat16 makes of the novelty."""
    wider = half_precision_limits(in_bfloat16)
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
