"""From an artifact to the frozen network that every engine starts from. Knows no device."""

from __future__ import annotations

from models.artifact import Artifact
from models.resnet import Classifier, build_network


def frozen_classifier(artifact: Artifact) -> Classifier:
    """The artifact's classifier in float32 on the CPU, in evaluation mode, without gradients."""
    network = build_network(artifact.arch, len(artifact.classes))
    network.load_state_dict(dict(artifact.weights), strict=True)
    spec = artifact.preprocessing
    classifier = Classifier(network, spec.mean, spec.std, artifact.temperature)
    classifier.eval().requires_grad_(False)
    return classifier
