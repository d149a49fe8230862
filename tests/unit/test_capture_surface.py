"""Drawn parts: deterministic, of the promised shape, and changed by their defect alone, more so the worse it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from streams.capture.surface import DEFECTS, GOOD, Part, draw

SKUS = ("flange-40", "plate-12", "bracket-7")


@pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 240), (1280, 960), (64, 64), (33, 200)])
def test_a_picture_is_rgb_of_the_size_asked_for(width: int, height: int) -> None:
    for defect in (None, *DEFECTS):
        picture = draw(Part("plate-12", 7, defect=defect), width, height)
        assert (picture.dtype, picture.shape) == (np.uint8, (height, width, 3))


@pytest.mark.parametrize("defect", [None, *DEFECTS])
def test_the_same_part_gives_the_same_pixels_and_another_seed_others(defect: str | None) -> None:
    part = Part("flange-40", 1, defect=defect)
    assert np.array_equal(draw(part), draw(part))
    assert not np.array_equal(draw(part), draw(dataclasses.replace(part, seed=2)))
    assert not np.array_equal(draw(part), draw(dataclasses.replace(part, view=2)))


def _change(sku: str, seed: int, defect: str, severity: float) -> np.ndarray:
    good, bad = draw(Part(sku, seed)), draw(Part(sku, seed, 1, defect, severity))
    return np.abs(good.astype(int) - bad).max(axis=2)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_a_small_area_and_nothing_else(defect: str) -> None:
    for sku in SKUS:
        for seed in range(6):
            share = float((_change(sku, seed, defect, 1.0) > 0).mean())
            assert 0.0001 < share < 0.12, (sku, seed)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_plain_defect_stands_out_and_the_faintest_lies_in_the_noise(defect: str) -> None:
    plain = [_change(sku, seed, defect, 1.0).max() for sku in SKUS for seed in range(6)]
    faint = [_change(sku, seed, defect, 0.0).max() for sku in SKUS for seed in range(6)]
    assert np.median(plain) > 45
    assert np.median(faint) < 16


@pytest.mark.parametrize("defect", DEFECTS)
def test_severity_orders_defects(defect: str) -> None:
    weight = [sum(_change(sku, 3, defect, s).sum() for sku in SKUS) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert weight == sorted(weight)


def test_labels_are_the_defect_or_good() -> None:
    assert Part("a", 1).label == GOOD
    assert [Part("a", 1, 1, d).label for d in DEFECTS] == list(DEFECTS)


@pytest.mark.parametrize("bad", [{"defect": "rust"}, {"severity": 1.5}, {"severity": -0.1}, {"severity": float("nan")}])
def test_an_unknown_defect_or_severity_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        Part("a", 1, **bad)  # type: ignore[arg-type]
