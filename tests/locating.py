"""A second stage without a network: it finds what it was told to, and fails where it was told to."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from models.locator import Place
from models.preprocess import EncodedImage, decode

FOUND = Place("scratch", 0.875, 20.0, 16.0, 30.0, 10.0, ((20.0, 16.0), (50.0, 16.0), (50.0, 26.0), (20.0, 26.0)))


class FakeLocator:
    """Implements `Locating`. It looks while `may_look` is set, and raises `fails` first."""

    model_id = "where-1"

    def __init__(self, sha256: str = "e" * 64, found: Sequence[Place] = (FOUND,)) -> None:
        self.sha256 = sha256
        self.found = found
        self.fails: list[Exception] = []
        self.looks = 0
        self.may_look = threading.Event()
        self.may_look.set()

    def places(self, image: EncodedImage) -> Sequence[Place]:
        decode(image)
        self.looks += 1
        assert self.may_look.wait(30)
        if self.fails:
            raise self.fails.pop(0)
        return self.found
