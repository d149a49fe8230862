"""A model small enough for tests and chaos: a ResNet-18 of random weights on 32 x 32 pixels, made in under a second.

Its scores mean nothing; they differ from picture to picture, so that every outcome occurs.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import torch

from models.artifact import Artifact, Golden, ModelClass
from models.families import head_of
from models.heads import Head
from models.preprocess import Preprocessing
from models.resnet import Classifier, build_network
from schemas.records import Precision

TINY_SIDE = 32  # pixels
TINY_CLASSES = ("good", "scratch", "dent")
TINY_TOLERANCE = {Precision.FP32: 1e-3, Precision.BF16: 0.05, Precision.FP16: 0.02}


def tiny_artifact(
    model_id: str = "tiny",
    class_names: tuple[str, ...] = TINY_CLASSES,
    seed: int = 0,
    threshold: float = 0.5,
    unsure_band: float = 0.1,
    head: Head = "softmax",
) -> Artifact:
    """A valid artifact whose scores differ from picture to picture. The first class is good, the others are defects.

    At these thresholds it rejects or asks about half of the parts, at 0.8 and 0.02 a tenth.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network("resnet18", len(class_names))
    spec = Preprocessing(width=TINY_SIDE, height=TINY_SIDE)
    pictures = tiny_pictures(8, seed)
    classifier = Classifier(network, spec.mean, spec.std, 1.0, head)
    _spread_scores(classifier, tiny_pictures(64, seed))
    with torch.inference_mode():
        scores = classifier(torch.from_numpy(pictures)).numpy()
    return Artifact(
        model_id=model_id,
        arch="resnet18",
        classes=tuple(
            ModelClass(name, "defect" if index else "good", threshold if index else None)
            for index, name in enumerate(class_names)
        ),
        preprocessing=spec,
        unsure_band=unsure_band,
        tolerance=TINY_TOLERANCE,
        weights={name: value.detach().clone() for name, value in network.state_dict().items()},
        golden=Golden(pictures, scores),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        head=head,
    )


def tiny_pictures(count: int, seed: int = 0) -> np.ndarray:
    """Random blocks of colour, uint8 [count, 32, 32, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return np.ascontiguousarray(blocks.repeat(TINY_SIDE // 4, axis=1).repeat(TINY_SIDE // 4, axis=2))


def _spread_scores(classifier: Classifier, pictures: np.ndarray) -> None:
    """Fit BatchNorm's statistics to the pictures and centre the head, so that each class wins somewhere."""
    network, head = classifier.network, head_of(classifier.network)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain average
    with torch.inference_mode():
        classifier.train()(torch.from_numpy(pictures))
        head.weight.mul_(2)
        head.bias.zero_()
        classifier.eval()
        head.bias.sub_(classifier.logits(torch.from_numpy(pictures)).mean(dim=0))
