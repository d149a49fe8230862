"""PNG, BMP, TIFF and WebP: exact pixels from every mode, and the right reason for every kind of damage."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from models.decoding.depth import U8
from tests.pictures import (
    HEIGHT,
    WIDTH,
    decoded,
    deep,
    grey3,
    levels,
    oriented,
    outcome,
    png,
    png_chunk,
    saved,
    scanlines,
    scene,
    tiff,
)

RGB8 = (WIDTH, HEIGHT, 8, 2, 0, 0, 0)


def idat(rows: bytes) -> bytes:
    return png_chunk(b"IDAT", zlib.compress(rows))


def turned(pixels: U8, orientation: int) -> U8:
    """What a viewer must show, by the EXIF standard's words: where the 0th row and the 0th column are."""
    as_stored = {
        1: pixels, 2: np.fliplr(pixels), 3: np.rot90(pixels, 2), 4: np.flipud(pixels),
        5: np.rot90(np.fliplr(pixels), 1), 6: np.rot90(pixels, -1),
        7: np.rot90(np.fliplr(pixels), -1), 8: np.rot90(pixels, 1),
    }  # fmt: skip
    return as_stored[orientation]


# ---------------------------------------------------------------- all of them


def whole_files() -> dict[str, bytes]:
    rgb = scene()
    alpha = Image.fromarray(np.dstack([rgb, rgb[..., 0]]))
    palette = Image.fromarray(rgb).quantize(16)
    files = {f"{form} {mode}": saved(image, form) for form in ("PNG", "BMP", "TIFF") for mode, image in (
        ("RGB", Image.fromarray(rgb)), ("RGBA", alpha), ("L", Image.fromarray(rgb[..., 0])), ("P", palette),
        ("1", Image.fromarray(rgb[..., 0] > 100)),
    )}  # fmt: skip
    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"):
        files[name] = saved(rgb, "TIFF", compression=name)
    files["WEBP RGB"] = saved(rgb, "WEBP", lossless=True)
    files["WEBP RGBA"] = saved(alpha, "WEBP", lossless=True, exact=True)
    return files


@pytest.mark.parametrize(("name", "data"), whole_files().items(), ids=str)
def test_whole_files_give_the_drawn_pixels_with_alpha_dropped(name: str, data: bytes) -> None:
    with_palette = np.asarray(Image.fromarray(scene()).quantize(16).convert("RGB"))
    expected = {
        "L": grey3(scene()[..., 0]),
        "P": with_palette,
        "1": grey3((scene()[..., 0] > 100).astype(np.uint8) * 255),
    }
    assert np.array_equal(decoded(data), expected.get(name.split()[-1], scene()))


@pytest.mark.parametrize(("name", "data"), whole_files().items(), ids=str)
def test_a_cut_at_any_byte_behind_the_signature_is_truncated(name: str, data: bytes) -> None:
    signature = {"PNG": 8, "BMP": 2, "WEBP": 12}.get(name.split()[0], 4)
    cuts = {*range(signature, min(len(data), 200)), *range(200, len(data), 13), len(data) - 1}
    found = {at: outcome(data[:at]) for at in sorted(cuts)}
    assert {at: reason for at, reason in found.items() if reason != "TRUNCATED"} == {}


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_applied_wherever_it_is_stored(form: str, value: int) -> None:
    where = {"tiffinfo": {0x0112: value}} if form == "TIFF" else {"exif": oriented(value)}
    lossless = {"lossless": True} if form == "WEBP" else {}
    assert np.array_equal(decoded(saved(scene(), form, **where, **lossless)), turned(scene(), value))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_more_than_one_picture_is_multipage(form: str) -> None:
    second = Image.fromarray(255 - scene())
    assert outcome(saved(scene(), form, save_all=True, append_images=[second])) == "MULTIPAGE"


@pytest.mark.parametrize("form", ["GIF", "JPEG2000", "AVIF", "PPM", "ICO", "TGA"])
def test_other_containers_are_unsupported(form: str) -> None:
    assert outcome(saved(scene(), form)) == "UNSUPPORTED_FORMAT"


# ---------------------------------------------------------------- PNG


@pytest.mark.parametrize("bits", [None, 10, 12, 16])
@pytest.mark.parametrize(("colour", "channels", "kept"), [(0, 1, 1), (4, 2, 1), (2, 3, 3), (6, 4, 3)])
def test_deep_png_is_scaled_by_the_declared_bits(bits: int | None, colour: int, channels: int, kept: int) -> None:
    depth = bits or 16
    samples = deep(HEIGHT, WIDTH, channels) >> (16 - depth)
    data = png((WIDTH, HEIGHT, 16, colour, 0, 0, 0), idat(scanlines(samples)))
    expected = np.broadcast_to(levels(samples[..., :kept], depth), (HEIGHT, WIDTH, 3))
    assert np.array_equal(decoded(data, bits=bits), expected)


@pytest.mark.parametrize("bits", [0, -1, 17, 1000])
def test_an_impossible_depth_is_a_size_mismatch(bits: int) -> None:
    assert outcome(saved(deep(HEIGHT, WIDTH), "PNG"), bits=bits) == "SIZE_MISMATCH"


def test_a_wrong_checksum_of_any_chunk_is_corrupt() -> None:
    data = png(RGB8, png_chunk(b"tEXt", b"a\0b"), idat(scanlines(scene())))
    assert outcome(data) == "decoded"
    for kind in (b"IHDR", b"tEXt", b"IDAT", b"IEND"):
        at = data.index(kind) + 4 + int.from_bytes(data[data.index(kind) - 4 : data.index(kind)], "big")
        assert outcome(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == "CORRUPT", kind


def test_pixel_data_that_ends_early_is_truncated_behind_right_checksums_too() -> None:
    rows = scanlines(scene())
    assert outcome(png(RGB8, idat(rows[:-1]))) == "TRUNCATED"
    assert outcome(png(RGB8, png_chunk(b"IDAT", zlib.compress(rows)[:-1]))) == "TRUNCATED"
    assert outcome(png(RGB8)) == "TRUNCATED"


def test_other_damage_behind_right_checksums_is_corrupt() -> None:
    rows = scanlines(scene())
    packed = bytearray(zlib.compress(rows))
    packed[-1] ^= 1  # zlib's own checksum
    assert outcome(png(RGB8, png_chunk(b"IDAT", bytes(packed)))) == "CORRUPT"
    assert outcome(png(RGB8, idat(b"\x09" + rows[1:]))) == "CORRUPT"  # a row filter that does not exist
    assert outcome(png(RGB8, idat(rows + b"\0"))) == "CORRUPT"
    assert outcome(png((WIDTH, HEIGHT, 8, 3, 0, 0, 0), idat(scanlines(scene()[..., 0])))) == "CORRUPT"  # no palette
    assert outcome(png((WIDTH, HEIGHT, 3, 2, 0, 0, 0), idat(rows))) == "CORRUPT"
    assert outcome(png(RGB8, png_chunk(b"ABCD", b""), idat(rows))) == "CORRUPT"


def test_bombs_in_text_profile_and_pixels_are_never_inflated() -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    rows = idat(scanlines(scene()))
    tracemalloc.start()
    try:
        for kind, prefix in ((b"zTXt", b"key\0\0"), (b"iCCP", b"name\0\0"), (b"iTXt", b"key\0\1\0\0\0")):
            assert np.array_equal(decoded(png(RGB8, png_chunk(kind, prefix + bomb), rows)), scene())
        assert outcome(png(RGB8, png_chunk(b"IDAT", bomb))) == "CORRUPT"
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_pixel_data_may_come_in_many_pieces_and_something_may_follow_the_end() -> None:
    packed = zlib.compress(scanlines(scene()))
    pieces = [png_chunk(b"IDAT", packed[at : at + 7]) for at in range(0, len(packed), 7)]
    assert np.array_equal(decoded(png(RGB8, *pieces, png_chunk(b"IDAT", b"")) + b"more"), scene())


# ---------------------------------------------------------------- BMP


@pytest.mark.parametrize("name", ["top_down", "rle_cut"])
def test_odd_bitmaps(name: str) -> None:
    if name == "top_down":
        whole = bytearray(saved(scene(), "BMP"))
        struct.pack_into("<i", whole, 22, -HEIGHT)
        assert np.array_equal(decoded(bytes(whole)), scene()[::-1])
        return
    header = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + 40 + 1024) + struct.pack(
        "<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, 0, 0, 0, 256, 0
    )
    colours = b"".join(bytes([level, level, 255 - level, 0]) for level in range(256))
    rows = b"".join(bytes([WIDTH, row, 0, 0]) for row in range(HEIGHT))
    pixels = decoded(header + colours + rows + b"\0\1")
    assert pixels[0, 0].tolist() == [255 - 39, 39, 39]
    assert pixels[-1, -1].tolist() == [255, 0, 0]
    assert outcome(header + colours + rows[:60]) == "TRUNCATED"


def test_bitmaps_of_other_kinds_are_unsupported_or_corrupt() -> None:
    whole = bytearray(saved(scene(), "BMP"))
    struct.pack_into("<I", whole, 30, 4)  # an embedded JPEG
    assert outcome(bytes(whole)) == "UNSUPPORTED_FORMAT"
    struct.pack_into("<I", whole, 14, 41)  # no header has this length
    assert outcome(bytes(whole)) == "CORRUPT"


# ---------------------------------------------------------------- TIFF


@pytest.mark.parametrize("order", ["<", ">"], ids=["little_endian", "big_endian"])
@pytest.mark.parametrize("bits", [None, 12, 16])
@pytest.mark.parametrize(("channels", "tags"), [(1, {}), (3, {}), (4, {"t338": 0}), (4, {"t338": 1}), (4, {"t338": 2})])
def test_deep_tiff_is_scaled_by_the_declared_bits(
    order: str, bits: int | None, channels: int, tags: dict[str, int]
) -> None:
    depth = bits or 16
    samples = deep(HEIGHT, WIDTH, channels) >> (16 - depth)
    expected = np.broadcast_to(levels(samples[..., :3], depth), (HEIGHT, WIDTH, 3))
    assert np.array_equal(decoded(tiff(samples, order, **tags), bits=bits), expected)


def test_deep_tiff_through_libtiff_and_with_white_as_zero() -> None:
    samples = deep(HEIGHT, WIDTH)
    assert np.array_equal(decoded(saved(samples, "TIFF", compression="tiff_lzw")), grey3(levels(samples, 16)))
    assert np.array_equal(decoded(tiff(samples[..., None], t262=0)), 255 - grey3(levels(samples, 16)))


def test_tiff_samples_that_are_no_integers_are_unsupported() -> None:
    assert outcome(saved(deep(HEIGHT, WIDTH).astype(np.float32), "TIFF")) == "UNSUPPORTED_FORMAT"


def test_bigtiff_is_unsupported() -> None:
    assert outcome(saved(scene(), "TIFF", big_tiff=True)) == "UNSUPPORTED_FORMAT"


def test_tiff_strips_must_cover_the_picture() -> None:
    whole = tiff(scene())
    at = whole.index(struct.pack("<HHI", 279, 4, 1)) + 8
    assert outcome(whole[:at] + struct.pack("<I", 100) + whole[at + 4 :]) == "TRUNCATED"
    assert outcome(tiff(scene(), t278=10)) == "CORRUPT"  # four strips are needed, one is there


def test_a_jpeg_strip_that_was_cut_and_closed_is_truncated() -> None:
    whole = saved(scene(), "TIFF", compression="jpeg", quality=95)
    assert outcome(whole) == "decoded"
    end = whole.index(b"\xff\xd9", whole.index(b"\xff\xda"))
    cut = whole[: end - 100] + b"\xff\xd9" + bytes(100) + whole[end + 2 :]
    assert outcome(cut) == "TRUNCATED"


def test_a_tiff_directory_whose_entries_share_one_big_blob_costs_nothing() -> None:
    blob = bytes(1_000_000)
    entries = [struct.pack("<HHII", tag, 7, len(blob), 8) for tag in range(30_000, 40_000)]
    head = b"II*\0" + struct.pack("<I", 8 + len(blob))
    real = [struct.pack("<HHII", tag, 4, 1, 64) for tag in (256, 257)]
    data = head + blob + struct.pack("<H", len(entries) + 2) + b"".join(real + entries) + bytes(4)
    tracemalloc.start()
    try:
        assert outcome(data) in {"CORRUPT", "TRUNCATED"}
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- WebP


def test_a_webp_canvas_too_large_is_refused_from_its_header() -> None:
    body = b"VP8X" + struct.pack("<II", 10, 0) + b"\xff\xff\x00" * 2  # 65,536 x 65,536
    assert outcome(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body) == "TOO_LARGE"


def test_a_webp_chunk_longer_than_the_file_counts_is_corrupt() -> None:
    whole = bytearray(saved(scene(), "WEBP", lossless=True))
    struct.pack_into("<I", whole, 16, len(whole))
    assert outcome(bytes(whole)) == "CORRUPT"
