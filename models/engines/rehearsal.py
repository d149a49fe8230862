"""Opens a model in a process of its own first, at low priority, so that lines that run meanwhile are not held up.

Place in the flow: a worker asks before it opens a model beside those that serve. Verifying, converting and all golden
vectors are seconds of processor time, and Python's lock is held for a fifth of a second at a stretch; here neither
reaches the frames. What is left to the worker is to compile the network that comes back and to see each bucket once. A
model that ends a process ends this one. Knows no Kafka and no recipe.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.artifact import Graph, load_artifact
from models.engines import Engine, open_engine
from models.errors import ModelError, ModelRefusedError
from schemas.records import Precision

NICENESS = 10  # a tenth of what a thread that serves gets where both want the processor: slow, and never nothing
LONGEST_S = 300.0
XML, WEIGHTS = "network.xml", "network.bin"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal found: where the model runs, and its network where converting it takes long."""

    device: str
    precision: Precision
    graph: Graph | None


def rehearse(directory: Path, device: str, precision: Precision, buckets: Sequence[int]) -> Rehearsed:
    """Verify the model, open it as `open_engine` does and run all of its golden vectors, in another process. Blocks.

    Raises what that would raise, as ModelRefusedError, and for a process that ends or takes longer than LONGEST_S.
    """
    with tempfile.TemporaryDirectory(prefix="lineside-rehearsal-") as scratch:
        asked = json.dumps([str(directory), device, precision, list(buckets), scratch])
        command = [sys.executable, "-P", "-m", "models.engines.rehearsal", asked]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ModelRefusedError(
                f"{directory} was not open after {LONGEST_S:.0f} s in a process of its own"
            ) from error
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise ModelRefusedError(
                f"{directory}: the process that opens it first ended with {done.returncode}: {last}"
            )
        answer = json.loads(done.stdout)
        if "refused" in answer:
            raise ModelRefusedError(answer["refused"])
        return Rehearsed(answer["device"], Precision(answer["precision"]), _read(Path(scratch)))


def _read(scratch: Path) -> Graph | None:
    xml, weights = scratch / XML, scratch / WEIGHTS
    return Graph(xml.read_bytes(), weights.read_bytes()) if xml.exists() else None


def _opened(directory: str, device: str, precision: str, buckets: Sequence[int], scratch: str) -> Engine:
    artifact = load_artifact(Path(directory))
    engine = open_engine(artifact, device, Precision(precision), tuple(buckets), threads=1)
    if engine.device.startswith("openvino") and engine.precision is not Precision.INT8:
        from models.engines.openvino_engine import converted, kept

        graph = kept(converted(artifact))
        (Path(scratch) / XML).write_bytes(graph.xml)
        (Path(scratch) / WEIGHTS).write_bytes(graph.weights)
    return engine


def main() -> None:
    """Entry."""
    os.nice(NICENESS)
    try:
        engine = _opened(*json.loads(sys.argv[1]))
    except ModelError as error:
        print(json.dumps({"refused": str(error)}))
        return
    print(json.dumps({"device": engine.device, "precision": engine.precision}))
    engine.close()


if __name__ == "__main__":
    main()
