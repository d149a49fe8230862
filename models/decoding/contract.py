"""What goes into decoding, how it refuses, and the limits that every container shares.

Used by every reader of this package and re-exported by `models.preprocess`. Knows no container and no decoder.
"""

from dataclasses import dataclass

MAX_PIXELS = 100_000_000
MIN_SIDE = 16  # pixels
MAX_RATIO = 50  # longer side over shorter side


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """One picture as it was sent, with what the sender declared about it.

    `encoding` is a name of the events' `Encoding`. For containers (JPEG, PNG, BMP, TIFF, WEBP) the bytes' own
    signature and header decide and width and height are ignored; for raw frames the declaration is the only guide.
    `stride` is bytes a row, None for tight rows. `bits` is the depth of deep samples, None for the encoding's own.
    `sha256` is lower-case hex; None means that it isn't checked.
    """

    data: bytes
    encoding: str
    width: int = 0
    height: int = 0
    stride: int | None = None
    bits: int | None = None
    sha256: str | None = None


class RejectedImageError(Exception):
    """The picture can't be inspected. `reason` is a name of the events' `Reason`, `detail` a sentence for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def corrupt(detail: str) -> RejectedImageError:
    """Damage that isn't an early end."""
    return RejectedImageError("CORRUPT", detail)


def truncated(detail: str) -> RejectedImageError:
    """The file ends before its picture does."""
    return RejectedImageError("TRUNCATED", detail)


def unsupported(detail: str) -> RejectedImageError:
    """Well formed perhaps, but not a picture that is read here."""
    return RejectedImageError("UNSUPPORTED_FORMAT", detail)


def check_area(width: int, height: int) -> None:
    """Judge the memory that a header claims, before anything is allocated: TOO_LARGE."""
    if width * height > MAX_PIXELS:
        raise RejectedImageError("TOO_LARGE", f"the header claims {width}x{height}, expected at most {MAX_PIXELS:,} px")


def check_size(width: int, height: int) -> None:
    """Judge the size of a picture that a header claims: TOO_LARGE or SIZE_OUT_OF_RANGE."""
    check_area(width, height)
    shorter, longer = sorted((width, height))
    if shorter < MIN_SIDE:
        raise RejectedImageError("SIZE_OUT_OF_RANGE", f"{width}x{height}: a side is under {MIN_SIDE} px")
    if longer > MAX_RATIO * shorter:
        raise RejectedImageError("SIZE_OUT_OF_RANGE", f"{width}x{height}: the sides' ratio is over {MAX_RATIO}")
