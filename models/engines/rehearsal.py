"""Opens a model in a process of its own first, at low priority, so that lines that run meanwhile are not held up.

Place in the flow: a worker asks before it opens a model beside those that serve. Verifying, converting and all golden
vectors are seconds of processor time, and Python's lock is held for a fifth of a second at a stretch; here neither
reaches the frames. What is left to the worker is to compile the network that comes back and to see each bucket once. A
model that ends a process ends this one. Knows no Kafka and no recipe.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from models.artifact import Artifact, Graph, load_artifact
from models.engines import open_engine, settled
from models.errors import ModelError, ModelRefusedError
from schemas.records import Precision

NICENESS = 19  # what the frames leave over
LONGEST_S = 300.0  # of processor time
PATIENCE = 12  # times that in wall time: what frames leave over may be little, and nobody waits until `hurry` says so
LOOK_S = 0.1
PROGRAM = f"import os; os.nice({NICENESS}); from models.engines.rehearsal import main; main()"
"""Nice before it imports torch: that alone is two seconds of processor time."""
XML, WEIGHTS, ERRORS = "network.xml", "network.bin", "errors"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal found: where the model runs, and its network where converting it takes long."""

    device: str
    precision: Precision
    graph: Graph | None


def rehearse(
    directory: Path, device: str, precision: Precision, buckets: Sequence[int], hurry: threading.Event
) -> Rehearsed | None:
    """Verify the model, open it as `open_engine` does and run all of its golden vectors, in another process. Blocks.

    None once `hurry` is set: there was no time for it. Raises what `open_engine` would, as ModelRefusedError, and for a
    process that ends or takes longer than LONGEST_S. That process ends with this one, however it ends.
    """
    with tempfile.TemporaryDirectory(prefix="lineside-rehearsal-") as scratch:
        asked = json.dumps([str(directory), device, precision, list(buckets), scratch])
        command = [sys.executable, "-P", "-c", PROGRAM, asked]
        answer = _answer(command, directory, Path(scratch) / ERRORS, hurry)
        if answer is None:
            return None
        if "refused" in answer:
            raise ModelRefusedError(answer["refused"])
        return Rehearsed(answer["device"], Precision(answer["precision"]), _read(Path(scratch)))


def _answer(command: Sequence[str], directory: Path, errors: Path, hurry: threading.Event) -> dict[str, str] | None:
    began = time.monotonic()
    with errors.open("wb") as stderr, _started(command, stderr) as process:
        try:
            while process.poll() is None:
                if hurry.wait(LOOK_S):
                    return None
                if _lasts_too_long(process.pid, began):
                    raise ModelRefusedError(f"{directory} was not open after {LONGEST_S:g} s in a process of its own")
        finally:
            process.kill()
        assert process.stdout is not None
        said = process.stdout.read()
    if process.returncode:
        last = errors.read_text(errors="replace").strip().rpartition("\n")[2]
        raise ModelRefusedError(f"{directory}: the process that opens it first ended with {process.returncode}: {last}")
    return dict(json.loads(said))


def _started(command: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """It ends when this process closes its standard input by ending; a Ctrl-C is not meant for it."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, process_group=0)


def _lasts_too_long(pid: int, began: float) -> bool:
    took = psutil.Process(pid).cpu_times()
    return took.user + took.system > LONGEST_S or time.monotonic() - began > LONGEST_S * PATIENCE


def _read(scratch: Path) -> Graph | None:
    xml, weights = scratch / XML, scratch / WEIGHTS
    return Graph(xml.read_bytes(), weights.read_bytes()) if xml.exists() else None


def _opened(directory: str, device: str, precision: str, buckets: Sequence[int], scratch: str) -> Rehearsed:
    artifact = load_artifact(Path(directory))
    device, kind = settled(artifact, device, Precision(precision))
    graph = _converted(artifact) if device.startswith("openvino") and kind is not Precision.INT8 else None
    open_engine(artifact, device, kind, tuple(buckets), threads=1, graph=graph).close()
    if graph:
        (Path(scratch) / WEIGHTS).write_bytes(graph.weights)
        (Path(scratch) / XML).write_bytes(graph.xml)
    return Rehearsed(device, kind, graph)


def _converted(artifact: Artifact) -> Graph:
    from models.engines.openvino_engine import converted, kept

    return kept(converted(artifact))


def _end_with_the_worker(scratch: str) -> None:
    """Its end of the pipe closes when it ends, and then nobody else removes what lies in `scratch`."""
    os.read(sys.stdin.fileno(), 1)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Of that process, once it is nice."""
    asked = json.loads(sys.argv[1])
    threading.Thread(target=_end_with_the_worker, args=(asked[-1],), daemon=True).start()
    try:
        found = _opened(*asked)
    except ModelError as error:
        print(json.dumps({"refused": str(error)}))
    else:
        print(json.dumps({"device": found.device, "precision": found.precision}))
