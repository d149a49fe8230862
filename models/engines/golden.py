"""Promise 8 at load time: the same picture gets the same score in every batch size and every place of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.artifact import Artifact
from models.errors import ModelRefusedError

if TYPE_CHECKING:
    from models.engines import Engine

PLACES = (0, 1)  # pictures are rotated by these, so that each stands in more than one place


def check_golden(engine: Engine, artifact: Artifact) -> None:
    """Run the golden pictures in every bucket; ModelRefusedError where a score is off by more than the tolerance."""
    limit = artifact.tolerance.get(engine.precision)
    if limit is None:
        known = ", ".join(artifact.tolerance)
        raise ModelRefusedError(f"{artifact.model_id} states no tolerance for {engine.precision}; it has one for {known}")
    count = len(artifact.golden_pictures)
    for bucket in engine.buckets:
        for shift in PLACES:
            order = (np.arange(bucket) + shift) % count
            scores = engine.submit(np.ascontiguousarray(artifact.golden_pictures[order])).result()
            off = np.abs(scores - artifact.golden_scores[order]).max(axis=1)
            worst = int(np.nan_to_num(off, nan=np.inf).argmax())
            if not off[worst] <= limit:
                raise ModelRefusedError(
                    f"{artifact.model_id} on {engine.device} in {engine.precision}: golden picture {order[worst]} in a "
                    f"batch of {bucket} scores {_text(scores[worst])}, expected {_text(artifact.golden_scores[order[worst]])} "
                    f"within {limit}"
                )


def _text(scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    return "[" + ", ".join(f"{score:.4f}" for score in scores) + "]"
