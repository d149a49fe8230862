"""From an artifact to the frozen network that every engine starts from. Knows no device."""

from __future__ import annotations

from torch import Tensor, nn

from models.artifact import Artifact
from models.places import NovelClassifier
from models.resnet import Classifier, network_of


def frozen_classifier(artifact: Artifact) -> Classifier:
    """The artifact's classifier in float32 on the CPU, in evaluation mode, without gradients; it shares its weights."""
    network = network_of(artifact.arch, len(artifact.classes), dict(artifact.weights), artifact.head)
    spec = artifact.preprocessing
    classifier = Classifier(network, spec.mean, spec.std, artifact.temperature, artifact.head)
    classifier.eval().requires_grad_(False)
    return classifier


def serving_network(artifact: Artifact) -> Classifier:
    """What engines compute: the classifier, with a last column of novelty where the model has a bank of good parts."""
    classifier, spec = frozen_classifier(artifact), artifact.preprocessing
    if artifact.novelty is None:
        return classifier
    bank = artifact.novelty.bank
    novel = NovelClassifier(classifier.network, spec.mean, spec.std, artifact.temperature, artifact.head, bank)
    novel.eval().requires_grad_(False)
    return novel


class Logits(nn.Module):
    """uint8 pictures [n, h, w, 3] to logits [n, classes]: what is quantised, for temperature may change later."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self.classifier.logits(pictures)
