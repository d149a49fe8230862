"""Where in a picture a network saw a class: heatmaps, for a person who wants to check a score.

Place in the flow: asked on demand by the rework station, never by inspection. Pictures come through the one
preprocessing path, and the map goes back through its geometry onto the upright picture. Methods: of a ResNet, Grad-CAM
(Selvaraju et al. 2017). It ends in an average over places and one linear layer, so the gradient of a class's logit is
the same everywhere in a channel, and Grad-CAM's weights are that layer's own (as in Zhou et al. 2016): no backward pass
needed. Of a Vision Transformer, attention by its gradients (Chefer et al. 2021, see `vit.relevance`). Knows no event,
no page and no threshold.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.artifact import F32, U8, Artifact
from models.engines.network import frozen_classifier
from models.errors import ModelError
from models.families import family_of, head_of
from models.heads import probabilities
from models.preprocess import EncodedImage, Preprocessing, decode, prepare, views_in
from models.resnet import Classifier, members_of

OVERLAY_MAX_SIDE = 1024  # pixels: a 7 x 7 map has no more to say, and a page loads it at once
OVERLAY_COLOUR = (230, 159, 0)  # Okabe and Ito's orange: told apart with any colour vision, and no state's colour
OVERLAY_MAX_ALPHA = 0.6
_ONE_AT_A_TIME = threading.Lock()


def heatmap(artifact: Artifact, picture: U8 | EncodedImage, label: str, is_view: bool = False) -> F32:
    """How much each place speaks for `label`: float32 [h, w] in 0..1 over the upright picture, 0 where nothing does.

    `picture` is upright uint8 RGB [h, w, 3] or what `decode` takes; `is_view` says that it is a view already. Of a
    model that looks at several views, the one that speaks most for `label` is shown. The strongest place is 1.
    Computed in float32 on the CPU by one thread, one picture at a time. Raises ModelError for a label that is no class
    of the model, RejectedImageError for a picture that can't be decoded, ValueError for pixels of another shape or
    type.
    """
    names = [item.name for item in artifact.classes]
    if label not in names:
        raise ModelError(f"{label!r:.80} is no class of model {artifact.model_id}; its classes are {', '.join(names)}")
    pixels = decode(picture) if isinstance(picture, EncodedImage) else picture
    spec, index = artifact.preprocessing, names.index(label)
    if is_view:
        spec = replace(spec, regions=(), tile=0, overview=False)
    seen = views_in(pixels, spec)
    with _one_thread(), torch.no_grad():
        classifier = _classifier(artifact)
        place = _strongest(classifier, seen.pixels, index)
        evidence = _evidence(classifier, torch.from_numpy(seen.pixels[place])[None], index)
        view, heat = seen.views[place], np.zeros(pixels.shape[:2], np.float32)
        inside = heat[view.y : view.y + view.height, view.x : view.x + view.width]
        inside[:] = _over_picture(evidence, spec, view.height, view.width)
        return heat


def overlay_png(heat: F32, max_side: int = OVERLAY_MAX_SIDE) -> bytes:
    """A PNG to lay over the picture, stretched to its size: one colour, the more opaque the more evidence.

    `heat` is float32 [h, w] in 0..1. No side is longer than `max_side` pixels.
    """
    height, width = heat.shape
    scale = min(1.0, max_side / max(height, width))
    alpha = Image.fromarray((heat * (255 * OVERLAY_MAX_ALPHA)).round().astype(np.uint8))
    alpha = alpha.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)
    overlay = Image.new("RGBA", alpha.size, OVERLAY_COLOUR)
    overlay.putalpha(alpha)
    file = io.BytesIO()
    overlay.save(file, "PNG")
    return file.getvalue()


@lru_cache(maxsize=2)
def _classifier(artifact: Artifact) -> Classifier:
    return frozen_classifier(artifact)


def _strongest(classifier: Classifier, views: U8, index: int) -> int:
    """Which of the views [k, h, w, 3] has the highest probability of the class; one at a time, for memory's sake."""
    if len(views) == 1:
        return 0
    return int(np.argmax([float(classifier(torch.from_numpy(view)[None])[0, index]) for view in views]))


def _evidence(classifier: Classifier, picture: Tensor, index: int) -> Tensor:
    """uint8 [1, h, w, 3] to [1, 1, rows, columns], the strongest place 1.

    Of an ensemble, the sum of its networks', each by the probability that it gives the class. For the good class of a
    sigmoid speaks what speaks against the defects.
    """
    inputs, members = classifier.normalised(picture), members_of(classifier.network)
    direction = torch.zeros(int(head_of(members[0]).out_features))
    direction[index] = 1
    if index == 0 and classifier.head == "sigmoid":
        direction = torch.cat((torch.zeros(1), -torch.ones(len(direction) - 1)))
    maps = [_to_one(family_of(network).evidence(network, inputs, direction)) for network in members]
    if len(maps) == 1:
        return maps[0]
    height, width = (max(seen.shape[axis] for seen in maps) for axis in (2, 3))
    shares = [float(probabilities(network(inputs), classifier.head)[0, index]) for network in members]
    together = torch.stack([_resized(seen, height, width) * share for seen, share in zip(maps, shares, strict=True)])
    return _to_one(together.sum(dim=0))


def _to_one(evidence: Tensor) -> Tensor:
    peak = evidence.amax()
    return evidence / peak if peak > 0 else evidence


def _over_picture(evidence: Tensor, spec: Preprocessing, height: int, width: int) -> F32:
    """[1, 1, h/32, w/32] of the network's input to [height, width] of the picture; letterbox bars are cut off."""
    black = prepare(np.zeros((height, width, 3), np.uint8), spec)[..., 0] == 0  # bars are grey: black is the picture
    rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
    over_input = _resized(evidence, spec.height, spec.width)
    inner = over_input[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    heat: F32 = _resized(inner, height, width)[0, 0].clamp(0, 1).numpy()
    return heat


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.interpolate(maps, (height, width), mode="bilinear", align_corners=False)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Leaves the other cores to whoever else runs here; torch's number of threads is the whole process's."""
    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
