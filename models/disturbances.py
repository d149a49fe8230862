"""What cameras do to pictures over the months, made on purpose: blur, noise, light, dirt, a loose mount. Pure.

Place in the flow: `lineside evaluate --robustness` scores the same pictures disturbed. Strengths are chosen so that a
person still sees a clear defect at the middle one; the strongest is a camera that somebody should look after. The same
picture, strength and seed give the same pixels. After Hendrycks and Dietterich 2019, "Benchmarking Neural Network
Robustness to Common Corruptions", with what happens on a line in place of weather.

Pictures are uint8 [h, w, 3] before and after.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from models.artifact import U8

Random = np.random.Generator
Disturbance = Callable[["U8", float, Random], "U8"]
STRENGTHS: Mapping[str, tuple[float, float, float]] = {
    "blur": (0.5, 1.0, 2.0),  # standard deviation, in pixels of a picture 224 high
    "noise": (4.0, 10.0, 20.0),  # standard deviation, in grey levels of 255
    "darker": (0.1, 0.25, 0.5),  # share of the light that is gone
    "brighter": (0.1, 0.25, 0.5),  # share of light more
    "flatter": (0.1, 0.25, 0.5),  # share of the contrast that is gone
    "hidden": (0.01, 0.04, 0.1),  # share of the picture under a grey patch
    "jpeg": (80.0, 50.0, 20.0),  # quality
    "shifted": (0.01, 0.03, 0.08),  # of the picture's sides
    "turned": (1.0, 3.0, 8.0),  # degrees
    "dirt": (3.0, 8.0, 20.0),  # specks on the lens
}
"""By name, from weak to strong."""


def disturbed(picture: U8, name: str, strength: float, seed: int) -> U8:
    """The picture under a disturbance; KeyError for one that there isn't."""
    disturb = _ALL[name]
    random = np.random.default_rng([seed, list(_ALL).index(name)])
    return np.ascontiguousarray(disturb(picture, strength, random), np.uint8)


def _blur(picture: U8, strength: float, random: Random) -> U8:
    radius = strength * picture.shape[0] / 224
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def _noise(picture: U8, strength: float, random: Random) -> U8:
    return _levels(picture + random.normal(0, strength, picture.shape))


def _darker(picture: U8, strength: float, random: Random) -> U8:
    return _levels(picture * (1 - strength))


def _brighter(picture: U8, strength: float, random: Random) -> U8:
    return _levels(picture * (1 + strength))


def _flatter(picture: U8, strength: float, random: Random) -> U8:
    mean = picture.mean()
    return _levels(mean + (picture - mean) * (1 - strength))


def _hidden(picture: U8, strength: float, random: Random) -> U8:
    height, width = picture.shape[:2]
    rows, columns = max(1, round(height * strength**0.5)), max(1, round(width * strength**0.5))
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    found = picture.copy()
    found[top : top + rows, left : left + columns] = 128
    return found


def _jpeg(picture: U8, strength: float, random: Random) -> U8:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=round(strength))
    return np.asarray(Image.open(file))


def _shifted(picture: U8, strength: float, random: Random) -> U8:
    """By so much down or up and right or left; what comes in repeats the edge."""
    found = picture
    for axis in (0, 1):
        steps = max(1, round(picture.shape[axis] * strength)) * int(random.choice((-1, 1)))
        places = np.clip(np.arange(picture.shape[axis]) - steps, 0, picture.shape[axis] - 1)
        found = found.take(places, axis=axis)
    return found


def _turned(picture: U8, strength: float, random: Random) -> U8:
    height, width = picture.shape[:2]
    room = max(height, width) // 4
    wide = np.pad(picture, ((room, room), (room, room), (0, 0)), mode="edge")
    angle = strength * float(random.choice((-1, 1)))
    turned = np.asarray(Image.fromarray(wide).rotate(angle, Image.Resampling.BILINEAR))
    return turned[room : room + height, room : room + width]


def _dirt(picture: U8, strength: float, random: Random) -> U8:
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    light = np.ones((height, width))
    for _ in range(round(strength)):
        radius = random.uniform(0.005, 0.02) * max(height, width)
        distance = np.hypot(rows - random.uniform(0, height), columns - random.uniform(0, width))
        light = np.minimum(light, 1 - 0.6 * np.exp(-((distance / radius) ** 2)))
    return _levels(picture * light[..., None])


def _levels(values: np.ndarray[Any, Any]) -> U8:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


_ALL: Mapping[str, Disturbance] = {
    "blur": _blur,
    "noise": _noise,
    "darker": _darker,
    "brighter": _brighter,
    "flatter": _flatter,
    "hidden": _hidden,
    "jpeg": _jpeg,
    "shifted": _shifted,
    "turned": _turned,
    "dirt": _dirt,
}
