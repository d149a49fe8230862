"""Pictures tried alone, in a real child process with a real model: what it answers, and what its end means."""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.artifact import load_artifact, save_artifact
from models.preprocess import EncodedImage
from schemas.records import Precision
from streams.chaos.sabotage import sabotaged
from streams.errors import FrameRejectedError, OperatorError
from streams.inspection.alone import Alone, AloneRoom, ChildModel
from streams.inspection.decode_pool import DecodePool, ExpiredError
from streams.inspection.engine_room import EngineRoom, RoomLimits, Unwatched
from streams.serving import WorkerOptions, serving_model
from tests.models_fixture import tiny_artifact, tiny_pictures

LIMIT_S = 3.0


def jpeg(number: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(tiny_pictures(8)[number]).save(file, "JPEG", quality=95)
    return file.getvalue()


def image(data: bytes) -> EncodedImage:
    return EncodedImage(data, "JPEG", 32, 32)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    save_artifact(tiny_artifact("m1"), directory / "m1")
    return directory / "m1"


@contextlib.asynccontextmanager
async def room_of(model_dir: Path) -> AsyncIterator[AloneRoom]:
    served = serving_model(load_artifact(model_dir), WorkerOptions([], device="torch:cpu", precision=Precision.FP32), 4)
    child = ChildModel("m1", str(model_dir), served.engine.device, served.engine.precision)
    alone = Alone([child], LIMIT_S, "streams.chaos.sabotage")
    try:
        yield alone.room(served)
    finally:
        await alone.close()
        served.engine.close()


async def test_a_model_in_two_precisions_is_two_for_pictures_tried_alone(model_dir: Path) -> None:
    opened = [
        serving_model(load_artifact(model_dir), WorkerOptions([], device="torch:cpu", precision=precision), 1)
        for precision in (Precision.FP32, Precision.BF16)
    ]
    alone = Alone([ChildModel("m1", str(model_dir), m.engine.device, m.engine.precision) for m in opened], 30.0)
    try:
        for model in opened:
            scores, provenance, _ = await alone.room(model).score(image(jpeg()))
            pool = DecodePool(1)
            among = EngineRoom(model, pool, RoomLimits(1, 0.0, 30.0), Unwatched(), pytest.fail)
            expected = (await among.score(image(jpeg()), math.inf)).scores
            pool.close()
            assert provenance.precision is model.engine.precision
            np.testing.assert_allclose(scores, expected, atol=1e-5)
    finally:
        await alone.close()
        for model in opened:
            model.engine.close()


async def test_a_picture_alone_gets_the_scores_and_provenance_that_it_gets_among_others(model_dir: Path) -> None:
    async with room_of(model_dir) as room:
        pool = DecodePool(1)
        among = EngineRoom(room.model, pool, RoomLimits(4, 0.0, 30.0), Unwatched(), pytest.fail)
        scores, provenance, _ = await room.score(image(jpeg()))
        expected, beside, _ = await among.score(image(jpeg()), math.inf)
        pool.close()
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    for name in ("model_id", "model_sha256", "preprocess_sha256", "device", "precision", "batch_size", "picture"):
        assert getattr(provenance, name) == getattr(beside, name)
    assert provenance.picture is not None
    assert provenance.decode_ms > 0
    assert provenance.infer_ms > 0


async def test_what_a_picture_raises_is_its_rejection_and_the_child_goes_on(model_dir: Path) -> None:
    """Harms that end the child are met in `tests/endurance/test_alone_faults.py`."""
    expected = {
        "decode-raise": ("DECODE_CRASHED", "KeyError: 'sabotage'"),
        "engine-raise": ("ENGINE_FAILED", "RuntimeError: sabotage"),
        "engine-memory": ("ENGINE_FAILED", "MemoryError: sabotage"),
    }
    async with room_of(model_dir) as room:
        for fault, (reason, words) in expected.items():
            with pytest.raises(FrameRejectedError, match=words) as caught:
                await room.score(image(sabotaged(jpeg(), fault)))
            assert caught.value.reason == reason
        scores, *_ = await room.score(image(jpeg()))
        assert np.isfinite(scores).all()
        nan, *_ = await room.score(image(sabotaged(jpeg(), "engine-nan")))
        assert np.isnan(nan).all()


async def test_a_damaged_picture_is_rejected_for_what_it_is(model_dir: Path) -> None:
    async with room_of(model_dir) as room:
        with pytest.raises(FrameRejectedError) as caught:
            await room.score(image(jpeg()[:300]))
    assert caught.value.reason == "TRUNCATED"


async def test_a_picture_past_its_deadline_is_not_tried(model_dir: Path) -> None:
    async with room_of(model_dir) as room:
        with pytest.raises(ExpiredError):
            await room.score(image(jpeg()), time.monotonic())


async def test_a_child_that_cannot_load_its_model_blames_no_picture(model_dir: Path, tmp_path: Path) -> None:
    served = serving_model(load_artifact(model_dir), WorkerOptions([], device="torch:cpu", precision=Precision.FP32), 1)
    alone = Alone([ChildModel("m1", str(tmp_path / "gone"), "torch:cpu", "FP32")], LIMIT_S)
    with pytest.raises(OperatorError, match="did not load its models"):
        await alone.room(served).score(image(jpeg()))
    await alone.close()
    served.engine.close()


async def test_closing_ends_the_child(model_dir: Path) -> None:
    async with room_of(model_dir) as room:
        await room.score(image(jpeg()))
        process = room._alone._child._process  # type: ignore[union-attr]
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
