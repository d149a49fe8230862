"""The process that tries pictures alone: reads a picture, decodes it, scores it, answers; until its parent is gone.

Place in the flow: started by `alone.py` as `python -m streams.inspection.alone_child FD MODELS`, FD a socket, MODELS a
JSON list of [name, directory, device, precision]. Requests are a line of JSON and the picture's bytes, answers are
lines of JSON. May die or hang at any picture: that is what it is for. Knows no Kafka and no frame.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from dataclasses import asdict, astuple
from io import BufferedRWPair
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.preprocess import EncodedImage, RejectedImageError, load_views
from schemas.records import Encoding, Precision, Reason

if TYPE_CHECKING:
    from models.artifact import Artifact
    from models.engines import Engine

Models = dict[str, "tuple[Artifact, Engine]"]
OOM_SCORE = "1000"  # where memory runs out this process is the first to go


def serve(fd: int, models: Models) -> None:
    """Answer requests until the socket closes."""
    with socket.socket(fileno=fd) as connection, connection.makefile("rwb") as stream:
        _say(stream, {"ready": True})
        while line := stream.readline():
            header = json.loads(line)
            data = stream.read(int(header.pop("nbytes")))
            artifact, engine = models[header.pop("model")]
            try:
                _score(stream, _image(header, data), artifact, engine)
            except RejectedImageError as error:
                _say(stream, {"rejected": error.reason, "detail": error.detail})
            except MemoryError:
                _say(stream, {"rejected": Reason.TOO_LARGE, "detail": "not enough memory to inspect it"})


def _score(stream: BufferedRWPair, image: EncodedImage, artifact: Artifact, engine: Engine) -> None:
    started = time.monotonic()
    try:
        seen = load_views(image, artifact.preprocessing)
    except (RejectedImageError, MemoryError):
        raise
    except Exception as error:
        raise RejectedImageError(Reason.DECODE_CRASHED, f"{type(error).__name__}: {error}") from error
    decoded = time.monotonic()
    _say(stream, {"decoded": True})
    try:
        rows = [engine.submit(pixels[np.newaxis]).result()[0] for pixels in seen.pixels]
    except Exception as error:
        raise RejectedImageError(Reason.ENGINE_FAILED, f"{type(error).__name__}: {error}") from error
    times = {"decode_ms": (decoded - started) * 1000, "infer_ms": (time.monotonic() - decoded) * 1000}
    figures = None if seen.figures is None else asdict(seen.figures)
    answer = {"rows": [list(map(float, row)) for row in rows], "views": list(map(astuple, seen.views)), **times}
    _say(stream, {**answer, "figures": figures})


def _image(header: dict[str, Any], data: bytes) -> EncodedImage:
    return EncodedImage(data=data, **{**header, "encoding": Encoding(header["encoding"])})


def _say(stream: BufferedRWPair, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.flush()


def load(wanted: str) -> Models:
    """The models with engines for one picture at a time, on the same device and precision as the worker's."""
    from models.artifact import load_artifact
    from models.engines import open_engine

    models: Models = {}
    for name, directory, device, precision in json.loads(wanted):
        artifact = load_artifact(Path(directory))
        models[name] = artifact, open_engine(artifact, device, Precision(precision), buckets=(1,))
    return models


def main() -> None:
    """Entry."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    serve(int(sys.argv[1]), load(sys.argv[2]))


if __name__ == "__main__":
    main()
