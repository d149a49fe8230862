"""Scores of many prepared pictures by an engine, as it will serve: in its own batches and precision.

Place in the flow: evaluation and comparison of exports. Knows no thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.artifact import F32, U8
    from models.dataset import Pictures
    from models.engines import Engine


def scores_by(
    engine: Engine,
    pictures: Pictures,
    defects: Sequence[bool],
    on_scored: Callable[[int], None] = lambda done: None,
) -> F32:
    """Pictures to probabilities float32 [n, classes], of all their views together; n must be 1 or more.

    `defects` says of each class whether it is one. Progress counts what the network sees.
    """
    return pictures.combined(split(answers_by(engine, pictures.pictures, on_scored), engine)[0], defects)


def split(answers: F32, engine: Engine) -> tuple[F32, F32 | None]:
    """What an engine gave, to probabilities [n, classes] and novelty [n], None where it gives none."""
    return (answers[:, :-1], answers[:, -1]) if engine.gives_novelty else (answers, None)


def answers_by(engine: Engine, pictures: U8, on_scored: Callable[[int], None] = lambda done: None) -> F32:
    """Prepared pictures uint8 [n, h, w, 3] to all that the engine gives, float32 [n, classes (+ 1)]."""
    most, found = max(engine.buckets), []
    for start in range(0, len(pictures), most):
        found.append(engine.submit(pictures[start : start + most]).result())
        on_scored(min(start + most, len(pictures)))
    return np.asarray(np.concatenate(found), np.float32)
