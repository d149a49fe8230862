"""Trains a classifier from scratch on the pictures of a source, in minutes on two cores.

Place in the flow: examples in, a checked `Artifact` out, nothing written. The train split fits the weights, validation
chooses temperature and thresholds, test measures, once. Deterministic by seed on one machine unless a budget cuts it
short. Knows no sources, no streams and no terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
import torch
from torch import Tensor, nn

from models.artifact import F32, Artifact, Golden, ModelClass
from models.artifact_checks import check_name
from models.calibrate import (
    LeastCostRule,
    band_for,
    fit_temperature,
    fit_temperature_of_each,
    of_good,
    probabilities,
    threshold_by,
    with_threshold,
)
from models.dataset import Example, Pictures, Split, by_split, class_order, in_known_order, load, softened
from models.errors import DatasetError
from models.evaluate import any_defect, evaluate
from models.fit import Fit, FitSpec, Hooks, Step
from models.golden import golden_choice, scores_of, tolerances
from models.heads import Head
from models.keeping import Keeping, Kept, fingerprint
from models.losses import several
from models.marks import NOT_SURE
from models.measures import ranking
from models.preprocess import Preprocessing
from models.reference import reference_of
from models.resnet import Classifier, build_network, check_input, expected_tensors
from models.weights import begin_with

LEAST_SIDE = 32
"""Pixels of an input: a ResNet halves five times. Of 1 pixel oneDNN 3.13 computes bf16 gradients by stray memory."""


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
    soft_labels: bool = False  # what experts say of a picture in place of its label, where it is known
    multi_label: bool = False  # a picture may show several defects: all of its labels count, and a sigmoid says each
    escape_weight: float = 1.0
    unsure_share: float = 0.03  # of good parts that people may be asked about
    seed: int = 0
    order: tuple[str, ...] = ()  # classes that keep this order; others come behind them


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
    keeping: Keeping | None = None,
    start: Mapping[str, Tensor] | None = None,
    known: Sequence[str] = (),
) -> Artifact:
    """Decode, fit, calibrate, measure. What `on_progress` raises ends the training: so a caller cancels it.

    `start` are the weights to begin with, of the same architecture. Classes that they know (`known`, in their order) go
    on with what the head has learned of them; without that a head of other classes is left out. With `keeping` an ended
    training of the same pictures and settings goes on.

    Raises DatasetError for unusable examples, TrainingFailedError where the loss stops being a number, and what
    `check_spec` raises.
    """
    check_spec(spec)
    if not spec.multi_label:
        examples = [replace(example, also=()) for example in examples]
    labels = (label for example in examples for label in example.labels)
    names = in_known_order(class_order(labels, spec.good), (spec.good, *spec.order))
    for name in names:
        check_name("a class name", name)
    splits = by_split(examples, names)
    data = _to_learn_from(splits, _decoded(splits, names, spec.preprocessing, on_progress), spec, len(names))
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        network = build_network(spec.arch, len(names))
    begin_with(network, start or {}, known, names)
    head: Head = "sigmoid" if spec.multi_label else "softmax"
    classifier = Classifier(network, spec.preprocessing.mean, spec.preprocessing.std, 1.0, head)
    started = clock()
    with one_thread():
        under_way = Fit(classifier, data["train"], names.index(spec.good), spec.fit, spec.seed)
        kept = Kept(under_way, keeping, "" if keeping is None else fingerprint(spec, data, start or {}, known), clock)

        def on_step(step: Step) -> None:
            kept.every_so_often()
            on_progress(Progress("fit", step.number, step.total, step.loss, step.epoch, step.eta_s))

        with kept:
            under_way.run(Hooks(on_step, lambda network: _auroc(network, classifier, data["validation"]), clock))
        classifier.eval().requires_grad_(False)
        return _finished(classifier, data, names, spec, now(), clock() - started, under_way)


def check_spec(spec: TrainSpec) -> None:
    """Before any picture is looked at: DatasetError for settings that don't go together, ModelRefusedError for an
    architecture that is unknown or takes other inputs.
    """
    check_input(spec.arch, spec.preprocessing.width, spec.preprocessing.height)
    if min(spec.preprocessing.width, spec.preprocessing.height) < LEAST_SIDE:
        came = f"{spec.preprocessing.width}x{spec.preprocessing.height}"
        raise DatasetError(f"a network learns nothing of an input under {LEAST_SIDE} pixels a side; came {came}")
    if spec.soft_labels and not spec.preprocessing.is_whole:
        raise DatasetError("experts speak of whole pictures: soft labels don't go with tiles or regions")
    if spec.soft_labels and spec.multi_label:
        raise DatasetError("experts speak of one defect: soft labels don't go with several labels of a picture")
    if spec.fit.freeze_norm and not any(name.endswith(".running_mean") for name in expected_tensors(spec.arch, 2)):
        raise DatasetError(f"a {spec.arch} has no BatchNorm that could be left as it came; leave out --freeze-norm")


def _to_learn_from(
    splits: Mapping[Split, Sequence[Example]], data: Mapping[Split, Pictures], spec: TrainSpec, classes: int
) -> dict[Split, Pictures]:
    """The same splits, with what the training split teaches."""
    train = data["train"]
    if spec.soft_labels:
        train = softened(splits["train"], train, classes)
    elif spec.multi_label:
        train = several(train)
    return {**data, "train": train}


def _auroc(network: nn.Module, classifier: Classifier, validation: Pictures) -> float:
    """How well a network orders the validation split: the chance that a bad picture scores above a good one."""
    before, classifier.network = classifier.network, network
    try:
        rows = scores_of(classifier, validation.pictures)
    finally:
        classifier.network = before
    good = validation.combined(rows, _defects(rows.shape[1]))[:, 0]
    return ranking(np.asarray(1 - good, np.float32), validation.labels != 0).auroc.value or 0.0


def _defects(classes: int) -> list[bool]:
    """Which classes are defects: in training, all but the first."""
    return [index > 0 for index in range(classes)]


@contextmanager
def one_thread() -> Iterator[None]:
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

    return {name: load(members, names, spec, on_loaded, name == "train") for name, members in splits.items()}


def _finished(
    classifier: Classifier,
    data: dict[Split, Pictures],
    names: Sequence[str],
    spec: TrainSpec,
    created_at: datetime,
    fit_s: float,
    trained: Fit,
) -> Artifact:
    """Calibrate on validation, then measure on test, and pack."""
    validation, test = data["validation"], data["test"]
    logits = scores_of(classifier, validation.pictures, torch.float32, log=True)
    classifier.temperature = _temperature(logits, validation, classifier.head)
    classes = tuple(ModelClass(name, "defect" if i else "good", 0.5 if i else None) for i, name in enumerate(names))
    rows, defects = probabilities(logits, classifier.temperature, classifier.head), _defects(len(names))
    scores = validation.combined(rows, defects)
    together = any_defect(scores, classes).astype(np.float64)
    threshold = threshold_by(LeastCostRule(spec.escape_weight, 1.0, 0.5), together, validation.labels != 0)
    classes = with_threshold(classes, threshold)
    told = test.combined(scores_of(classifier, test.pictures), defects)
    tested = evaluate(told, test.truths(classifier.head), classes, threshold)
    chosen = golden_choice(rows, classifier.head)
    return Artifact(
        model_id=spec.model_id,
        arch=spec.arch,
        classes=classes,
        preprocessing=spec.preprocessing,
        unsure_band=band_for(together, of_good(validation.labels != 0), threshold, spec.unsure_share),
        any_defect_threshold=threshold,
        tolerance=tolerances(classifier, validation.pictures),
        weights={name: value.detach().contiguous() for name, value in classifier.network.state_dict().items()},
        golden=Golden(validation.pictures[chosen], scores_of(classifier, validation.pictures[chosen])),
        created_at=created_at,
        temperature=classifier.temperature,
        head=classifier.head,
        reference=reference_of(together[validation.labels == 0]),
        metrics={
            "test": tested.to_json(),
            "validation": evaluate(scores, validation.truths(classifier.head), classes, threshold).to_json(),
            "pictures": {name: len(pictures.labels) for name, pictures in data.items()},
            "fit_s": round(fit_s, 1),
            "precision": trained.precision.name,
            "seed": spec.seed,
            "loss_by_epoch": [round(loss, 5) for loss in trained.curve[0]],
            "validation_auroc_by_epoch": [round(value, 5) for value in trained.curve[1]],
        },
    )


def _temperature(logits: F32, validation: Pictures, head: Head) -> float:
    """By what the network was shown of the validation split, [m, classes], as far as it is known."""
    if head == "sigmoid":
        return fit_temperature_of_each(logits, validation.shown)
    shown = validation.labels if validation.views is None else validation.views
    return fit_temperature(logits[shown != NOT_SURE], shown[shown != NOT_SURE])
