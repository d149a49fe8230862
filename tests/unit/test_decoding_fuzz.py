"""Whatever the bytes are, decoding gives pixels or a rejection with a known reason: nothing else ever comes out."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decoding.raw import RAW_ENCODINGS
from models.preprocess import EncodedImage, RejectedImageError, decode
from tests.pictures import corpus, saved, scene

REASONS = {
    *("EMPTY", "TOO_LARGE", "SIZE_OUT_OF_RANGE", "UNSUPPORTED_FORMAT", "CORRUPT", "TRUNCATED", "SHA256_MISMATCH"),
    *("MULTIPAGE", "SIZE_MISMATCH"),
}
SEEDS = [
    *(
        case.image.data
        for case in corpus()
        if case.image.encoding not in RAW_ENCODINGS and 0 < len(case.image.data) < 15_000
    ),
    *(saved(scene(), "TIFF", compression=name) for name in (None, "jpeg", "packbits", "tiff_adobe_deflate", "zstd")),
    saved(scene(), "WEBP", quality=80),
    saved(scene(), "BMP"),
]
SIGNATURES = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"II+\0",
    b"",
]
ENCODINGS = st.sampled_from(["JPEG", "PNG", "UNKNOWN", "nonsense", ""])
FUZZ = settings(max_examples=300, suppress_health_check=list(HealthCheck))

pytestmark = pytest.mark.usefixtures("capfd")  # libtiff prints what it thinks of damaged strips


def decode_or_reject(image: EncodedImage) -> None:
    try:
        pixels = decode(image)
    except RejectedImageError as error:
        rejection = error
    else:
        rejection = None
    if rejection is not None:
        assert rejection.reason in REASONS
        assert rejection.detail
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@FUZZ
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8), st.data())
def test_files_with_changed_bytes(seed: bytes, changes: list[tuple[int, int]], data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    end = data.draw(st.integers(1, len(damaged)))
    decode_or_reject(EncodedImage(bytes(damaged), "UNKNOWN", bits=data.draw(st.sampled_from([None, 10, 16, 99]))))
    decode_or_reject(EncodedImage(bytes(damaged[:end]), "UNKNOWN"))


@FUZZ
@given(st.sampled_from(SEEDS), st.integers(0, 2**20), st.integers(0, 2**20), st.binary(max_size=64))
def test_files_with_a_piece_cut_out_or_put_in(seed: bytes, start: int, length: int, piece: bytes) -> None:
    start %= len(seed)
    decode_or_reject(EncodedImage(seed[:start] + piece + seed[start + length % 500 :], "UNKNOWN"))


@FUZZ
@given(st.sampled_from(SIGNATURES), st.binary(max_size=400), ENCODINGS)
def test_noise_behind_any_signature(signature: bytes, noise: bytes, encoding: str) -> None:
    decode_or_reject(EncodedImage(signature + noise, encoding))


@FUZZ
@given(
    st.sampled_from(sorted(RAW_ENCODINGS)),
    st.integers(-5, 70),
    st.integers(-5, 70),
    st.none() | st.integers(-5, 250),
    st.none() | st.integers(-2, 20),
    st.data(),
)
def test_raw_frames_with_any_declaration(
    encoding: str, width: int, height: int, stride: int | None, bits: int | None, data: st.DataObject
) -> None:
    fitting = max(1, (stride or max(width, 1)) * height)
    size = data.draw(st.sampled_from([fitting, fitting * 2, fitting * 3, fitting + 1]))
    decode_or_reject(EncodedImage(bytes(max(size, 1)), encoding, width, height, stride, bits))
