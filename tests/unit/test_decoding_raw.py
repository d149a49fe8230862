"""Raw frames: every PFNC layout against an independent, slow reading of the same bytes."""

import numpy as np
import pytest

from models.decoding.raw import RAW_ENCODINGS, demosaic
from models.preprocess import EncodedImage, decode
from tests.pictures import deep, grey3, levels, outcome, scene

PATTERNS = {"BAYER_RG8": "RGGB", "BAYER_GB8": "GBRG", "BAYER_GR8": "GRBG", "BAYER_BG8": "BGGR"}


def packed(samples: np.ndarray, bits: int) -> bytes:
    """PFNC `p`: each row is one number whose lowest bits are the first pixel."""
    row_bytes = (samples.shape[1] * bits + 7) // 8
    rows = (sum(int(value) << at * bits for at, value in enumerate(row)) for row in samples)
    return b"".join(row.to_bytes(row_bytes, "little") for row in rows)


@pytest.mark.parametrize("width", [16, 17, 18, 19])
@pytest.mark.parametrize("bits", [10, 12])
def test_packed_grey_of_any_width(bits: int, width: int) -> None:
    samples = deep(16, width) >> (16 - bits)
    image = EncodedImage(packed(samples, bits), f"MONO{bits}P", width, 16)
    assert np.array_equal(decode(image), grey3(levels(samples, bits)))


@pytest.mark.parametrize(("encoding", "bits", "depth"), [
    ("MONO12", None, 12), ("MONO12", 12, 12), ("MONO16", None, 16), ("MONO16", 10, 10), ("MONO12", 14, 14),
])  # fmt: skip
def test_deep_grey_in_two_bytes(encoding: str, bits: int | None, depth: int) -> None:
    samples = deep(20, 30) >> (16 - depth)
    image = EncodedImage(samples.astype("<u2").tobytes(), encoding, 30, 20, bits=bits)
    assert np.array_equal(decode(image), grey3(levels(samples, depth)))


def test_samples_above_their_declared_top_are_white() -> None:
    samples = np.full((16, 16), 5000, "<u2")
    assert (decode(EncodedImage(samples.tobytes(), "MONO12", 16, 16, bits=12)) == 255).all()


@pytest.mark.parametrize("encoding", sorted(RAW_ENCODINGS))
def test_padding_behind_rows_is_skipped_in_every_layout(encoding: str) -> None:
    bits = {"MONO10P": 10, "MONO12P": 12, "MONO12": 16, "MONO16": 16, "RGB8": 24, "BGR8": 24}.get(encoding, 8)
    tight = (21 * bits + 7) // 8
    rows = np.random.default_rng(3).integers(0, 256, (17, tight)).astype(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, 7)), constant_values=0xAA)
    plain = decode(EncodedImage(rows.tobytes(), encoding, 21, 17))
    assert plain.shape == (17, 21, 3)
    assert plain.flags.writeable
    assert plain.flags.c_contiguous
    assert np.array_equal(plain, decode(EncodedImage(padded.tobytes(), encoding, 21, 17, stride=tight + 7)))


@pytest.mark.parametrize("encoding", sorted(RAW_ENCODINGS))
@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_byte_too_few_or_too_many_is_a_size_mismatch(encoding: str, off_by: int) -> None:
    bits = {"MONO10P": 10, "MONO12P": 12, "MONO12": 16, "MONO16": 16, "RGB8": 24, "BGR8": 24}.get(encoding, 8)
    payload = bytes(20 * ((20 * bits + 7) // 8) + off_by)
    assert outcome(EncodedImage(payload, encoding, 20, 20)) == "SIZE_MISMATCH"


@pytest.mark.parametrize(("width", "height", "stride", "reason"), [
    (20, 20, 19, "SIZE_MISMATCH"), (20, 20, 0, "SIZE_MISMATCH"), (20, 20, -20, "SIZE_MISMATCH"),
    (15, 20, None, "SIZE_OUT_OF_RANGE"), (0, 0, None, "SIZE_OUT_OF_RANGE"), (-20, -20, None, "SIZE_OUT_OF_RANGE"),
    (16, 801, None, "SIZE_OUT_OF_RANGE"), (10_001, 10_000, None, "TOO_LARGE"), (2**31, 2**31, None, "TOO_LARGE"),
])  # fmt: skip
def test_what_is_declared_is_judged_before_it_is_believed(
    width: int, height: int, stride: int | None, reason: str
) -> None:
    assert outcome(EncodedImage(bytes(400), "MONO8", width, height, stride)) == reason


def test_a_raw_frame_that_begins_like_a_jpeg_is_still_a_raw_frame() -> None:
    payload = b"\xff\xd8\xff" + bytes(397)
    assert decode(EncodedImage(payload, "MONO8", 20, 20))[0, 0].tolist() == [255, 255, 255]


def slow_demosaic(mosaic: np.ndarray, pattern: str) -> np.ndarray:
    """Each missing colour is the mean of all sites of that colour in the 3x3 around it, but for green at most 4."""
    height, width = mosaic.shape
    pixels = np.zeros((height, width, 3))
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            for channel, colour in enumerate("RGB"):
                around = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
                sites = [(b, a) for b, a in around if pattern[b % 2 * 2 + a % 2] == colour]
                own = (y, x) in sites
                pixels[y, x, channel] = mosaic[y, x] if own else np.mean([mosaic[b, a] for b, a in sites])
    return pixels


@pytest.mark.parametrize(("encoding", "pattern"), PATTERNS.items())
@pytest.mark.parametrize("shape", [(16, 18), (17, 19)])
def test_bayer_patterns_match_a_slow_bilinear_reading(encoding: str, pattern: str, shape: tuple[int, int]) -> None:
    mosaic = np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)
    pixels = decode(EncodedImage(mosaic.tobytes(), encoding, shape[1], shape[0]))
    difference = np.abs(pixels - slow_demosaic(mosaic, pattern))[1:-1, 1:-1]
    assert difference.max() <= 0.5


@pytest.mark.parametrize("pattern", PATTERNS.values())
def test_a_scene_of_one_colour_keeps_it_everywhere(pattern: str) -> None:
    colour = {"R": 200, "G": 120, "B": 30}
    mosaic = np.array([[colour[pattern[y % 2 * 2 + x % 2]] for x in range(17)] for y in range(16)], np.uint8)
    assert (demosaic(mosaic, pattern) == [200, 120, 30]).all()


def test_rgb_and_bgr_differ_only_in_their_order() -> None:
    rgb = scene()
    height, width, _ = rgb.shape
    assert np.array_equal(decode(EncodedImage(rgb.tobytes(), "RGB8", width, height)), rgb)
    assert np.array_equal(decode(EncodedImage(rgb[..., ::-1].tobytes(), "BGR8", width, height)), rgb)
