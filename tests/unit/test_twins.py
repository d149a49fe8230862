"""Near duplicates among parts that all look alike: what is the same picture is found, what is another part is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.likeness import U8
from models.preprocess import EncodedImage, decode
from models.twins import structure, twins
from streams.capture.synthetic import SyntheticOptions, take, trigger

OPTIONS = SyntheticOptions(seed=11, frames=40, defect_share=0.3, lines=1, stations=1, cameras=1, views=1, distinct=0)


@pytest.fixture(scope="module")
def parts() -> list[U8]:
    """Forty parts of one line, photographed in one fixture: a common texture, light and place."""
    return [decode(EncodedImage(take(OPTIONS, trigger(OPTIONS, n).part), "JPEG")) for n in range(40)]


def again(pixels: U8, quality: int) -> U8:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(file.getvalue())))


def half(pixels: U8) -> U8:
    return np.asarray(Image.fromarray(pixels).resize((pixels.shape[1] // 2, pixels.shape[0] // 2)))


def found(parts: list[U8], others: list[U8]) -> list[tuple[int, int]]:
    structures = np.array([structure(pixels) for pixels in (*parts, *others)])
    groups = ["train"] * len(parts) + ["test"] * len(others)
    return sorted((twin.first, twin.second) for twin in twins(structures, groups))


def test_a_picture_encoded_again_or_halved_is_found_in_the_other_split(parts: list[U8]) -> None:
    others = [again(parts[3], 50), half(parts[7]), parts[9]]
    assert found(parts, others) == [(3, 40), (7, 41), (9, 42)]


def test_different_parts_of_one_fixture_are_no_twins(parts: list[U8]) -> None:
    assert found(parts[:20], parts[20:]) == []


def test_within_one_split_nothing_is_compared(parts: list[U8]) -> None:
    structures = np.array([structure(parts[0]), structure(parts[0])])
    assert twins(structures, ["train", "train"]) == []


def test_pictures_without_structure_have_no_twin_and_divide_by_nothing() -> None:
    flat = np.full((32, 32, 3), 90, np.uint8)
    assert twins(np.array([structure(flat), structure(flat)]), ["train", "test"]) == []
    assert twins(np.array([structure(flat)]), ["train"]) == []
