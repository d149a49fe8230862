"""Trains a classifier from scratch on the pictures of a source, in minutes on two cores.

Place in the flow: examples in, a checked `Artifact` out, nothing written. The train split fits the weights, validation
chooses temperature and thresholds, test measures, once. Deterministic by seed on one machine unless a budget cuts it
short. Knows no sources, no streams and no terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.artifact import F32, U8, Artifact, Golden, ModelClass
from models.calibrate import choose_band, choose_threshold, fit_temperature, softmax, with_threshold
from models.dataset import Example, Pictures, Split, by_split, class_order, load
from models.evaluate import evaluate
from models.fit import FitSpec, Step, fit
from models.preprocess import Preprocessing
from models.resnet import Classifier, build_network
from schemas.records import Precision

GOLDEN_PICTURES = 16
FP32_TOLERANCE = 1e-3
TOLERANCE_MARGIN = 3.0  # over the largest difference seen in bfloat16
MAX_TOLERANCE = 0.2  # a precision that differs by more isn't offered
_EVALUATION_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """What to train. `good` is the label of good parts; `mean` and `std` of the preprocessing are kept as given.

    `escape_weight`: how many overkills in 100 good parts one escape in 100 bad parts is worth, for the threshold.
    """

    model_id: str
    arch: str = "resnet18"
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(width=160, height=120))
    fit: FitSpec = field(default_factory=FitSpec)
    good: str = "good"
    escape_weight: float = 1.0
    unsure_share: float = 0.03  # of good parts that people may be asked about
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is. `stage` is "decode", "fit" or "measure"; `loss` is None but in "fit"."""

    stage: str
    done: int
    total: int
    loss: float | None = None
    epoch: int = 0
    eta_s: float | None = None


def train(
    examples: Sequence[Example],
    spec: TrainSpec,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> Artifact:
    """Decode, fit, calibrate, measure. What `on_progress` raises ends the training: so a caller cancels it.

    Raises DatasetError for unusable examples, TrainingFailedError where the loss stops being a number.
    """
    names = class_order((example.label for example in examples), spec.good)
    data = _decoded(by_split(examples, names), names, spec.preprocessing, on_progress)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        network = build_network(spec.arch, len(names))
    classifier = Classifier(network, spec.preprocessing.mean, spec.preprocessing.std, 1.0)

    def on_step(step: Step) -> None:
        on_progress(Progress("fit", step.number, step.total, step.loss, step.epoch, step.eta_s))

    started = clock()
    with _one_thread():
        fit(classifier, data["train"], names.index(spec.good), spec.fit, spec.seed, on_step, clock)
        classifier.eval().requires_grad_(False)
        return _finished(classifier, data, names, spec, now(), clock() - started)


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread: on two cores a second one gained nothing here, and beside any other load the two wait for
    each other so busily that a step takes twenty times as long (measured with torch 2.15, batches of 16 and 32).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _decoded(
    splits: dict[Split, list[Example]],
    names: Sequence[str],
    spec: Preprocessing,
    on_progress: Callable[[Progress], None],
) -> dict[Split, Pictures]:
    total, done = sum(map(len, splits.values())), 0

    def on_loaded() -> None:
        nonlocal done
        done += 1
        on_progress(Progress("decode", done, total))

    return {name: load(members, names, spec, on_loaded) for name, members in splits.items()}


def _finished(
    classifier: Classifier,
    data: dict[Split, Pictures],
    names: Sequence[str],
    spec: TrainSpec,
    created_at: datetime,
    fit_s: float,
) -> Artifact:
    """Calibrate on validation, then measure on test, and pack."""
    validation, test = data["validation"], data["test"]
    logits = scores_of(classifier, validation.pictures, torch.float32, log=True)
    classifier.temperature = fit_temperature(logits, validation.labels)
    classes = tuple(ModelClass(name, "defect" if i else "good", 0.5 if i else None) for i, name in enumerate(names))
    scores = softmax(logits, classifier.temperature)
    threshold = choose_threshold(scores, validation.labels, classes, spec.escape_weight)
    classes = with_threshold(classes, threshold)
    tested = evaluate(scores_of(classifier, test.pictures), test.labels, classes, threshold)
    chosen = _golden_choice(scores)
    return Artifact(
        model_id=spec.model_id,
        arch=spec.arch,
        classes=classes,
        preprocessing=spec.preprocessing,
        unsure_band=choose_band(scores, validation.labels, classes, threshold, spec.unsure_share),
        any_defect_threshold=threshold,
        tolerance=_tolerances(classifier, validation.pictures),
        weights={name: value.detach().contiguous() for name, value in classifier.network.state_dict().items()},
        golden=Golden(validation.pictures[chosen], scores_of(classifier, validation.pictures[chosen])),
        created_at=created_at,
        temperature=classifier.temperature,
        metrics={
            "test": tested.to_json(),
            "validation": evaluate(scores, validation.labels, classes, threshold).to_json(),
            "pictures": {name: len(pictures.labels) for name, pictures in data.items()},
            "fit_s": round(fit_s, 1),
            "seed": spec.seed,
        },
    )


@torch.inference_mode()
def scores_of(classifier: Classifier, pictures: U8, dtype: torch.dtype = torch.float32, log: bool = False) -> F32:
    """Probabilities, or their logarithms, of prepared pictures [n, h, w, 3] on the CPU; float32 [n, classes]."""
    parts: list[Tensor] = []
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for start in range(0, len(pictures), _EVALUATION_BATCH):
            batch = torch.from_numpy(pictures[start : start + _EVALUATION_BATCH])
            parts.append(classifier.logits(batch).log_softmax(dim=1) if log else classifier(batch))
    result: F32 = torch.cat(parts).float().numpy()
    return result


def _golden_choice(scores: F32) -> list[int]:
    """Pictures of every class that is ever highest: the surest of each, then such as lie between sure and unsure."""
    winners = scores.argmax(axis=1)
    queues = [list(np.flatnonzero(winners == index)) for index in np.unique(winners)]
    queues = [sorted(queue, key=lambda i: float(scores[i].max())) for queue in queues]
    chosen: list[int] = []
    while any(queues) and len(chosen) < GOLDEN_PICTURES:
        for queue in queues:
            if queue:
                chosen.append(int(queue.pop(-1 if len(chosen) < len(queues) else len(queue) // 2)))
    return chosen[:GOLDEN_PICTURES]


def _tolerances(classifier: Classifier, pictures: U8) -> dict[Precision, float]:
    """Limits from the largest difference that bfloat16 made on validation; float16 has eight times its resolution."""
    sample = pictures[:128]
    seen = float(np.abs(scores_of(classifier, sample, torch.bfloat16) - scores_of(classifier, sample)).max())
    limits: dict[Precision, Any] = {
        Precision.FP32: FP32_TOLERANCE,
        Precision.BF16: max(0.02, TOLERANCE_MARGIN * seen),
        Precision.FP16: max(0.01, TOLERANCE_MARGIN * seen / 4),
    }
    return {name: round(limit, 4) for name, limit in limits.items() if limit <= MAX_TOLERANCE}
