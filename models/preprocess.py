"""The one path from a picture's bytes to what a network sees: train, evaluate, serve and review all come through here.

`decode` gives the upright picture, `load_views` what the network looks at, at its size; scaling by mean and std happens
inside the engine's graph, so that uint8 crosses every queue. All functions are pure, may be called from several threads
at once, and let go of the GIL in their heavy parts. This file knows no event, no engine and no model.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np

from models.decoding import bmp, jpeg, png, raw, tiff, webp
from models.decoding.contract import EncodedImage, RejectedImageError, corrupt, unsupported
from models.decoding.depth import U8
from models.figures import figures_of
from models.views import OVERLAP, Region, View, check_views, views_of
from schemas.records import PictureFigures

__all__ = ["EncodedImage", "Preprocessing", "RejectedImageError", "Seen", "decode", "load_views", "prepare"]

ALGORITHM = 1  # goes up whenever the same bytes and the same spec would give other numbers
LETTERBOX_LEVEL = 114  # grey of the bars, near the mean of natural pictures
MAX_SIDE = 4096  # of a network's input
_VIEWS = ("regions", "tile", "overlap", "overview")
_FITS = ("stretch", "letterbox")
_FILTERS = ("bilinear", "bicubic")
_SIGNATURES: tuple[tuple[bytes, Callable[[EncodedImage], U8]], ...] = (
    (jpeg.SIGNATURE, lambda image: jpeg.read(image.data)),
    (png.SIGNATURE, lambda image: png.read(image.data, image.bits)),
    (bmp.SIGNATURE, lambda image: bmp.read(image.data)),
    *((start, lambda image: tiff.read(image.data, image.bits)) for start in tiff.SIGNATURES),
)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a model expects of its input, as its artifact declares it.

    `width` and `height` in pixels; `fit` is "stretch" (the whole picture, its ratio given up) or "letterbox" (its ratio
    kept, grey bars); `resample` is "bilinear" or "bicubic", both with antialiasing. `mean` and `std` per channel of
    RGB / 255 are applied by the engine, not by `prepare`. Where it looks: `regions`, `tile` (pixels, 0 for none),
    `overlap` (the share of their side that tiles share) and `overview` (at the whole too); each view fills the input.
    Raises ValueError for values out of range.
    """

    width: int = 224
    height: int = 224
    fit: str = "stretch"
    resample: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's, as torchvision's weights expect
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    regions: tuple[Region, ...] = ()
    tile: int = 0
    overlap: float = OVERLAP
    overview: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            if type(side) is not int or not 1 <= side <= MAX_SIDE:
                raise ValueError(f"preprocessing: {name} must be an integer from 1 to {MAX_SIDE}, got {side!r}")
        for name, choices in (("fit", _FITS), ("resample", _FILTERS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"preprocessing: {name} must be one of {choices}, got {getattr(self, name)!r}")
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name)))
        if min(self.std) <= 0:
            raise ValueError(f"preprocessing: std must be above 0, got {self.std}")
        check_views(self.regions, self.tile, self.overlap, self.overview)

    @property
    def is_whole(self) -> bool:
        """Whether the network looks at the picture as a whole, once."""
        return not self.regions and not self.tile

    def views(self, width: int, height: int) -> tuple[View, ...]:
        """Where the network looks in an upright picture of this size; ValueError for more views than it may have."""
        return views_of(self.regions, self.tile, self.overlap, width, height, self.overview)

    def to_json(self) -> dict[str, object]:
        """For an artifact's JSON: this spec and the version of the algorithm that gives it meaning."""
        spec = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        views = {name: spec.pop(name) for name in _VIEWS}
        return {"algorithm": ALGORITHM, **spec} | ({} if self.is_whole else {"views": views})

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The reverse of `to_json`; ValueError for unknown or missing keys, wrong types, another algorithm."""
        expected = {"algorithm", *(field.name for field in fields(cls))} - set(_VIEWS)
        if not isinstance(value, Mapping) or set(value) - {"views"} != expected:
            found = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            raise ValueError(f"preprocessing: expected an object with exactly {sorted(expected)}, got {found}")
        if type(value["algorithm"]) is not int or value["algorithm"] != ALGORITHM:
            raise ValueError(
                f"preprocessing: this program has algorithm {ALGORITHM}, the artifact was made for "
                f"{value['algorithm']!r}; train the model again or run the version that made it"
            )
        given = {str(name): item for name, item in value.items() if name not in ("algorithm", "views")}
        return cls(**given, **(_views(value["views"]) if "views" in value else {}))

    @property
    def sha256(self) -> str:
        """Hex digest of the canonical JSON: equal where the same bytes give the same input."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _views(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != set(_VIEWS) or not isinstance(value["regions"], list):
        raise ValueError(f"preprocessing: views must be an object with exactly {sorted(_VIEWS)}; came {value!r:.200}")
    return {**value, "regions": tuple(map(Region.from_json, value["regions"]))}


def _three_numbers(name: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise ValueError(f"preprocessing: {name} must be three numbers, got {value!r}")
    if not all(type(item) in (int, float) and math.isfinite(item) for item in value):
        raise ValueError(f"preprocessing: {name} must be three finite numbers, got {value!r}")
    return tuple(float(item) for item in value)


def decode(image: EncodedImage) -> U8:
    """Decode one picture to upright uint8 RGB [H, W, 3], C-contiguous and writable.

    Raises RejectedImageError, and nothing else whatever the bytes are (MemoryError aside).
    """
    if not image.data:
        raise RejectedImageError("EMPTY", "zero bytes came")
    if image.sha256 is not None:
        found = hashlib.sha256(image.data).hexdigest()
        if found != image.sha256.lower():
            raise RejectedImageError("SHA256_MISMATCH", f"declared {image.sha256}, the bytes have {found}")
    try:
        return np.require(_reader(image)(image), np.uint8, ("C", "W"))
    except (RejectedImageError, MemoryError):
        raise
    except Exception as error:  # a decoder's surprise is the picture's fault too, and must harm no neighbour
        raise corrupt(f"{type(error).__name__}: {error}") from error


def _reader(image: EncodedImage) -> Callable[[EncodedImage], U8]:
    if image.encoding in raw.RAW_ENCODINGS:
        return raw.read
    for start, reader in _SIGNATURES:
        if image.data.startswith(start):
            return reader
    if webp.is_webp(image.data):
        return lambda image: webp.read(image.data)
    raise unsupported(f"bytes beginning {image.data[:12]!r}, expected a JPEG, PNG, BMP, TIFF or WebP")


def prepare(pixels: U8, spec: Preprocessing) -> U8:
    """Fit a picture, uint8 [H, W, 3], to a network's input, uint8 [spec.height, spec.width, 3].

    torch's integer antialiased resampling: bilinear is within one level of Pillow's at a quarter of its time, and gives
    the same numbers with AVX-512, AVX2 and neither (measured with torch 2.15). Raises ValueError for another shape or
    type.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"pixels must be uint8 [height, width, 3], got {pixels.dtype} {list(pixels.shape)}")
    if spec.fit == "stretch":
        return _resized(pixels, spec.width, spec.height, spec.resample)
    height, width, _ = pixels.shape
    scale = min(spec.width / width, spec.height / height)
    inner_width, inner_height = (max(1, round(side * scale)) for side in (width, height))
    left, top = (spec.width - inner_width) // 2, (spec.height - inner_height) // 2
    canvas = np.full((spec.height, spec.width, 3), LETTERBOX_LEVEL, np.uint8)
    inner = _resized(pixels, inner_width, inner_height, spec.resample)
    canvas[top : top + inner_height, left : left + inner_width] = inner
    return canvas


def _resized(pixels: U8, width: int, height: int, resample: str) -> U8:
    if pixels.shape[:2] == (height, width):
        return np.array(pixels)
    import torch  # here and not above: a gateway only looks at pictures, and shouldn't wait for torch to load

    planes = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).permute(2, 0, 1)[None]  # [1, 3, H, W] view
    resized = torch.nn.functional.interpolate(planes, (height, width), mode=resample, antialias=True)
    return np.require(resized[0].permute(1, 2, 0).numpy(), np.uint8, ("C", "W"))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a network looks at in one picture: its views, and their pixels, uint8 [views, h, w, 3].

    `figures` say how the picture was taken; None where nobody measured.
    """

    pixels: U8
    views: tuple[View, ...]
    figures: PictureFigures | None = None


def load_views(image: EncodedImage, spec: Preprocessing) -> Seen:
    """Decode, measure, cut and prepare in one step; raises as `decode` does, and TOO_LARGE for too many tiles."""
    pixels = decode(image)
    return replace(views_in(pixels, spec), figures=figures_of(pixels))


def views_in(pixels: U8, spec: Preprocessing) -> Seen:
    """The same of an upright picture, uint8 [H, W, 3]."""
    try:
        views = spec.views(pixels.shape[1], pixels.shape[0])
    except ValueError as error:
        raise RejectedImageError("TOO_LARGE", str(error)) from error
    found = np.empty((len(views), spec.height, spec.width, 3), np.uint8)
    for place, view in enumerate(views):
        found[place] = prepare(pixels[view.y : view.y + view.height, view.x : view.x + view.width], spec)
    return Seen(found, views)
