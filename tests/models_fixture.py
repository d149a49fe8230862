"""The tiny model under the name that tests know it by; it lives in `models/tiny.py`, for `lineside chaos` too."""

from models.tiny import TINY_CLASSES, TINY_SIDE, TINY_TOLERANCE, tiny_artifact, tiny_pictures

__all__ = ["TINY_CLASSES", "TINY_SIDE", "TINY_TOLERANCE", "tiny_artifact", "tiny_pictures"]
