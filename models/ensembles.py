"""Several models as one: the mean of their probabilities (Lakshminarayanan et al. 2017, deep ensembles).

Place in the flow: `lineside models ensemble`. The result is an artifact like any other, whose network is all of theirs
(`resnet.Ensemble`). Knows no engine and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from models.artifact import Artifact, Golden
from models.engines.network import frozen_classifier
from models.errors import ModelRefusedError
from models.golden import GOLDEN_PICTURES, scores_of, tolerances
from models.resnet import MAX_MEMBERS, TOGETHER


def ensemble_of(members: Sequence[Artifact], model_id: str, at: datetime) -> Artifact:
    """Two to MAX_MEMBERS models of the same classes, head and preprocessing as one.

    Thresholds and the unsure band are the mean of theirs. ModelRefusedError where they can't be one.
    """
    _check(members)
    first, weights = members[0], dict[str, Tensor]()
    for place, member in enumerate(members):
        weights |= {f"members.{place}.{name}": value for name, value in member.weights.items()}
    weights["temperatures"] = torch.tensor([member.temperature for member in members])
    golden = _golden(members)
    made = replace(
        first,
        model_id=model_id,
        arch=TOGETHER.join(member.arch for member in members),
        classes=tuple(
            replace(item, threshold=_mean([member.classes[place].threshold for member in members]))
            for place, item in enumerate(first.classes)
        ),
        any_defect_threshold=_mean([member.any_defect_threshold for member in members]),
        unsure_band=fmean(member.unsure_band for member in members),
        weights=weights,
        temperature=1.0,
        tolerance={name: limit for name, limit in first.tolerance.items() if name in ("FP32", "BF16", "FP16")},
        golden=Golden(golden, np.eye(1, len(first.classes), dtype=np.float32).repeat(len(golden), axis=0)),
        int8=None,
        novelty=None,
        reference=None,
        created_at=at,
        metrics={"members": [{"model_id": m.model_id, "sha256": m.sha256, "arch": m.arch} for m in members]},
        sha256="",
    )
    classifier = frozen_classifier(made)
    return replace(made, tolerance=tolerances(classifier, golden), golden=Golden(golden, scores_of(classifier, golden)))


def _check(members: Sequence[Artifact]) -> None:
    if not 2 <= len(members) <= MAX_MEMBERS:
        raise ModelRefusedError(f"an ensemble takes 2 to {MAX_MEMBERS} models; came {len(members)}")
    first = members[0]
    for member in members:
        if TOGETHER in member.arch:
            raise ModelRefusedError(f"{member.model_id} is an ensemble itself; name its members")
        if [(c.name, c.role) for c in member.classes] != [(c.name, c.role) for c in first.classes]:
            raise ModelRefusedError(
                f"{member.model_id} knows other classes, or in another order, than {first.model_id}"
            )
        if member.head != first.head:
            raise ModelRefusedError(
                f"{member.model_id} has a {member.head} head, {first.model_id} a {first.head} one: one says one class, "
                "the other any number of defects"
            )
        if member.preprocessing != first.preprocessing:
            raise ModelRefusedError(f"{member.model_id} sees pictures otherwise than {first.model_id}: another size?")


def _golden(members: Sequence[Artifact]) -> np.ndarray:
    """Golden pictures of all members in turn, each once."""
    most = max(len(member.golden.pictures) for member in members)
    turns = [m.golden.pictures[place] for place in range(most) for m in members if place < len(m.golden.pictures)]
    once = {picture.tobytes(): picture for picture in turns}
    return np.stack(list(once.values())[:GOLDEN_PICTURES])


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one of them has none."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
