"""A trained network's scores on the CPU: of many pictures, of golden vectors to be, and how far rough ones are off.

Place in the flow: what makes an artifact (training, ensembles, calibration) asks here. Knows no file and no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models.artifact_checks import MAX_TOLERANCE
from models.resnet import Classifier, half_precision_limits
from schemas.records import Precision

if TYPE_CHECKING:
    from models.artifact import F32, U8
    from models.heads import Head

GOLDEN_PICTURES = 16
FP32_TOLERANCE = 1e-3
_EVALUATION_BATCH = 32


@torch.inference_mode()
def scores_of(classifier: Classifier, pictures: U8, dtype: torch.dtype = torch.float32, log: bool = False) -> F32:
    """Probabilities of prepared pictures [n, h, w, 3] on the CPU; float32 [n, classes].

    With `log` what temperature divides: a softmax's logarithms of them, a sigmoid's logits.
    """
    parts: list[Tensor] = []
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for start in range(0, len(pictures), _EVALUATION_BATCH):
            batch = torch.from_numpy(pictures[start : start + _EVALUATION_BATCH])
            parts.append(_log(classifier, batch) if log else classifier(batch))
    result: F32 = torch.cat(parts).float().numpy()
    return result


def _log(classifier: Classifier, batch: Tensor) -> Tensor:
    logits = classifier.logits(batch)
    return logits.log_softmax(dim=1) if classifier.head == "softmax" else logits


def golden_choice(scores: F32, head: Head) -> list[int]:
    """Places of pictures of every kind: the surest of each, then such as lie between sure and unsure.

    A kind is the class that is highest or, with a sigmoid, all defects that are more likely there than not.
    """
    kinds, sure = scores.argmax(axis=1), scores.max(axis=1)
    if head == "sigmoid":
        kinds = np.unique(scores[:, 1:] >= 0.5, axis=0, return_inverse=True)[1].ravel()
        sure = np.abs(scores[:, 1:] - 0.5).min(axis=1)
    queues = [list(np.flatnonzero(kinds == index)) for index in np.unique(kinds)]
    queues = [sorted(queue, key=lambda i: float(sure[i])) for queue in queues]
    chosen: list[int] = []
    while any(queues) and len(chosen) < GOLDEN_PICTURES:
        for queue in queues:
            if queue:
                chosen.append(int(queue.pop(-1 if len(chosen) < len(queues) else len(queue) // 2)))
    return chosen[:GOLDEN_PICTURES]


def tolerances(classifier: Classifier, pictures: U8) -> dict[Precision, float]:
    """Limits from the largest difference that bfloat16 made on validation."""
    sample = pictures[:128]
    seen = float(np.abs(scores_of(classifier, sample, torch.bfloat16) - scores_of(classifier, sample)).max())
    halves = half_precision_limits(seen)
    limits = {
        Precision.FP32: FP32_TOLERANCE,
        Precision.BF16: max(0.02, halves[Precision.BF16]),
        Precision.FP16: max(0.01, halves[Precision.FP16]),
    }
    return {name: round(limit, 4) for name, limit in limits.items() if limit <= MAX_TOLERANCE}
