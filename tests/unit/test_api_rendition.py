"""What a browser is sent for a stored picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.preprocess import EncodedImage, RejectedImageError, decode
from streams.web.api.rendition import rendition
from tests.pictures import Case, corpus

CASES = corpus()
SHOWN_AS_STORED = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}


def shown(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("case", [c for c in CASES if c.expect["outcome"] == "decoded"], ids=lambda c: c.name)
def test_a_readable_picture_is_sent_as_stored_or_as_a_png_of_the_same_pixels(case: Case) -> None:
    made = rendition(case.image)
    if case.image.data[:2] in SHOWN_AS_STORED and not case.name.startswith(("mono", "bayer", "rgb8", "bgr8")):
        assert (made.data, made.media_type) == (case.image.data, SHOWN_AS_STORED[case.image.data[:2]])
    else:
        assert made.media_type == "image/png"
        np.testing.assert_array_equal(shown(made.data), decode(case.image))


@pytest.mark.parametrize(
    "name", ["png_header_bomb", "jpeg_header_bomb", "svg", "pdf", "text", "html_error_page", "empty"]
)
def test_what_no_browser_should_be_given_is_refused(name: str) -> None:
    case = next(c for c in CASES if c.name == name)
    with pytest.raises(RejectedImageError):
        rendition(case.image)


@pytest.mark.parametrize("name", ["jpeg_baseline_420", "tiff_rgb", "mono8"])
def test_bytes_of_another_digest_are_refused(name: str) -> None:
    image = next(c for c in CASES if c.name == name).image
    wrong = EncodedImage(image.data, image.encoding, image.width, image.height, sha256="0" * 64)
    with pytest.raises(RejectedImageError) as refused:
        rendition(wrong)
    assert refused.value.reason == "SHA256_MISMATCH"
