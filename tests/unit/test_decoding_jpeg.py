"""JPEG: what is missing is TRUNCATED wherever the cut is, other damage is CORRUPT, odd but whole files decode."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.pictures import decoded, grey3, oriented, outcome, saved, scene

EOI = b"\xff\xd9"
KINDS = {
    "baseline": {"subsampling": "4:2:0"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "optimised": {"optimize": True, "subsampling": "4:4:4"},
}


def jpeg(**options: object) -> bytes:
    return saved(scene(), "JPEG", **{"quality": 92, **options})


def segments(data: bytes, marker: int) -> list[int]:
    """Offsets of a marker."""
    return [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] == marker]


def without_segment(data: bytes, marker: int) -> bytes:
    """The stream without the header segments of this marker."""
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += b"" if data[at + 1] == marker else data[at:end]
        at = end
    return kept + data[at:]


@pytest.mark.parametrize("ending", [b"", EOI], ids=["cut", "cut_with_end_marker"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_at_any_byte_is_truncated_even_with_an_end_marker(kind: str, ending: bytes) -> None:
    whole = jpeg(**KINDS[kind])
    assert outcome(whole) == "decoded"
    cuts = range(3, len(whole) - len(ending))
    found = {at: outcome(whole[:at] + ending) for at in cuts}
    assert {at: reason for at, reason in found.items() if reason != "TRUNCATED"} == {}


def test_a_progressive_file_without_its_last_scans_is_truncated_though_libjpeg_is_content() -> None:
    whole = jpeg(progressive=True)
    scans = segments(whole, 0xDA)
    assert len(scans) == 10
    for at in scans[1:]:
        with Image.open(io.BytesIO(whole[:at] + EOI)) as picture:
            picture.load()  # no complaint here
        assert outcome(whole[:at] + EOI) == "TRUNCATED"


def test_a_frame_cut_off_by_the_next_one_is_truncated() -> None:
    whole = jpeg()
    assert outcome(whole[: len(whole) * 2 // 3] + whole) == "TRUNCATED"


def test_a_lost_restart_interval_is_corrupt_and_a_lost_tail_is_truncated() -> None:
    whole = jpeg(restart_marker_blocks=1)
    restarts = [segments(whole, 0xD0 + number)[0] for number in range(4)]
    assert outcome(whole[: restarts[1]] + whole[restarts[2] :]) == "CORRUPT"
    assert outcome(whole[: restarts[1]] + EOI) == "TRUNCATED"


def test_bytes_too_many_behind_a_scan_are_corrupt_but_padding_of_hardware_encoders_is_not() -> None:
    whole = jpeg()
    assert outcome(whole[:-2] + bytes(20) + EOI) == "CORRUPT"
    for padding in (b"\0", b"\0\0\0", b"\xff\xff\xff"):
        assert outcome(whole[:-2] + padding + EOI) == "decoded"


def test_whatever_follows_the_end_marker_is_tolerated() -> None:
    whole = jpeg()
    for tail in (b"\0", b"\xff", b"\xff\xd8", bytes(100), whole[: len(whole) // 2]):
        assert np.array_equal(decoded(whole + tail), decoded(whole))


def test_motion_jpeg_frames_without_huffman_tables_use_the_standard_ones() -> None:
    whole = jpeg()
    assert np.array_equal(decoded(without_segment(whole, 0xC4)), decoded(whole))


def test_a_missing_quantisation_table_is_corrupt() -> None:
    assert outcome(without_segment(jpeg(), 0xDB)) == "CORRUPT"


def test_header_slips_of_real_cameras_do_not_reject_a_whole_picture() -> None:
    whole = jpeg()
    jfif = bytearray(whole)
    jfif[whole.index(b"JFIF\0") + 5] = 3  # a version that libjpeg warns of
    scan = bytearray(whole)
    at = segments(whole, 0xDA)[0] + 4 + 1 + 2 * 3
    scan[at : at + 3] = bytes(3)  # Ss, Se, Ah/Al of a baseline scan must be 0, 63, 0
    for slip in (jfif, scan):
        assert np.array_equal(decoded(bytes(slip)), decoded(whole))
        cut = bytes(slip)[:-40] + EOI
        assert outcome(cut) == "TRUNCATED"


@pytest.mark.parametrize("process", [0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCF])
def test_lossless_hierarchical_and_arithmetic_processes_are_unsupported(process: int) -> None:
    whole = bytearray(jpeg())
    whole[segments(bytes(whole), 0xC0)[0] + 1] = process
    assert outcome(bytes(whole)) == "UNSUPPORTED_FORMAT"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (4, 12, "UNSUPPORTED_FORMAT"),  # precision
        (9, 2, "CORRUPT"),  # number of components that does not fit the header's length
        (11, 0x00, "CORRUPT"),  # sampling factors
        (11, 0x31, "UNSUPPORTED_FORMAT"),
        (10, 2, "CORRUPT"),  # the same component number twice
    ],
)
def test_a_frame_header_is_judged_field_by_field(field: int, value: int, reason: str) -> None:
    whole = bytearray(jpeg(subsampling="4:4:4"))
    whole[segments(bytes(whole), 0xC0)[0] + field] = value
    assert outcome(bytes(whole)) == reason


def test_a_height_of_zero_is_out_of_range() -> None:
    whole = bytearray(jpeg())
    at = segments(bytes(whole), 0xC0)[0] + 5
    whole[at : at + 2] = bytes(2)
    assert outcome(bytes(whole)) == "SIZE_OUT_OF_RANGE"


def test_thousands_of_scans_are_corrupt_before_any_decoding() -> None:
    whole = jpeg(progressive=True)
    first, second = segments(whole, 0xDA)[:2]
    assert outcome(whole[:second] + whole[first:second] * 5000 + whole[second:]) == "CORRUPT"


def test_stored_rgb_is_not_taken_for_ycc() -> None:
    assert np.abs(decoded(jpeg(keep_rgb=True, quality=100)).astype(int) - scene()).max() <= 4


@pytest.mark.parametrize("adobe", [True, False], ids=["with_adobe_marker", "without"])
def test_cmyk_becomes_rgb_as_pillow_does_it(adobe: bool) -> None:
    whole = saved(Image.fromarray(scene()).convert("CMYK"), "JPEG", quality=95)
    whole = whole if adobe else without_segment(whole, 0xEE)
    with Image.open(io.BytesIO(whole)) as picture:
        assert np.abs(decoded(whole).astype(int) - np.asarray(picture.convert("RGB"))).max() <= 1


def test_grey_becomes_three_equal_channels() -> None:
    pixels = decoded(saved(scene()[..., 0], "JPEG"))
    assert np.array_equal(pixels, grey3(pixels[..., 0]))


def test_damaged_exif_counts_as_upright() -> None:
    whole = jpeg(exif=oriented(6).tobytes())
    assert decoded(whole).shape == (50, 40, 3)
    at = whole.index(b"Exif\0\0") + 10
    assert decoded(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :]).shape == (40, 50, 3)
