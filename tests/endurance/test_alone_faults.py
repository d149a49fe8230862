"""Each harm that a picture can do, done to the child that tries it alone; every one costs a start of that child."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.artifact import save_artifact
from streams.chaos.sabotage import sabotaged
from streams.errors import FrameRejectedError
from tests.models_fixture import tiny_artifact
from tests.unit.test_alone import LIMIT_S, image, jpeg, room_of


async def test_whatever_a_picture_does_it_does_to_the_child_alone(tmp_path: Path) -> None:
    """Each fault ends in a rejection with its stage; the next picture is scored by the next child."""
    save_artifact(tiny_artifact("m1"), tmp_path / "m1")
    expected = {
        "decode-exit": ("DECODE_CRASHED", "was ended by SIGSEGV"),
        "decode-hang": ("DECODE_CRASHED", f"took longer than {LIMIT_S:g} s"),
        "decode-raise": ("DECODE_CRASHED", "KeyError: 'sabotage'"),
        "engine-exit": ("ENGINE_FAILED", "was ended by SIGKILL"),
        "engine-hang": ("ENGINE_FAILED", f"took longer than {LIMIT_S:g} s"),
        "engine-raise": ("ENGINE_FAILED", "RuntimeError: sabotage"),
        "engine-memory": ("ENGINE_FAILED", "MemoryError: sabotage"),
    }
    async with room_of(tmp_path / "m1") as room:
        for fault, (reason, words) in expected.items():
            with pytest.raises(FrameRejectedError, match=words) as caught:
                await room.score(image(sabotaged(jpeg(), fault)))
            assert caught.value.reason == reason
        scores, *_ = await room.score(image(jpeg()))
        assert np.isfinite(scores).all()
        nan, *_ = await room.score(image(sabotaged(jpeg(), "engine-nan")))
        assert np.isnan(nan).all()
