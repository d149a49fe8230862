"""A worker whose decoder and engine fail at marked pictures, for the fault suite. Never part of a real line.

Place in the flow: `python -m streams.chaos.sabotage worker …` is `lineside worker …`, and the process in which it tries
pictures alone, with the same faults. A picture carries its fault in a JPEG comment, and from the decoder to the
engine in its first pixels. Everything else is the real thing.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from models import engines, preprocess
from models.errors import DeviceFatalError
from models.preprocess import EncodedImage, Preprocessing

COMMENT = b"LINESIDE-SABOTAGE:"
MARK = (7, 77, 177)  # the first pixel of a marked picture; the second one tells the fault
FAULTS = (
    *("decode-exit", "decode-hang", "decode-raise"),
    *("engine-exit", "engine-hang", "engine-raise", "engine-raise-once", "engine-nan", "engine-memory", "engine-lost"),
)
FOR_EVER_S = 3600.0


def sabotaged(jpeg: bytes, fault: str) -> bytes:
    """The picture with a fault; ValueError for one that there is not."""
    text = COMMENT + str(FAULTS.index(fault)).encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def fault_of(data: bytes) -> str | None:
    """The fault that a picture carries."""
    at = data[:64].find(COMMENT)
    return FAULTS[data[at + len(COMMENT)] - ord("0")] if at >= 0 else None


def load_views(image: EncodedImage, spec: Preprocessing) -> preprocess.Seen:
    """models.preprocess.load_views with faults."""
    fault = fault_of(image.data)
    match fault:
        case "decode-exit":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "decode-hang":
            time.sleep(FOR_EVER_S)
        case "decode-raise":
            raise KeyError("sabotage")
    seen = preprocess.load_views(image, spec)
    if fault:
        seen.pixels[:, 0, 0], seen.pixels[:, 0, 1] = MARK, FAULTS.index(fault)
    return seen


class SabotagedEngine:
    """An engine that fails at marked pictures; see `models.engines.base.Engine`."""

    def __init__(self, engine: engines.Engine) -> None:
        self.device, self.precision = engine.device, engine.precision
        self.buckets, self.concurrency = engine.buckets, engine.concurrency
        self.gives_novelty = engine.gives_novelty
        self._engine = engine
        self._threads = ThreadPoolExecutor(engine.concurrency, "sabotage")
        self._raised = False

    def submit(self, batch: np.ndarray[Any, Any]) -> Future[np.ndarray[Any, Any]]:
        return self._threads.submit(self._infer, batch)

    def close(self) -> None:
        self._threads.shutdown()
        self._engine.close()

    def _infer(self, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        marked = (batch[:, 0, 0] == MARK).all(axis=1)
        faults = [
            FAULTS[int(pixels[0, 1, 0])] if is_marked else "" for pixels, is_marked in zip(batch, marked, strict=True)
        ]
        for fault in faults:
            self._fail(fault)
        scores = self._engine.submit(batch).result()
        scores[[fault == "engine-nan" for fault in faults]] = np.nan
        return scores

    def _fail(self, fault: str) -> None:
        match fault:
            case "engine-exit":
                os.kill(os.getpid(), signal.SIGKILL)
            case "engine-hang":
                time.sleep(FOR_EVER_S)
            case "engine-raise":
                raise RuntimeError("sabotage")
            case "engine-raise-once" if not self._raised:
                self._raised = True
                raise RuntimeError("sabotage, once")
            case "engine-memory":
                raise MemoryError("sabotage")
            case "engine-lost":
                raise DeviceFatalError("sabotage")


def open_engine(*arguments: Any, **options: Any) -> SabotagedEngine:
    """models.engines.open_engine with faults."""
    return SabotagedEngine(_open_engine(*arguments, **options))


_open_engine = engines.open_engine


def main() -> None:
    """Entry: a worker by the command line's arguments, or the child that tries pictures alone."""
    from streams import cli, serving
    from streams.inspection import alone_child, decode_pool

    engines.open_engine = open_engine
    for module in (decode_pool, alone_child):
        vars(module)["load_views"] = load_views
    vars(serving)["WorkerOptions"] = functools.partial(serving.WorkerOptions, alone_module="streams.chaos.sabotage")
    (alone_child.main if sys.argv[1].isdecimal() else cli.main)()


if __name__ == "__main__":
    main()
