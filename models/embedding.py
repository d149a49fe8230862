"""What a model sees in a picture: the penultimate layer's output, by which the sampler chooses pictures that differ.

Place in the flow: beside the engines, on the CPU and with one thread, so that it takes little from inspection and gives
the same numbers every time. Knows no event and no strategy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.engines.network import frozen_classifier
from models.families import without_head
from models.resnet import members_of

if TYPE_CHECKING:
    from models.artifact import F32, U8, Artifact


class Embedder:
    """The body of an artifact's network without its head. Sets torch to one thread for the whole process."""

    def __init__(self, artifact: Artifact) -> None:
        torch.set_num_threads(1)
        self.preprocessing = artifact.preprocessing
        self._classifier = frozen_classifier(artifact)
        self._body = without_head(members_of(self._classifier.network)[0])

    def embed(self, pictures: U8) -> F32:
        """Prepared pictures, uint8 [n, h, w, 3], to float32 [n, d]: what the head is given (ResNet-18: d = 512).

        An ensemble sees by its first network.
        """
        with torch.inference_mode():
            seen: F32 = self._body(self._classifier.normalised(torch.from_numpy(pictures))).float().numpy()
            return seen
