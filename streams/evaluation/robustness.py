"""How decisions hold up under disturbances: escape and overkill for each, from none to strong.

Place in the flow: `lineside evaluate --robustness`. Knows no engine: whoever asks brings the scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.artifact import U8
from models.dataset import Pictures
from models.disturbances import STRENGTHS, disturbed
from models.evaluate import Rate, evaluate
from models.examination import Rule

MOST = 400  # pictures, each of which is scored 31 times
Score = Callable[[Pictures], np.ndarray[Any, np.dtype[np.float32]]]


@dataclass(frozen=True, slots=True)
class Robustness:
    """By disturbance, escape and overkill at strength 0 (as they are) to 3, each over the same `pictures`."""

    pictures: int
    rates: Mapping[str, tuple[tuple[Rate, Rate], ...]]

    def to_json(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures,
            "disturbances": {
                name: [
                    {"strength": strength, "escape": escape.to_json(), "overkill": overkill.to_json()}
                    for strength, (escape, overkill) in zip((0.0, *STRENGTHS[name]), rates, strict=True)
                ]
                for name, rates in self.rates.items()
            },
        }


def robustness(
    pictures: Pictures, rule: Rule, score: Score, seed: int, on_done: Callable[[int, int], None]
) -> Robustness:
    """Of a split; at most MOST pictures, drawn by `seed`. Progress as (done, total)."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pictures.labels))[:MOST])
    pictures = pictures.some(chosen)
    labels = pictures.labels
    total, done = 1 + sum(map(len, STRENGTHS.values())), 0

    def rates_of(shown: U8) -> tuple[Rate, Rate]:
        nonlocal done
        decided = evaluate(score(replace(pictures, pictures=shown)), labels, rule.classes, rule.any_defect_threshold)
        done += 1
        on_done(done, total)
        return decided.escape, decided.overkill

    plain = rates_of(pictures.pictures)
    found = {
        name: (
            plain,
            *(
                rates_of(np.stack([disturbed(p, name, strength, seed + n) for n, p in enumerate(pictures.pictures)]))
                for strength in strengths
            ),
        )
        for name, strengths in STRENGTHS.items()
    }
    return Robustness(len(labels), found)
