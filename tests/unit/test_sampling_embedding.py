"""What a model sees in a picture, for the sampler."""

from __future__ import annotations

import numpy as np
import torch

from models.embedding import Embedder
from tests.models_fixture import tiny_artifact, tiny_pictures


def test_an_embedding_is_what_the_head_reads() -> None:
    """The head on top of the embedding gives the artifact's own golden scores."""
    artifact = tiny_artifact()
    embedded = Embedder(artifact).embed(artifact.golden.pictures)
    assert embedded.shape == (len(artifact.golden.pictures), 512)
    assert embedded.dtype == np.float32
    logits = embedded @ artifact.weights["fc.weight"].numpy().T + artifact.weights["fc.bias"].numpy()
    scores = torch.softmax(torch.from_numpy(logits) / artifact.temperature, dim=1).numpy()
    np.testing.assert_allclose(scores, artifact.golden.scores, atol=1e-4)


def test_the_same_picture_gives_the_same_numbers_every_time() -> None:
    embedder, picture = Embedder(tiny_artifact()), tiny_pictures(1)
    np.testing.assert_array_equal(embedder.embed(picture), embedder.embed(picture))
