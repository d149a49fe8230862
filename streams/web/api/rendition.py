"""A stored picture as a browser can show it: the same bytes where it knows their container, else a PNG. Pure.

Place in the flow: between the frame store and `pictures.py`. The signature decides, never a name or a declaration; what
is decoded goes through the one path that inspection uses. Knows neither store nor HTTP.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from models.decoding import jpeg, png, webp
from models.decoding.contract import check_area
from models.decoding.raw import RAW_ENCODINGS
from models.preprocess import EncodedImage, RejectedImageError, decode
from streams.capture.pictures import read_header

PNG_COMPRESS_LEVEL = 1  # the fastest: pictures of cameras are noise, more costs time and saves little


@dataclass(frozen=True, slots=True)
class Rendition:
    """Bytes that a browser shows as `media_type`."""

    data: bytes
    media_type: str


def rendition(image: EncodedImage) -> Rendition:
    """The picture for a browser. RejectedImageError for bytes that are no picture or not those of `image.sha256`."""
    if image.encoding not in RAW_ENCODINGS and (media_type := _browsers_know(image.data)):
        found = hashlib.sha256(image.data).hexdigest()
        if image.sha256 is not None and found != image.sha256:
            raise RejectedImageError("SHA256_MISMATCH", f"expected {image.sha256}, the bytes have {found}")
        header = read_header(image.data, "")
        if not header.width:
            raise RejectedImageError("CORRUPT", "its header can't be read or claims too much")
        check_area(header.width, header.height)
        return Rendition(image.data, media_type)
    pixels = decode(image)
    grey = image.encoding.startswith("MONO")
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "PNG", compress_level=PNG_COMPRESS_LEVEL)
    return Rendition(file.getvalue(), "image/png")


def _browsers_know(data: bytes) -> str | None:
    if data.startswith(jpeg.SIGNATURE):
        return "image/jpeg"
    if data.startswith(png.SIGNATURE):
        return "image/png"
    return "image/webp" if webp.is_webp(data) else None
