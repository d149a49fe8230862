"""Heatmaps: they show the place that speaks for a class, lie over the picture as it is, and are the same every time."""

from __future__ import annotations

import dataclasses
import io
from functools import lru_cache

import numpy as np
import pytest
import torch
from PIL import Image

from models.artifact import Artifact, Golden
from models.engines.network import frozen_classifier
from models.errors import ModelError
from models.explain import OVERLAY_COLOUR, heatmap, overlay_png
from models.families import stages
from models.preprocess import EncodedImage, Preprocessing, RejectedImageError, prepare
from tests.models_fixture import tiny_artifact

SIDE = 256  # pixels: 8 x 8 places in the last stage
BLEMISH = 48


def picture(left: int | None = None, top: int = 0, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Plain grey metal, with a coloured chequered blemish where one is asked for."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    if left is not None:
        rows, columns = np.indices((BLEMISH, BLEMISH)) // 6
        chequered = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
        pixels[top : top + BLEMISH, left : left + BLEMISH] = chequered[..., None] * np.uint8([1, 1, 0])
    return pixels


@lru_cache
def taught(**spec: object) -> Artifact:
    """The tiny model at a larger input, with a head whose `scratch` looks for what the blemish alone sets off."""
    tiny = tiny_artifact()
    preprocessing = Preprocessing(width=SIDE, height=SIDE, **spec)  # type: ignore[arg-type]
    pictures = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    larger = dataclasses.replace(
        tiny, preprocessing=preprocessing, golden=Golden(pictures, np.float32([[0.5, 0.25, 0.25]]))
    )
    classifier = frozen_classifier(larger)
    shown = torch.from_numpy(np.stack([picture(104, 104), picture()]))
    with torch.inference_mode():
        blemished, plain = stages(classifier.network, classifier.normalised(shown))[-1]
    head = tiny.weights["fc.weight"].clone()
    head[1] = (blemished - plain).mean(dim=(1, 2))
    head[1] -= plain.mean(dim=(1, 2)) * (head[1] @ plain.mean(dim=(1, 2))) / plain.mean(dim=(1, 2)).square().sum()
    return dataclasses.replace(larger, weights={**tiny.weights, "fc.weight": head})


def centre(heat: np.ndarray) -> tuple[float, float]:
    """Centre of the hottest places, as x and y in pixels."""
    rows, columns = np.nonzero(heat >= 0.8)
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize(("left", "top"), [(16, 16), (192, 24), (24, 184), (184, 192)])
def test_the_heat_lies_on_the_blemish_wherever_it_is(left: int, top: int) -> None:
    heat = heatmap(taught(), picture(left, top), "scratch")

    assert heat.shape == (SIDE, SIDE)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert 0.8 < heat.max() <= 1
    x, y = centre(heat)
    assert abs(x - (left + BLEMISH / 2)) < 40
    assert abs(y - (top + BLEMISH / 2)) < 40


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize(("height", "width"), [(160, 480), (480, 160)])
def test_the_heat_comes_back_to_the_coordinates_of_the_upright_picture(fit: str, height: int, width: int) -> None:
    left, top = (400, 60) if width > height else (60, 400)

    heat = heatmap(taught(fit=fit), picture(left, top, height, width), "scratch")

    assert heat.shape == (height, width)
    x, y = centre(heat)
    assert abs(x - (left + BLEMISH / 2)) < 70
    assert abs(y - (top + BLEMISH / 2)) < 70


def test_the_channel_weights_are_the_gradients_of_the_class_as_grad_cam_defines_them() -> None:
    artifact, pixels = taught(), picture(184, 192)
    classifier = frozen_classifier(artifact)
    features = stages(classifier.network, classifier.normalised(torch.from_numpy(pixels)[None]))[-1]
    features = features.detach().requires_grad_()
    classifier.network.fc(features.mean(dim=(2, 3)))[0, 1].backward()
    weighted = (features * features.grad.mean(dim=(2, 3), keepdim=True)).sum(dim=1, keepdim=True).relu().detach()
    expected = torch.nn.functional.interpolate(weighted / weighted.max(), (SIDE, SIDE), mode="bilinear")[0, 0]

    assert np.allclose(heatmap(artifact, pixels, "scratch"), expected, atol=1e-4)


def test_a_class_that_nothing_speaks_for_gets_no_heat() -> None:
    artifact = taught()
    head = artifact.weights["fc.weight"].clone()
    head[2] = -1.0  # features are never negative
    artifact = dataclasses.replace(artifact, weights={**artifact.weights, "fc.weight": head})

    assert not heatmap(artifact, picture(16, 16), "dent").any()


def test_the_same_picture_gives_the_same_heat_and_torch_keeps_its_threads() -> None:
    artifact, threads = taught(), torch.get_num_threads()

    first, again = (heatmap(artifact, picture(192, 24), "scratch") for _ in range(2))

    assert np.array_equal(first, again)
    assert torch.get_num_threads() == threads


def test_encoded_pictures_go_through_the_preprocessing_path() -> None:
    file = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(file, "PNG")

    heat = heatmap(taught(), EncodedImage(file.getvalue(), "PNG"), "scratch")

    assert np.array_equal(heat, heatmap(taught(), picture(16, 16), "scratch"))
    with pytest.raises(RejectedImageError, match="EMPTY"):
        heatmap(taught(), EncodedImage(b"", "PNG"), "scratch")


def test_a_label_that_is_no_class_is_told_with_the_classes_there_are() -> None:
    with pytest.raises(ModelError, match="'rust' is no class of model tiny; its classes are good, scratch, dent"):
        heatmap(tiny_artifact(), prepare(picture(), tiny_artifact().preprocessing), "rust")


def test_pixels_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        heatmap(tiny_artifact(), np.zeros((32, 32, 3)), "scratch")


def test_the_overlay_is_clear_where_there_is_no_heat_and_keeps_the_ratio_of_a_large_picture() -> None:
    heat = np.zeros((1000, 3000), np.float32)
    heat[:, 2000:] = 1

    with Image.open(io.BytesIO(overlay_png(heat))) as overlay:
        assert (overlay.mode, overlay.size) == ("RGBA", (1024, 341))
        assert overlay.getpixel((10, 100)) == (*OVERLAY_COLOUR, 0)
        red, green, blue, alpha = overlay.getpixel((1000, 100))
        assert (red, green, blue) == OVERLAY_COLOUR
        assert 140 < alpha < 160
