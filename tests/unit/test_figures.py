"""Figures of how a picture was taken: each falls or rises with what it is about, and says little of anything else."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.decoding.raw import RAW_ENCODINGS
from models.figures import figures_of
from models.preprocess import EncodedImage, Preprocessing, load_views
from streams.capture.surface import Part, draw

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return draw(Part("flange-40", 1))


def blurred(pixels: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def test_levels_are_those_of_the_picture(picture: Pixels) -> None:
    found = figures_of(picture)
    assert found.brightness == pytest.approx(picture.mean() / 255, abs=0.01)
    assert found.contrast == pytest.approx(picture.std() / 255, abs=0.01)


def test_sharpness_falls_with_each_blur_and_keeps_with_the_light(picture: Pixels) -> None:
    sharp = [figures_of(blurred(picture, radius)).sharpness for radius in (0, 0.5, 1, 2, 4)]
    assert sharp == sorted(sharp, reverse=True)
    assert sharp[2] < 0.3 * sharp[0]
    assert figures_of((picture * 0.7).astype(np.uint8)).sharpness == pytest.approx(sharp[0], rel=0.05)


def test_a_blur_of_one_pixel_shows_in_a_large_picture_too(picture: Pixels) -> None:
    large = np.asarray(Image.fromarray(picture).resize((2448, 2048), Image.Resampling.BICUBIC)).copy()
    grain = np.random.default_rng(0).normal(0, 8, large.shape[:2])[:, :, None]
    large = (large + grain).clip(0, 255).astype(np.uint8)
    assert figures_of(blurred(large, 1)).sharpness < 0.5 * figures_of(large).sharpness


def test_what_is_over_or_underexposed_is_clipped(picture: Pixels) -> None:
    assert figures_of(picture).clipped < 0.02
    assert figures_of((picture * 3.0).clip(0, 255).astype(np.uint8)).clipped > 0.5
    assert figures_of((picture * 0.01).astype(np.uint8)).clipped == 1


def test_edges_move_with_the_camera_each_along_its_side(picture: Pixels) -> None:
    scene = np.full((400, 600, 3), 90, np.uint8)
    scene[150:250, 200:300] = 200
    before, across, down = (figures_of(np.roll(scene, *by)) for by in ((0, 0), (60, 1), (40, 0)))
    assert (before.edge_x, before.edge_y) == pytest.approx((250 / 600, 200 / 400), abs=0.01)
    assert (across.edge_x, across.edge_y) == pytest.approx((310 / 600, 200 / 400), abs=0.01)
    assert (down.edge_x, down.edge_y) == pytest.approx((250 / 600, 240 / 400), abs=0.01)


def test_the_same_pixels_give_the_same_figures_and_others_do_not(picture: Pixels) -> None:
    assert figures_of(picture) == figures_of(picture.copy())
    assert figures_of(picture) != figures_of(draw(Part("flange-40", 2)))


@pytest.mark.parametrize("shape", [(2, 2, 3), (16, 16, 3), (17, 800, 3), (800, 17, 3), (20_000, 20, 3), (33, 1024, 3)])
@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_picture_of_any_size_without_anything_on_it_has_finite_figures(
    shape: tuple[int, int, int], level: int
) -> None:
    found = figures_of(np.full(shape, level, np.uint8))
    assert np.isfinite(astuple(found)).all()
    assert (found.brightness, found.sharpness) == pytest.approx((level / 255, 0), abs=1e-6)
    assert (found.edge_x, found.edge_y, found.clipped) == (0.5, 0.5, float(level != 100))


def test_they_are_measured_as_the_camera_gave_the_picture_not_as_a_network_sees_it() -> None:
    assert "MONO8" in RAW_ENCODINGS
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)
    image = EncodedImage(pixels.tobytes(), "MONO8", 160, 120)
    seen = load_views(image, Preprocessing(width=32, height=32))
    assert seen.figures == figures_of(pixels[:, :, None].repeat(3, axis=2))
