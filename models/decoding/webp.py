"""WebP: walk the RIFF chunks, judge the size before libwebp allocates a canvas, let Pillow decode."""

from models.decoding.contract import RejectedImageError, check_size, corrupt, truncated
from models.decoding.depth import U8
from models.decoding.orientation import exif_orientation, upright
from models.decoding.pillow import decode_file

_FIRST_CHUNK = 12  # RIFF, size, WEBP


def is_webp(data: bytes) -> bool:
    """Whether the signature is a WebP's."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: bytes) -> U8:
    """Decode a WebP to upright uint8 RGB [H, W, 3]; raises RejectedImageError."""
    check_size(*_size(data))
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated(f"{len(data)} bytes came, the RIFF header counts {end}")
    orientation, frames, at = 1, 0, _FIRST_CHUNK
    while at < end:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
        if at > end:
            raise corrupt(f"chunk {kind!r} is longer than the file's own count")
        frames += kind == b"ANMF"
        if kind == b"EXIF":
            orientation = exif_orientation(data[at - length - length % 2 : at])
    if frames > 1:
        raise RejectedImageError("MULTIPAGE", f"an animated WebP of {frames} frames")
    return upright(decode_file(data[:end], "WEBP", None), orientation)


def _size(data: bytes) -> tuple[int, int]:
    """Width and height that the first chunk states (RFC 9649, sections 2.5 to 2.7)."""
    if len(data) < 30:
        raise truncated("the file ends within the header")
    kind, body = data[_FIRST_CHUNK : _FIRST_CHUNK + 4], data[_FIRST_CHUNK + 8 : _FIRST_CHUNK + 18]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and body[0] == 0x2F:
        packed = int.from_bytes(body[1:5], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise corrupt(f"the first chunk is {kind!r}, expected a VP8X, VP8L or VP8 header")
