"""Hostile pictures through the one path of decoding: pixels of the declared size, or a rejection with a known reason.

Seeds are the corpus and small files of every container. Nothing but the rejections of decoding's contract may come out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from models import preprocess
from models.decoding.raw import RAW_ENCODINGS
from models.preprocess import EncodedImage, Preprocessing, RejectedImageError, load_views
from schemas.records import Encoding, Reason
from streams.capture.pictures import read_header
from tests.fuzz import headers_jpeg, headers_png, headers_small, headers_tiff
from tests.fuzz.mutations import CHANGES, Change, changed
from tests.fuzz.subject import Case, WrongOutcomeError, generator
from tests.pictures import corpus, deep, saved, scene, tiff

Load = Callable[[EncodedImage, Preprocessing], Any]
SPECS = (
    Preprocessing(width=32, height=24),
    Preprocessing(width=24, height=40, fit="letterbox", resample="bicubic"),
)
REASONS = frozenset(Reason) - {Reason.UNKNOWN, Reason.DECODE_CRASHED}
BASE_GROWTH_BYTES = 96 << 20  # code loaded on first use, and what allocators keep
PIXEL_GROWTH_BYTES = 17  # a decoded pixel: WebP takes 16, 16-bit colour 12, all else less
FILE_GROWTH = 12  # times the file: strips, chunks and repairs are copies
REFUSED_GROWTH_BYTES = 1200 << 20  # 100 megapixels that are refused by their last row
WEIGHTS = {"OTHER": 1}  # a kind's share of cases, 4 where not told: nothing of these is read
_SIZES = (-1, 0, 1, 15, 16, 17, 40, 50, 64, 801, 10_000, 2**31 - 1, -(2**31))


@dataclass(frozen=True, slots=True)
class _Seed:
    image: EncodedImage
    kind: str  # of container, or RAW


def seeds() -> tuple[_Seed, ...]:
    """The corpus, and what it has no example of."""
    images = [case.image for case in corpus() if case.image.data]
    made = [
        *(saved(scene(), "TIFF", compression=name) for name in (None, "jpeg", "packbits", "tiff_lzw", "zstd")),
        *(saved(scene(), "JPEG", progressive=True, subsampling=s) for s in (0, 1, 2)),
        *(saved(scene(), "JPEG", restart_marker_blocks=2), saved(scene()[..., 0], "JPEG")),
        *(saved(scene(), "WEBP", quality=80), saved(scene(), "WEBP", lossless=True), saved(scene(), "BMP")),
        *(tiff(deep(20, 20, channels), order) for channels in (1, 3) for order in "<>"),
    ]
    images += [EncodedImage(data, "UNKNOWN") for data in made]
    return tuple(_Seed(image, _container(image)) for image in images)


def _container(image: EncodedImage) -> str:
    if image.encoding in RAW_ENCODINGS:
        return "RAW"
    starts = {b"\xff\xd8": "JPEG", b"\x89P": "PNG", b"BM": "BMP", b"II": "TIFF", b"MM": "TIFF", b"RI": "WEBP"}
    return starts.get(image.data[:2], "OTHER")


HEADER_CHANGES: dict[str, tuple[Change, ...]] = {
    "JPEG": headers_jpeg.CHANGES,
    "PNG": headers_png.CHANGES,
    "TIFF": headers_tiff.CHANGES,
    "BMP": headers_small.BMP_CHANGES,
    "WEBP": headers_small.WEBP_CHANGES,
}


def _load(image: EncodedImage, spec: Preprocessing) -> Any:
    """What a network sees of a picture that it looks at as a whole, uint8 [h, w, 3]."""
    return load_views(image, spec).pixels[0]


class Pictures:
    """A subject: see `tests.fuzz.subject`. `load` is what is tried."""

    def __init__(self, seed: int, load: Load = _load) -> None:
        self._seed = seed
        self._load = load
        self._seeds = seeds()
        self._by_kind = {kind: [s for s in self._seeds if s.kind == kind] for kind in {s.kind for s in self._seeds}}
        self._kinds = [kind for kind in sorted(self._by_kind) for _ in range(WEIGHTS.get(kind, 4))]
        self._growth_bytes = 0
        self._decoded = (0, 0)
        torch.set_num_threads(1)
        load_views(EncodedImage(saved(scene(), "PNG"), "PNG"), SPECS[0])  # what is loaded at first use is no growth
        self._spied = preprocess.prepare
        preprocess.prepare = self._spy

    def _spy(self, pixels: Any, spec: Preprocessing) -> Any:
        """Sees how large a decoded picture is: its memory may follow from that."""
        self._decoded = pixels.shape[:2]
        return self._spied(pixels, spec)

    def case(self, number: int) -> Case:
        rng = generator(self._seed, "picture", number)
        kind = rng.choice(self._kinds)
        seed = rng.choice(self._by_kind[kind])
        image = seed.image
        if kind == "RAW":
            image = _raw_changed(image, rng)
        else:
            others = [s.image.data for s in self._by_kind[kind if rng.random() < 0.7 else rng.choice(self._kinds)]]
            headers = HEADER_CHANGES.get(kind, ())
            kinds = headers if headers and rng.random() < 0.6 else (*CHANGES, *headers)
            image = replace(image, data=changed(image.data, rng, others, kinds))
        image = _declared_otherwise(image, rng)
        told = {name: value for name, value in asdict(image).items() if name != "data"} | {"made_from": seed.kind}
        return Case(image.data, told, (image, rng.choice(SPECS)))

    def trial(self, case: Case) -> str:
        image, spec = case.inner
        self._decoded = (0, 0)
        self._growth_bytes = BASE_GROWTH_BYTES + REFUSED_GROWTH_BYTES
        seen = read_header(image.data, "picture")  # what a gateway looks at
        if min(seen.width, seen.height) < 0:
            raise WrongOutcomeError(f"a header of {seen.width}x{seen.height}")
        try:
            pixels = self._load(image, spec)
        except RejectedImageError as error:
            return self._rejected(error)
        height, width = self._decoded
        self._growth_bytes = BASE_GROWTH_BYTES + PIXEL_GROWTH_BYTES * height * width + FILE_GROWTH * len(image.data)
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise WrongOutcomeError(f"expected uint8 pixels, came {type(pixels).__name__}")
        if pixels.shape != (spec.height, spec.width, 3):
            raise WrongOutcomeError(f"expected {spec.height} x {spec.width} x 3, came {pixels.shape}")
        if image.encoding in RAW_ENCODINGS and self._decoded != (image.height, image.width):
            raise WrongOutcomeError(f"declared {image.width}x{image.height}, decoded {self._decoded}")
        return "decoded"

    def _rejected(self, error: RejectedImageError) -> str:
        if error.reason not in REASONS:
            raise WrongOutcomeError(f"{error.reason!r} is no reason to reject a picture") from error
        if not error.detail:
            raise WrongOutcomeError(f"{error.reason} without a word") from error
        return error.reason

    def allowed_growth_bytes(self) -> int:
        return self._growth_bytes

    def close(self) -> None:
        preprocess.prepare = self._spied


def _raw_changed(image: EncodedImage, rng: random.Random) -> EncodedImage:
    """Another size, stride, depth or layout than the payload has; or a payload that nearly fits."""
    sizes = {
        name: rng.choice((*_SIZES, getattr(image, name) or 0, (getattr(image, name) or 0) + rng.choice((-1, 1))))
        for name in ("width", "height")
        if rng.random() < 0.4
    }
    image = replace(image, **sizes)
    if rng.random() < 0.4:
        image = replace(image, stride=rng.choice((None, *_SIZES, image.width, 2 * image.width, 3 * image.width)))
    if rng.random() < 0.3:
        image = replace(image, encoding=rng.choice(sorted(RAW_ENCODINGS)))
    if rng.random() < 0.4:
        bits = {"MONO16": 16, "MONO12": 16, "MONO12P": 12, "MONO10P": 10, "RGB8": 24, "BGR8": 24}.get(image.encoding, 8)
        fitting = (image.stride or (max(0, image.width) * bits + 7) // 8) * max(0, image.height)
        length = min(max(0, fitting + rng.choice((-1, 0, 0, 0, 1, 2))), 1 << 20)
        image = replace(image, data=(image.data * (1 + length // len(image.data)))[:length])
    return image


def _declared_otherwise(image: EncodedImage, rng: random.Random) -> EncodedImage:
    """Now and then what is declared has nothing to do with what came."""
    if rng.random() < 0.95 and image.sha256:
        image = replace(image, sha256=None)  # else nearly all would end there
    if rng.random() < 0.15:
        image = replace(image, bits=rng.choice((None, -1, 0, 1, 8, 10, 12, 16, 17, 255, 2**31 - 1)))
    if rng.random() < 0.05:
        image = replace(image, encoding=rng.choice([*map(str, Encoding), "", "nonsense", "jpeg"]))
    if rng.random() < 0.05:
        image = replace(image, width=rng.choice(_SIZES), height=rng.choice(_SIZES), stride=rng.choice(_SIZES))
    return image
