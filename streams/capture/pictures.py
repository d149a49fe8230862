"""Says how a file of a camera is encoded and how large its picture is, by its header alone; never decodes pixels.

Damaged files are passed on with what their name suggests: inspection is the judge. Knows nothing of folders or frames.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePath

from PIL import Image

from schemas.records import Encoding

SUFFIXES = {
    ".jpg": Encoding.JPEG,
    ".jpeg": Encoding.JPEG,
    ".png": Encoding.PNG,
    ".bmp": Encoding.BMP,
    ".tif": Encoding.TIFF,
    ".tiff": Encoding.TIFF,
    ".webp": Encoding.WEBP,
}
EXTENSIONS = {
    Encoding.JPEG: "jpg",
    Encoding.PNG: "png",
    Encoding.BMP: "bmp",
    Encoding.TIFF: "tif",
    Encoding.WEBP: "webp",
}
_FORMATS = {e.value: e for e in EXTENSIONS} | {"MPO": Encoding.JPEG}


@dataclass(frozen=True, slots=True)
class Header:
    """What is declared about a picture; 0 x 0 where nobody can tell."""

    encoding: Encoding
    width: int
    height: int


def read_header(data: bytes, name: str) -> Header:
    """The header of an encoded picture; for bytes that have none, the encoding that the file's name promises."""
    promised = SUFFIXES.get(PurePath(name).suffix.lower(), Encoding.UNKNOWN)
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as picture:
            return Header(_FORMATS[str(picture.format)], picture.width, picture.height)
    except MemoryError:
        raise
    except Exception:  # Pillow raises whatever a damaged header trips over: a dozen types
        return Header(promised, 0, 0)


def extension_of(encoding: Encoding) -> str:
    """File extension, without dot, under which bytes of this encoding are kept."""
    return EXTENSIONS.get(encoding, "raw")
