"""A model is opened in a process of its own first: what comes back is the network, or why not, and never a harm."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from models.artifact import Artifact, Golden, save_artifact
from models.engines import open_engine, rehearsal
from models.engines.rehearsal import Rehearsed, rehearse
from models.errors import ModelRefusedError
from schemas.records import Precision
from tests.models_fixture import tiny_artifact, tiny_pictures

REPOSITORY = Path(__file__).parents[2]
BUCKETS = (1, 2, 4)
CALM = threading.Event()
LONG_S = 240  # it looks up once torch is imported, and other tests leave little over for that


def kept(artifact: Artifact, folder: Path) -> Path:
    save_artifact(artifact, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """Of the tiny model."""
    directory = kept(tiny_artifact(), tmp_path_factory.mktemp("rehearsed"))
    rehearsed = rehearse(directory, "openvino:CPU", Precision.FP32, BUCKETS, CALM)
    assert rehearsed is not None
    return rehearsed


def test_the_network_that_comes_back_scores_as_the_one_that_is_converted_here(found: Rehearsed) -> None:
    artifact = tiny_artifact()
    assert (found.device, found.precision) == ("openvino:CPU", Precision.FP32)
    assert found.graph is not None
    here = open_engine(artifact, "openvino:CPU", Precision.FP32, BUCKETS)
    engine = open_engine(artifact, "openvino:CPU", Precision.FP32, BUCKETS, graph=found.graph, briefly=True)
    pictures = tiny_pictures(4)
    np.testing.assert_allclose(engine.submit(pictures).result(), here.submit(pictures).result(), atol=1e-6)
    here.close()
    engine.close()


def test_another_framework_gives_no_network(tmp_path: Path) -> None:
    found = rehearse(kept(tiny_artifact(), tmp_path), "torch:cpu", Precision.FP32, BUCKETS, CALM)
    assert found is not None
    assert (found.device, found.graph) == ("torch:cpu", None)


def test_what_would_be_refused_here_is_refused_there_with_the_same_sentence(tmp_path: Path) -> None:
    artifact = tiny_artifact()
    golden = Golden(artifact.golden.pictures, np.roll(artifact.golden.scores, 1, axis=0))
    wrong = dataclasses.replace(artifact, golden=golden)
    with pytest.raises(ModelRefusedError) as here:
        open_engine(wrong, "openvino:CPU", Precision.FP32, BUCKETS)
    with pytest.raises(ModelRefusedError) as there:
        rehearse(kept(wrong, tmp_path), "openvino:CPU", Precision.FP32, BUCKETS, CALM)
    assert str(there.value) == str(here.value)


def test_the_network_of_another_model_is_found_out_also_by_the_brief_look(found: Rehearsed) -> None:
    with pytest.raises(ModelRefusedError, match="golden vector"):
        open_engine(tiny_artifact(seed=1), "openvino:CPU", Precision.FP32, BUCKETS, graph=found.graph, briefly=True)


def test_it_is_nice_before_it_imports_what_takes_seconds(tmp_path: Path) -> None:
    package = tmp_path / "models"
    package.mkdir()
    (package / "__init__.py").write_text("import os; print(os.nice(0)); raise SystemExit")
    command = [sys.executable, "-P", "-c", rehearsal.PROGRAM, "[]"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, check=True)
    assert done.stdout.split() == [b"19"]


def instead(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a program instead of the one that opens the model."""
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **rest: start([sys.executable, "-c", program], **rest))


def test_a_process_that_ends_is_a_model_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead("import os, sys; print('out of memory', file=sys.stderr); sys.stderr.flush(); os.abort()", monkeypatch)
    with pytest.raises(ModelRefusedError, match=r"ended with -6: out of memory"):
        rehearse(tmp_path, "openvino:CPU", Precision.FP32, BUCKETS, CALM)


@pytest.mark.parametrize(
    ("program", "patience"),
    [
        pytest.param("while True: pass", 1e6, id="works"),
        pytest.param("import time; time.sleep(600)", 2, id="stands still"),
    ],
)
def test_a_process_without_end_is_given_up(
    program: str, patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(program, monkeypatch)
    monkeypatch.setattr(rehearsal, "LONGEST_S", 0.2)
    monkeypatch.setattr(rehearsal, "PATIENCE", patience)
    with pytest.raises(ModelRefusedError, match="was not open after"):
        rehearse(tmp_path, "openvino:CPU", Precision.FP32, BUCKETS, CALM)


def test_one_that_frames_leave_no_processor_to_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead("""import time; time.sleep(1.5); print('{"refused": "it came to its end"}')""", monkeypatch)
    monkeypatch.setattr(rehearsal, "LONGEST_S", 1.0)
    with pytest.raises(ModelRefusedError, match="it came to its end"):
        rehearse(tmp_path, "openvino:CPU", Precision.FP32, BUCKETS, CALM)


def test_when_the_worker_is_killed_it_ends_and_leaves_nothing(tmp_path: Path) -> None:
    directory = kept(tiny_artifact(), tmp_path)
    program = f"""import threading; from pathlib import Path; from models.engines.rehearsal import rehearse
from schemas.records import Precision
rehearse(Path({str(directory)!r}), "openvino:CPU", Precision.FP32, {BUCKETS}, threading.Event())"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    worker = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=REPOSITORY)
    while not (begun := psutil.Process(worker.pid).children()):
        assert worker.poll() is None
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    assert not psutil.wait_procs(begun, timeout=LONG_S)[1]
    assert list(tmp_path.iterdir()) == [directory]


def test_it_is_left_at_once_where_there_is_no_time_for_it(tmp_path: Path) -> None:
    hurry = threading.Event()
    hurry.set()
    began = time.monotonic()
    assert rehearse(kept(tiny_artifact(), tmp_path), "openvino:CPU", Precision.FP32, BUCKETS, hurry) is None
    assert time.monotonic() - began < 1, "a process that opens it takes seconds"
