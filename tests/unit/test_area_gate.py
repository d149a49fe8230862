"""Pixels that are decoded at once are bounded, over all threads."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from models.decoding import area_gate, contract
from models.decoding.area_gate import AreaGate
from models.preprocess import EncodedImage, decode


class Decoder:
    """Takes turns and notes the most pixels that were held at once."""

    def __init__(self, gate: AreaGate) -> None:
        self.gate, self.held, self.most = gate, 0, 0
        self._lock = threading.Lock()

    def __call__(self, pixels: int) -> None:
        with self.gate.turn():
            self.gate.claim(pixels)
            with self._lock:
                self.held += pixels
                self.most = max(self.most, self.held)
            time.sleep(0.01)
            with self._lock:
                self.held -= pixels


def test_no_more_pixels_are_decoded_at_once_than_there_is_room_for() -> None:
    decoder = Decoder(AreaGate(100))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(decoder, [30] * 40))
    assert decoder.most == 90


def test_a_picture_larger_than_all_the_room_is_decoded_with_none_beside_it() -> None:
    decoder = Decoder(AreaGate(100))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(decoder, [30, 300, 30, 30, 300, 30]))
    assert decoder.most == 300


def test_pieces_of_a_picture_and_calls_outside_a_turn_never_wait() -> None:
    gate = AreaGate(100)
    with gate.turn():
        gate.claim(100)
        gate.claim(100)
    gate.claim(1000)
    with gate.turn():
        gate.claim(100)


def test_every_container_claims_its_area_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed: list[int] = []

    class Noted(AreaGate):
        def claim(self, pixels: int) -> None:
            claimed.append(pixels)
            super().claim(pixels)

    gate = Noted(10)
    monkeypatch.setattr(contract, "GATE", gate)
    monkeypatch.setattr("models.preprocess.GATE", gate)
    pixels = np.zeros((20, 30, 3), np.uint8)
    for container in ("JPEG", "PNG", "BMP", "TIFF", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, container)
        assert decode(EncodedImage(file.getvalue(), container)).shape == (20, 30, 3)
        assert claimed[0] == 600
        claimed.clear()
    decode(EncodedImage(pixels.tobytes(), "RGB8", 30, 20))
    assert claimed == [600]
    assert gate._taken == 0
    assert area_gate.GATE._taken == 0
