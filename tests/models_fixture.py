"""The tiny model under the name that tests know it by; it lives in `models/tiny.py`, for `lineside chaos` too.

Each is made once: tiny is its input, of weights it has 45 MB like any ResNet-18. A test gets weights of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, wraps
from typing import ParamSpec

from models import tiny
from models.artifact import Artifact
from models.tiny import TINY_CLASSES, TINY_SIDE, TINY_TOLERANCE, tiny_pictures

__all__ = ["TINY_CLASSES", "TINY_SIDE", "TINY_TOLERANCE", "tiny_artifact", "tiny_pictures"]
P = ParamSpec("P")


def _made_once(make: Callable[P, Artifact]) -> Callable[P, Artifact]:
    made: Callable[..., Artifact] = cache(make)

    @wraps(make)
    def own(*args: P.args, **options: P.kwargs) -> Artifact:
        artifact = made(*args, **options)
        return replace(artifact, weights={name: value.clone() for name, value in artifact.weights.items()})

    return own


tiny_artifact = _made_once(tiny.tiny_artifact)
