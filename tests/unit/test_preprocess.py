"""The specification of a model's input, the resampling, and the order of decode's checks."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.preprocess import (
    LETTERBOX_LEVEL,
    EncodedImage,
    Preprocessing,
    RejectedImageError,
    decode,
    load_views,
    prepare,
)
from models.views import Region
from tests.pictures import deep, outcome, saved, scene

# ---------------------------------------------------------------- decode's own checks


def test_zero_bytes_are_empty_even_with_a_wrong_hash() -> None:
    assert outcome(EncodedImage(b"", "JPEG", sha256="0" * 64)) == "EMPTY"


def test_the_hash_is_checked_before_the_bytes_are_looked_at() -> None:
    assert outcome(EncodedImage(b"no picture", "JPEG", sha256="0" * 64)) == "SHA256_MISMATCH"
    right = hashlib.sha256(b"no picture").hexdigest()
    assert outcome(EncodedImage(b"no picture", "JPEG", sha256=right.upper())) == "UNSUPPORTED_FORMAT"


def test_a_rejection_says_its_reason_and_what_came() -> None:
    with pytest.raises(RejectedImageError, match=r"UNSUPPORTED_FORMAT: .*ERROR 17.*expected a JPEG") as caught:
        decode(EncodedImage(b"ERROR 17: trigger", "JPEG"))
    assert caught.value.reason == "UNSUPPORTED_FORMAT"


def test_a_decoders_surprise_is_a_rejection_but_lack_of_memory_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    image = EncodedImage(saved(scene(), "PNG"), "PNG")
    for surprise, expected in ((RecursionError, RejectedImageError), (MemoryError, MemoryError)):

        def fail(*_: object, error: type[BaseException] = surprise) -> None:
            raise error("surprise")

        monkeypatch.setattr("models.decoding.png.read", fail)
        with pytest.raises(expected):
            decode(image)


def test_decoding_alone_does_not_load_torch() -> None:
    script = "import sys, models.preprocess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# ---------------------------------------------------------------- prepare


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(480, 640), (110, 150), (16, 800), (800, 16), (224, 224), (100, 300)])
def test_stretching_agrees_with_pillow_within_one_level(shape: tuple[int, int], resample: str) -> None:
    # No blacks and whites: bicubic overshoots them, and the two clip at different times.
    pixels = np.random.default_rng(5).integers(64, 192, (*shape, 3)).astype(np.uint8)
    prepared = prepare(pixels, Preprocessing(resample=resample))
    assert prepared.shape == (224, 224, 3)
    assert prepared.dtype == np.uint8
    assert prepared.flags.c_contiguous
    pillow = np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling[resample.upper()]))
    assert np.abs(prepared.astype(int) - pillow).max() <= 1


def test_fine_stripes_become_grey_not_moire() -> None:
    stripes = np.zeros((448, 896, 3), np.uint8)
    stripes[:, ::2] = 200
    prepared = prepare(stripes, Preprocessing())
    assert np.abs(prepared[:, 1:-1].astype(int) - 100).max() <= 1


def test_letterbox_keeps_the_ratio_and_centres_the_picture() -> None:
    prepared = prepare(np.full((100, 400, 3), 10, np.uint8), Preprocessing(width=200, height=120, fit="letterbox"))
    assert prepared.shape == (120, 200, 3)
    assert (prepared[35:85] == 10).all()
    assert (prepared[:35] == LETTERBOX_LEVEL).all()
    assert (prepared[85:] == LETTERBOX_LEVEL).all()


def test_letterbox_of_the_most_extreme_ratio_keeps_at_least_a_line() -> None:
    prepared = prepare(np.zeros((800, 16, 3), np.uint8), Preprocessing(width=20, height=20, fit="letterbox"))
    assert (prepared == 0).any()


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_preparing_leaves_its_argument_alone_and_shares_no_memory(fit: str) -> None:
    pixels = np.random.default_rng(6).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    pixels.flags.writeable = False
    prepared = prepare(pixels, Preprocessing(fit=fit))
    assert np.array_equal(prepared, pixels)
    assert not np.shares_memory(prepared, pixels)
    mirrored = prepare(pixels[:, ::-1], Preprocessing(width=100, height=100, fit=fit))
    assert mirrored.shape == (100, 100, 3)


def test_the_numbers_never_change() -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    prepared = prepare(pixels, Preprocessing())
    assert hashlib.sha256(prepared.tobytes()).hexdigest()[:16] == "61fd49e981d2d353", (
        "raise ALGORITHM: models must be retrained"
    )


@pytest.mark.parametrize("pixels", [deep(20, 20, 3), np.zeros((20, 20), np.uint8), np.zeros((0, 20, 3), np.uint8)])
def test_other_shapes_and_types_are_the_callers_mistake(pixels: Any) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[height, width, 3\]"):
        prepare(pixels, Preprocessing())


def test_loading_is_decoding_and_preparing() -> None:
    image, spec = EncodedImage(saved(scene(), "JPEG"), "JPEG"), Preprocessing(width=32, height=48)
    assert np.array_equal(load_views(image, spec).pixels, prepare(decode(image), spec)[None])


# ---------------------------------------------------------------- the specification


@given(
    st.integers(1, 4096),
    st.integers(1, 4096),
    st.sampled_from(["stretch", "letterbox"]),
    st.sampled_from(["bilinear", "bicubic"]),
    st.tuples(*[st.floats(-10, 10)] * 3),
    st.tuples(*[st.floats(0.001, 10)] * 3),
)
def test_a_specification_survives_json(
    width: int, height: int, fit: str, resample: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    spec = Preprocessing(width, height, fit, resample, mean, std)
    again = Preprocessing.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.sha256 == spec.sha256


def test_every_field_changes_the_hash() -> None:
    changed = {
        "width": 225, "height": 225, "fit": "letterbox", "resample": "bicubic", "mean": (0, 0, 0), "std": (1, 1, 1),
        "tile": 64, "regions": (Region("lid", 0, 0, 1, 0.5),),
    }  # fmt: skip
    assert set(changed) | {"overlap", "overview"} == {field.name for field in dataclasses.fields(Preprocessing)}
    hashes = {Preprocessing(**{name: value}).sha256 for name, value in changed.items()}
    hashes.add(Preprocessing(tile=64, overlap=0.5).sha256)
    hashes.add(Preprocessing(tile=64, overview=True).sha256)
    assert len(hashes | {Preprocessing().sha256}) == len(changed) + 3
    assert Preprocessing(overlap=0.5).sha256 == Preprocessing().sha256  # of tiles that there are not


def test_the_default_hash_is_the_one_that_artifacts_hold() -> None:
    assert Preprocessing().sha256[:16] == "cc9aaeb81ea57043"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be an integer from 1 to 4096, got 0"),
        ({"height": 224.0}, "height must be an integer"),
        ({"width": True}, "width must be an integer"),
        ({"fit": "crop"}, "fit must be one of"),
        ({"resample": ["bilinear"]}, "resample must be one of"),
        ({"mean": [0.5, 0.5]}, "mean must be three numbers"),
        ({"mean": "abc"}, "mean must be three numbers"),
        ({"mean": [0.5, 0.5, None]}, "mean must be three finite numbers"),
        ({"std": [0.5, 0.5, float("nan")]}, "std must be three finite numbers"),
        ({"std": [0.5, 0.5, 0]}, "std must be above 0"),
        ({"algorithm": 2}, "this program has algorithm 1, the artifact was made for 2"),
        ({"algorithm": True}, "this program has algorithm 1"),
        ({"sharpen": 1}, "expected an object with exactly"),
    ],
)
def test_a_specification_that_is_wrong_is_refused_with_what_came(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_json({**Preprocessing().to_json(), **change})


@pytest.mark.parametrize("value", [None, [], "x", {}, {"width": 224}])
def test_a_specification_that_lacks_keys_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected an object with exactly"):
        Preprocessing.from_json(value)
