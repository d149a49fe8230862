"""Masks to polygons and back: within a pixel, the largest piece, few corners."""

from __future__ import annotations

import numpy as np
import pytest

from models.locating.outlines import MAX_POINTS, drawn, outline, outlines_of, simplified
from tests.discs import disc_outline


def soft_disc(side: int = 28) -> np.ndarray:
    """The probabilities of a disc that fills a mask, 0.5 on its border, float32 [side, side]."""
    middle = (np.arange(side) + 0.5) / side - 0.5
    return np.clip(0.5 - (np.hypot(*np.meshgrid(middle, middle)) - 0.5) * side / 2, 0, 1).astype(np.float32)


def test_a_discs_outline_lies_within_a_pixel_of_the_disc() -> None:
    found = np.array(outline(soft_disc(), 100, 40, 56, 56))
    assert 12 <= len(found) <= MAX_POINTS
    radii = np.hypot(found[:, 0] - 128, found[:, 1] - 68)
    assert np.abs(radii - 28).max() < 1.5
    assert found.min(axis=0) == pytest.approx([100, 40], abs=1.5)
    assert found.max(axis=0) == pytest.approx([156, 96], abs=1.5)


def test_the_largest_piece_is_the_outline_and_a_hole_is_none() -> None:
    mask = np.zeros((28, 28), np.float32)
    mask[2:6, 2:6], mask[10:26, 8:26], mask[14:20, 12:20] = 1, 1, 0
    found = np.array(outline(mask, 0, 0, 28, 28))
    assert found.min(axis=0) == pytest.approx([8, 10], abs=0.6)
    assert found.max(axis=0) == pytest.approx([26, 26], abs=0.6)


@pytest.mark.parametrize("level", [0.0, 0.49])
def test_a_mask_of_nothing_has_no_outline(level: float) -> None:
    assert outline(np.full((28, 28), level, np.float32), 0, 0, 10, 10) == ()


def test_a_mask_that_fills_its_box_has_the_box_as_outline() -> None:
    found = np.array(outline(np.ones((28, 28), np.float32), 10, 20, 280, 140))
    assert found.min(axis=0) == pytest.approx([10, 20], abs=6)
    assert found.max(axis=0) == pytest.approx([290, 160], abs=6)


def test_a_ragged_line_keeps_few_corners_and_stays_near() -> None:
    rng = np.random.default_rng(0)
    turns = np.linspace(0, 2 * np.pi, 2_000, endpoint=False)
    ragged = (100 + rng.normal(0, 1, 2_000))[:, None] * np.stack((np.cos(turns), np.sin(turns)), axis=1)
    kept = simplified(ragged, 200)
    assert 8 <= len(kept) <= MAX_POINTS
    assert np.hypot(*kept.T) == pytest.approx(100, abs=5)


def test_what_is_drawn_of_an_outline_is_the_mask_again() -> None:
    mask = drawn([tuple(disc_outline(10, 5, 30, 20))], 40, 60)
    rows, columns = np.nonzero(mask)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (10, 5, 39, 24)
    assert int(mask.sum()) == pytest.approx(np.pi * 15 * 10, rel=0.02)
    again = drawn(outlines_of(mask), 40, 60)
    assert (mask & again).sum() / (mask | again).sum() > 0.95


def test_a_mask_in_pieces_has_an_outline_for_each() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:8, 3:9], mask[10:18, 12:28], mask[12:15, 15:20] = 1, 1, 0  # the last is a hole
    found = outlines_of(mask)
    assert len(found) == 2
    assert drawn([tuple(polygon) for polygon in found], 20, 30)[2:8, 3:9].all()


def test_polygons_beyond_the_picture_are_cut() -> None:
    assert drawn([((-5, -5), (4, -5), (4, 4), (-5, 4))], 10, 10).sum() == 16
    assert drawn([((20, 20), (30, 20), (30, 30))], 10, 10).sum() == 0
