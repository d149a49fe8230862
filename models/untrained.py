"""A model of random weights, for speed alone: it depends on the architecture, not on what the weights say.

Place in the flow: benchmarks of architectures that nobody has trained yet. Never saved, never served.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import torch

from models.artifact import Artifact, Golden, ModelClass
from models.families import head_of
from models.preprocess import Preprocessing
from models.resnet import Classifier, build_network, check_input
from schemas.records import Precision

CLASSES = ("good", "scratch", "dent")
TOLERANCE = {Precision.FP32: 1e-3, Precision.BF16: 0.1, Precision.FP16: 0.05}


def untrained(arch: str, width: int, height: int) -> Artifact:
    """An artifact for inputs of this size in pixels; its golden scores are its own.

    BatchNorm's statistics are fitted, so that half precision does not overflow; the head is drawn, where it comes as
    zeros. ModelRefusedError for an architecture that is unknown or takes other inputs.
    """
    check_input(arch, width, height)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, spec = build_network(arch, len(CLASSES)), Preprocessing(width=width, height=height)
        head_of(network).reset_parameters()
    pictures = np.random.default_rng(0).integers(0, 256, (16, height, width, 3), dtype=np.uint8)
    classifier = Classifier(network, spec.mean, spec.std, 1.0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.inference_mode():
        classifier.train()(torch.from_numpy(pictures))
        scores = classifier.eval()(torch.from_numpy(pictures[:8])).numpy()
    return Artifact(
        model_id=arch,
        arch=arch,
        classes=tuple(
            ModelClass(name, "defect" if n else "good", 0.5 if n else None) for n, name in enumerate(CLASSES)
        ),
        preprocessing=spec,
        unsure_band=0.1,
        tolerance=TOLERANCE,
        weights={name: value.detach().clone() for name, value in network.state_dict().items()},
        golden=Golden(pictures[:8], scores),
        created_at=datetime.now(UTC),
    )
