"""Pictures disturbed on purpose: they stay pictures, grow worse with strength, and are the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from models.disturbances import STRENGTHS, disturbed


def part(side: int = 96) -> np.ndarray:
    """A grey part with bright and dark bars: every disturbance has something to change."""
    columns = np.arange(side)
    level = 128 + 60 * np.sign(np.sin(columns / 5))[None, :] * np.sign(np.sin(columns / 7))[:, None]
    return np.repeat(level.astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("name", STRENGTHS)
def test_it_changes_the_picture_the_more_the_stronger_and_the_same_each_time(name: str) -> None:
    picture = part()
    before, differences = picture.copy(), []
    for strength in STRENGTHS[name]:
        found = disturbed(picture, name, strength, 7)
        assert (found.shape, found.dtype) == (picture.shape, np.uint8)
        assert np.array_equal(found, disturbed(picture, name, strength, 7))
        differences.append(float(np.abs(found.astype(int) - picture).mean()))
    assert np.array_equal(picture, before), "the picture that came is left as it is"
    assert 0 < differences[0] < differences[2]


def test_another_seed_hides_another_place() -> None:
    found = [disturbed(part(), "hidden", 0.04, seed) for seed in range(4)]
    assert len({picture.tobytes() for picture in found}) > 1


def test_what_they_are_called_for_is_what_they_do() -> None:
    picture = part()
    assert disturbed(picture, "darker", 0.5, 0).mean() == pytest.approx(picture.mean() / 2, abs=1)
    assert disturbed(picture, "brighter", 0.25, 0).mean() > picture.mean() * 1.2
    assert disturbed(picture, "flatter", 0.5, 0).std() == pytest.approx(picture.std() / 2, abs=1)
    assert (disturbed(picture, "hidden", 0.1, 0) == 128).all(axis=2).mean() >= 0.09
    assert (
        np.abs(np.diff(disturbed(picture, "blur", 2.0, 0).astype(int), axis=1)).max()
        < np.abs(np.diff(picture.astype(int), axis=1)).max()
    )


def test_one_that_there_is_not_is_refused() -> None:
    with pytest.raises(KeyError):
        disturbed(part(), "rust", 1.0, 0)


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (300, 40)])
def test_any_shape_is_taken(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 90, np.uint8)
    assert all(disturbed(picture, name, most, 1).shape == picture.shape for name, (*_, most) in STRENGTHS.items())
