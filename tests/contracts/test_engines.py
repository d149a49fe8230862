"""One contract for every engine: N in, N out, the same score wherever a picture lies, and clear refusals.

CUDA joins where torch sees a device; nothing is skipped, because it is the CPU's code path.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.artifact import Artifact, Golden
from models.engines import DEVICES, Engine, open_engine
from models.engines.base import PooledEngine, padded
from models.engines.openvino_engine import native_precision
from models.engines.torch_engine import Lane, device_error
from models.errors import BatchRefusedError, DeviceFatalError, ModelError, ModelRefusedError
from schemas.records import Precision
from tests.models_fixture import TINY_SIDE, tiny_artifact, tiny_pictures

ENGINES = [
    ("openvino:CPU", precision) for precision in sorted({Precision.FP32, native_precision()})
]  # a CPU may lack BF16
ENGINES += [("torch:cpu", precision) for precision in (Precision.FP32, Precision.BF16, Precision.FP16)]
if torch.cuda.is_available():
    ENGINES += [("torch:cuda", precision) for precision in (Precision.FP32, Precision.BF16, Precision.FP16)]
BUCKETS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return tiny_artifact()


@pytest.fixture(scope="module", params=ENGINES, ids=["-".join(engine) for engine in ENGINES])
def engine(request: pytest.FixtureRequest, artifact: Artifact) -> Iterator[Engine]:
    engine = open_engine(artifact, *request.param, buckets=BUCKETS)
    assert (engine.device, engine.precision) == request.param
    yield engine
    engine.close()


def scores_of(engine: Engine, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return engine.submit(batch).result(timeout=60)


@pytest.mark.parametrize("count", range(1, 9))
def test_n_pictures_give_n_rows_of_probabilities(engine: Engine, count: int) -> None:
    scores = scores_of(engine, tiny_pictures(count))
    assert scores.shape == (count, 3)
    assert scores.dtype == np.float32
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-3)


def test_a_picture_scores_the_same_in_every_batch_size_and_place(engine: Engine, artifact: Artifact) -> None:
    probe, others = tiny_pictures(1, seed=5), tiny_pictures(8, seed=6)
    alone = scores_of(engine, probe)[0]
    for count in range(2, 9):  # also batches that fill no bucket
        for place in range(count):
            batch = others[:count].copy()
            batch[place] = probe[0]
            difference = np.abs(scores_of(engine, batch)[place] - alone).max()
            assert difference <= artifact.tolerance[engine.precision], f"place {place} of {count}"


def test_the_scores_are_those_of_training(engine: Engine, artifact: Artifact) -> None:
    scores = scores_of(engine, artifact.golden.pictures)
    assert np.abs(scores - artifact.golden.scores).max() <= artifact.tolerance[engine.precision]


def test_many_batches_in_flight_each_get_their_own_scores(engine: Engine, artifact: Artifact) -> None:
    pictures = tiny_pictures(40, seed=7)
    expected = np.concatenate([scores_of(engine, pictures[i : i + 8]) for i in range(0, 40, 8)])
    sizes = [1, 7, 3, 8, 2, 5, 8, 6]
    starts = np.cumsum([0, *sizes[:-1]])
    futures = [engine.submit(pictures[s : s + n]) for s, n in zip(starts, sizes, strict=True)]
    for start, size, future in zip(starts, sizes, futures, strict=True):
        difference = np.abs(future.result(timeout=60) - expected[start : start + size]).max()
        assert difference <= artifact.tolerance[engine.precision]


def test_scores_do_not_change_when_later_batches_run(engine: Engine) -> None:
    first = scores_of(engine, tiny_pictures(8, seed=8))
    kept = first.copy()
    for seed in range(4):
        scores_of(engine, tiny_pictures(8, seed=seed))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((0, TINY_SIDE, TINY_SIDE, 3), np.uint8),
        np.zeros((9, TINY_SIDE, TINY_SIDE, 3), np.uint8),
        np.zeros((2, TINY_SIDE, TINY_SIDE + 1, 3), np.uint8),
        np.zeros((2, 3, TINY_SIDE, TINY_SIDE), np.uint8),
        np.zeros((TINY_SIDE, TINY_SIDE, 3), np.uint8),
        np.zeros((2, TINY_SIDE, TINY_SIDE, 3), np.float32),
    ],
    ids=["none", "beyond the largest bucket", "wider", "channels first", "no batch", "floats"],
)
def test_a_batch_of_the_wrong_shape_is_refused_at_once(engine: Engine, batch: np.ndarray[Any, Any]) -> None:
    with pytest.raises(BatchRefusedError, match="expected"):
        engine.submit(batch)
    assert scores_of(engine, tiny_pictures(1)).shape == (1, 3)  # and harms nobody


def test_a_picture_that_is_not_contiguous_is_taken_too(engine: Engine, artifact: Artifact) -> None:
    pictures = tiny_pictures(4, seed=9)
    mirrored = scores_of(engine, pictures[:, :, ::-1])
    same = scores_of(engine, np.ascontiguousarray(pictures[:, :, ::-1]))
    assert np.abs(mirrored - same).max() <= artifact.tolerance[engine.precision]


def test_auto_opens_an_engine_that_the_artifact_has_a_tolerance_for(artifact: Artifact) -> None:
    only_fp32 = replace(artifact, tolerance={Precision.FP32: 1e-3})
    engine = open_engine(only_fp32, buckets=(1,))
    assert engine.precision == Precision.FP32
    assert engine.device in DEVICES[1:]
    engine.close()


def test_an_unknown_device_is_the_callers_mistake(artifact: Artifact) -> None:
    with pytest.raises(ModelError, match=r"unknown device 'tpu'; expected one of auto, openvino:CPU, torch:cpu"):
        open_engine(artifact, "tpu")


@pytest.mark.parametrize("device", ["openvino:CPU", "torch:cpu"])
def test_a_precision_that_is_not_to_be_had_is_refused(artifact: Artifact, device: str) -> None:
    with pytest.raises(ModelRefusedError, match="INT8"):
        open_engine(artifact, device, Precision.INT8)
    with pytest.raises(ModelRefusedError, match="states no tolerance for BF16"):
        open_engine(replace(artifact, tolerance={Precision.FP32: 1e-3}), device, Precision.BF16)


@pytest.mark.parametrize("device", ["openvino:CPU", "torch:cpu"])
def test_a_head_whose_rows_were_swapped_fails_the_golden_vectors(artifact: Artifact, device: str) -> None:
    weights = dict(artifact.weights)
    for name in ("fc.weight", "fc.bias"):
        weights[name] = weights[name][[1, 0, 2]]
    with pytest.raises(ModelRefusedError, match=r"golden vector \d+ at place \d+ of a batch of 1 differs by"):
        open_engine(replace(artifact, weights=weights), device, Precision.FP32, buckets=BUCKETS)


def test_scores_that_are_no_numbers_fail_the_golden_vectors(artifact: Artifact) -> None:
    weights = dict(artifact.weights)
    weights["fc.weight"] = torch.full_like(weights["fc.weight"], 3e38)
    with pytest.raises(ModelRefusedError, match="differs by nan"):
        open_engine(replace(artifact, weights=weights), "torch:cpu", Precision.FP32, buckets=(1,))


class FlakyRunner:
    """Differs where a picture lies at place 2 of a batch of 4 alone."""

    def __init__(self, artifact: Artifact) -> None:
        self._known = {p.tobytes(): s for p, s in zip(artifact.golden.pictures, artifact.golden.scores, strict=True)}

    def __call__(self, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        scores = np.array([self._known[picture.tobytes()] for picture in batch])
        if len(batch) == 4:
            scores[2] += 0.01
        return scores


def test_every_place_of_every_bucket_is_checked(artifact: Artifact) -> None:
    from models.engines import check_golden

    few = replace(artifact, golden=Golden(artifact.golden.pictures[:3], artifact.golden.scores[:3]))
    engine = PooledEngine("fake", Precision.FP32, BUCKETS, [FlakyRunner(few)], (TINY_SIDE, TINY_SIDE))
    with pytest.raises(ModelRefusedError, match=r"at place 2 of a batch of 4 differs by 0\.01"):
        check_golden(engine, few)
    engine.close()


def test_padding_fills_up_to_the_next_bucket_with_black() -> None:
    batch = tiny_pictures(3)
    full = padded(batch, BUCKETS)
    assert full.shape == (4, TINY_SIDE, TINY_SIDE, 3)
    assert np.array_equal(full[:3], batch)
    assert not full[3].any()


def test_submitting_never_waits_for_the_device() -> None:
    started: Future[None] = Future()
    release: Future[None] = Future()

    def stuck(batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        started.set_result(None) if not started.done() else None
        release.result(timeout=60)
        return np.full((len(batch), 2), 0.5, np.float32)

    engine = PooledEngine("fake", Precision.FP32, (1,), [stuck], (4, 4))
    futures = [engine.submit(np.zeros((1, 4, 4, 3), np.uint8)) for _ in range(5)]
    started.result(timeout=60)
    assert not any(future.done() for future in futures)
    release.set_result(None)
    assert all(future.result(timeout=60).shape == (1, 2) for future in futures)
    engine.close()


class FailingModel(torch.nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CUDA error: an illegal memory access was encountered", DeviceFatalError),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", DeviceFatalError),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", RuntimeError),
        ("shapes do not match", RuntimeError),
    ],
)
def test_a_lost_device_is_told_from_a_failed_batch(text: str, expected: type[Exception]) -> None:
    lane = Lane(FailingModel(RuntimeError(text)), torch.device("cpu"), (1, 4, 4, 3))
    engine = PooledEngine("torch:cpu", Precision.FP32, (1,), [lane], (4, 4))
    error = engine.submit(np.zeros((1, 4, 4, 3), np.uint8)).exception(timeout=60)
    assert type(error) is expected
    assert text in str(error)
    assert engine.submit(np.zeros((1, 4, 4, 3), np.uint8)).exception(timeout=60) is not None  # the lane came back
    engine.close()


def test_an_accelerator_error_is_fatal_whatever_it_says() -> None:
    assert isinstance(device_error(torch.AcceleratorError("unspecified")), DeviceFatalError)


def test_opening_an_engine_contacts_nobody_and_loads_no_compiler() -> None:
    """A fresh process, because OpenVINO's telemetry would send on import. What isn't loaded makes a start quick."""
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): print('CONTACT', a, flush=True); raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from models.engines import open_engine\n"
        "from tests.models_fixture import tiny_artifact\n"
        "open_engine(tiny_artifact(), 'openvino:CPU', buckets=(1,)).close()\n"
        "assert 'openvino_telemetry.main' not in sys.modules\n"
        "assert not {'torch._dynamo', 'torch.distributed.tensor', 'sympy'} & set(sys.modules)\n"
        "print('opened')\n"
    )
    assert socket.socket.connect  # the one patched there exists
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.split() == ["opened"], done.stdout + done.stderr
