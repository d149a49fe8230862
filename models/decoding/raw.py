"""Raw camera frames: GenICam PFNC layouts, Bayer mosaics included. Pure numpy.

A raw frame has no header; what the event declares is the only guide, so everything declared is checked against the
number of bytes that came. Knows no files.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.decoding.contract import EncodedImage, RejectedImageError, check_size
from models.decoding.depth import U8, grey_to_rgb, to_8_bit
from models.decoding.pixel_room import pixel_room

U16: TypeAlias = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class _Layout:
    """`pixel_bits` is what a pixel takes in a row, `depth` what a sample holds; a Bayer pattern reads row by row."""

    pixel_bits: int
    depth: int = 8
    pattern: str = ""


_LAYOUTS = {
    "MONO8": _Layout(8),
    "MONO10P": _Layout(10, depth=10),
    "MONO12": _Layout(16, depth=12),
    "MONO12P": _Layout(12, depth=12),
    "MONO16": _Layout(16, depth=16),
    "BAYER_RG8": _Layout(8, pattern="RGGB"),
    "BAYER_GB8": _Layout(8, pattern="GBRG"),
    "BAYER_GR8": _Layout(8, pattern="GRBG"),
    "BAYER_BG8": _Layout(8, pattern="BGGR"),
    "RGB8": _Layout(24),
    "BGR8": _Layout(24),
}
RAW_ENCODINGS = frozenset(_LAYOUTS)


def read(image: EncodedImage) -> U8:
    """Decode a raw frame to uint8 RGB [H, W, 3].

    Raises RejectedImageError: TOO_LARGE or SIZE_OUT_OF_RANGE for the declared size, SIZE_MISMATCH where the payload
    isn't exactly stride x height bytes or the stride can't hold a row.
    """
    layout = _LAYOUTS[image.encoding]
    rows = _rows(image, layout)
    with pixel_room(image.width, image.height):
        return _pixels(image, layout, rows)


def _pixels(image: EncodedImage, layout: _Layout, rows: U8) -> U8:
    if layout.pixel_bits == 24:
        pixels = rows.reshape(image.height, image.width, 3)
        return pixels[..., ::-1] if image.encoding == "BGR8" else pixels
    if layout.pattern:
        return demosaic(rows, layout.pattern)
    if layout.depth == 8:
        return grey_to_rgb(rows)
    samples = rows.view("<u2") if layout.pixel_bits == 16 else unpack(rows, image.width, layout.pixel_bits)
    return grey_to_rgb(to_8_bit(samples, layout.depth if image.bits is None else image.bits))


def _rows(image: EncodedImage, layout: _Layout) -> U8:
    """The payload without row padding, uint8 [H, bytes a row], contiguous."""
    check_size(image.width, image.height)
    tight = (image.width * layout.pixel_bits + 7) // 8
    stride = tight if image.stride is None else image.stride
    if stride < tight:
        raise RejectedImageError("SIZE_MISMATCH", f"stride {stride} can't hold a row of {tight} bytes")
    if len(image.data) != stride * image.height:
        raise RejectedImageError(
            "SIZE_MISMATCH",
            f"{image.encoding} {image.width}x{image.height} with stride {stride} takes {stride * image.height} bytes, "
            f"{len(image.data)} came",
        )
    payload = np.frombuffer(image.data, np.uint8).reshape(image.height, stride)
    return np.ascontiguousarray(payload[:, :tight])


def unpack(rows: U8, width: int, bits: int) -> U16:
    """Unpack PFNC `p` rows, lowest bits first, [H, bytes a row] to samples [H, W]; bits is 10 or 12."""
    group_pixels, group_bytes = {10: (4, 5), 12: (2, 3)}[bits]
    groups = -(-width // group_pixels)
    whole = np.pad(rows, ((0, 0), (0, groups * group_bytes - rows.shape[1])))
    packed = whole.reshape(len(rows), groups, group_bytes).astype(np.uint16)
    samples = np.empty((len(rows), groups, group_pixels), np.uint16)
    for pixel in range(group_pixels):
        byte, shift = divmod(pixel * bits, 8)  # no sample of either layout spans more than two bytes
        pair = packed[..., byte] | packed[..., byte + 1] << 8
        samples[..., pixel] = pair >> shift & (2**bits - 1)
    return samples.reshape(len(rows), -1)[:, :width]


def demosaic(mosaic: U8, pattern: str) -> U8:
    """Bilinear demosaic, [H, W] to [H, W, 3]; pattern names the sites of the first two rows, such as RGGB.

    A missing colour is the mean of its nearest sites; the picture's edge is mirrored, which keeps the pattern.
    """
    pixels = np.empty((*mosaic.shape, 3), np.uint8)
    framed = np.pad(mosaic, 1, mode="reflect").astype(np.uint16)
    for site, colour in enumerate(pattern):
        top, left = divmod(site, 2)
        own, across, down, diagonal = _neighbour_sums(framed, top, left)
        target = pixels[top::2, left::2]
        if colour == "G":
            beside = pattern[site ^ 1]  # the colour left and right of this green; above and below is the other one
            target[..., 1] = own
            red, blue = (across, down) if beside == "R" else (down, across)
            target[..., 0], target[..., 2] = red + 1 >> 1, blue + 1 >> 1
        else:
            own_channel, other = (0, 2) if colour == "R" else (2, 0)
            target[..., own_channel] = own
            target[..., 1] = across + down + 2 >> 2
            target[..., other] = diagonal + 2 >> 2
    return pixels


def _neighbour_sums(framed: U16, top: int, left: int) -> tuple[U16, U16, U16, U16]:
    """For every second site from (top, left): itself, and the sums of its neighbours across, down and diagonal."""
    height, width = framed.shape[0] - 2, framed.shape[1] - 2

    def shifted(dy: int, dx: int) -> U16:
        return framed[1 + top + dy : 1 + height + dy : 2, 1 + left + dx : 1 + width + dx : 2]

    across = shifted(0, -1) + shifted(0, 1)
    down = shifted(-1, 0) + shifted(1, 0)
    diagonal = shifted(-1, -1) + shifted(-1, 1) + shifted(1, -1) + shifted(1, 1)
    return shifted(0, 0), across, down, diagonal
