"""Weights from pictures that nobody has labelled: self-supervised, by finding made-up marks (`practice.py`).

Place in the flow: `lineside train --pretrain`, whose weights another training begins with; a model of good parts alone
is made of such a network too. Knows no class: what few defects the pictures show counts as what parts look like.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.artifact import U8
from models.dataset import Example, Pictures, load
from models.errors import DatasetError
from models.families import family_of
from models.fit import Fit, FitSpec, Hooks, Step
from models.keeping import Keeping, Kept, fingerprint
from models.preprocess import EncodedImage, Preprocessing
from models.resnet import Classifier, build_network
from models.train import Progress, TrainSpec, check_spec, one_thread
from models.weights import begin_with

UNLABELLED = "unlabelled"


def check_pretraining(spec: TrainSpec) -> None:
    """Before any picture is looked at: DatasetError where nothing would be learnt, and what `check_spec` raises."""
    check_spec(spec)
    if spec.fit.practice < spec.fit.batch:
        raise DatasetError(
            f"without labels a network learns by made-up marks alone; came --practice {spec.fit.practice}, give at "
            f"least a batch of {spec.fit.batch}, such as --practice 2560 (of which a ViT learns little)"
        )


def pretrain(
    images: Mapping[str, EncodedImage],
    spec: TrainSpec,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    clock: Callable[[], float] = time.monotonic,
    keeping: Keeping | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """A network's weights but for its head, after it has practised on pictures by their names. As in `train`, what
    `on_progress` raises ends it, `start` is what it begins with, and with `keeping` an ended one goes on.

    Raises DatasetError for unusable or too few pictures, TrainingFailedError as a training does.
    """
    check_pretraining(spec)
    data = _decoded(images, spec.preprocessing, on_progress)
    with one_thread():
        classifier, under_way = practising(data.pictures, spec.arch, spec.preprocessing, spec.fit, spec.seed, start)
        kept = Kept(
            under_way, keeping, "" if keeping is None else fingerprint(spec, {"train": data}, start or {}), clock
        )

        def on_step(step: Step) -> None:
            kept.every_so_often()
            on_progress(Progress("fit", step.number, step.total, step.loss, step.epoch, step.eta_s))

        with kept:
            under_way.run(Hooks(on_step, clock=clock))
    head = f"{family_of(classifier.network).head}."
    state = classifier.network.state_dict()
    return {name: value.detach().contiguous() for name, value in state.items() if not name.startswith(head)}


def practising(
    pictures: U8,
    arch: str,
    preprocessing: Preprocessing,
    fit: FitSpec,
    seed: int,
    start: Mapping[str, Tensor] | None = None,
) -> tuple[Classifier, Fit]:
    """A network of two classes, and its practice on prepared pictures, uint8 [n, h, w, 3], that is still to be run.

    DatasetError for fewer pictures than a batch.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(arch, 2)
    begin_with(network, start or {})
    classifier = Classifier(network, preprocessing.mean, preprocessing.std, 1.0)
    data = Pictures(pictures, np.zeros(len(pictures), np.int64))
    return classifier, Fit(classifier, data, 0, replace(fit, epochs=0, average=0.0, patience=0), seed)


def _decoded(
    images: Mapping[str, EncodedImage], preprocessing: Preprocessing, on_progress: Callable[[Progress], None]
) -> Pictures:
    examples = [Example(image, UNLABELLED, name) for name, image in images.items()]
    done = 0

    def on_loaded() -> None:
        nonlocal done
        done += 1
        on_progress(Progress("decode", done, len(examples)))

    if not examples:
        raise DatasetError("there is no picture to learn from")
    return load(examples, [UNLABELLED], preprocessing, on_loaded, to_train=True)
