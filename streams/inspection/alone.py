"""Pictures tried alone: in a child process, one at a time, within a time limit. The parent's side.

Place in the flow: inspection comes here with frames that were in hand at two unclean ends, and with those that people
sent again. Whatever such a picture does to a decoder or an engine, it does to the child; it is rejected then, and the
line goes on. The child (`alone_child.py`) is not trusted: it answers in JSON, which is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.preprocess import EncodedImage
from models.views import View
from schemas.records import PictureFigures, Precision, Reason
from streams.bus import leash
from streams.errors import FrameRejectedError, OperatorError
from streams.inspection.decide import Provenance
from streams.inspection.decode_pool import ExpiredError
from streams.inspection.engine_room import Scored, ServingModel, scored
from streams.inspection.model_variants import ModelVariant

log = logging.getLogger(__name__)
READY_S = 120.0  # to load its models
LEASH_GRACE_S = 1
IDLE_S = 30.0  # a child that nobody needed for so long is ended: it holds a model's memory
CHILD_MODULE = "streams.inspection.alone_child"


@dataclass(frozen=True, slots=True)
class ChildModel:
    """What the child needs to open a model as the worker did."""

    model_id: str
    directory: str
    device: str
    precision: Precision

    @property
    def name(self) -> str:
        return str(ModelVariant(self.model_id, self.device, self.precision))


class Alone:
    """One child, with one model of a worker at a time. Use it on one event loop."""

    def __init__(self, models: Sequence[ChildModel], limit_s: float, module: str = CHILD_MODULE) -> None:
        """`limit_s`: seconds that one picture may take."""
        self._models = {model.name: model for model in models}
        self._limit_s = limit_s
        self._module = module
        self._lock = asyncio.Lock()
        self._child: _Child | None = None
        self._loaded = ""
        self._idle: asyncio.Task[None] | None = None

    def know(self, model: ChildModel) -> None:
        """A model that came later."""
        self._models[model.name] = model

    def room(self, model: ServingModel) -> AloneRoom:
        """What stands in for the model's engine room."""
        return AloneRoom(model, self)

    async def ask(self, name: str, image: EncodedImage, expires_at: float) -> dict[str, Any]:
        """The child's answer, by the model of that name: rows, views and figures (of the picture), decode_ms, infer_ms.

        Raises FrameRejectedError where the picture is rejected or takes the child's life or time, ExpiredError past
        `expires_at` (seconds of time.monotonic()), OperatorError where no child can be started.
        """
        async with self._lock:
            if self._idle:
                self._idle.cancel()
            try:
                child = await self._child_with(name)
                if time.monotonic() >= expires_at:
                    raise ExpiredError
                return await self._asked(child, name, image)
            finally:
                self._idle = asyncio.create_task(self._end_idle())

    async def _child_with(self, name: str) -> _Child:
        """The child, with this model loaded; one with another model is ended."""
        if self._child is None or self._loaded != name:
            await self._end_child()
            self._child = await _Child.started(self._module, [self._models[name]])
            self._loaded = name
        return self._child

    async def _asked(self, child: _Child, name: str, image: EncodedImage) -> dict[str, Any]:
        stage = Reason.DECODE_CRASHED
        why = f"took longer than {self._limit_s:g} s"
        try:
            async with asyncio.timeout(self._limit_s):
                await child.send(name, image)
                while (answer := await child.answer()) is not None:
                    if "decoded" in answer:
                        stage = Reason.ENGINE_FAILED
                        continue
                    if "rejected" in answer:
                        raise FrameRejectedError(Reason(answer["rejected"]), str(answer["detail"]))
                    return answer
            why = await child.how_it_ended()
        except TimeoutError:
            pass
        except (ValueError, ConnectionError) as error:
            why = f"gave no answer: {error}"
        await self._end_child()
        raise FrameRejectedError(stage, f"tried alone, because workers had ended with it: the process {why}")

    async def _end_idle(self) -> None:
        await asyncio.sleep(IDLE_S)
        async with self._lock:
            await self._end_child()

    async def _end_child(self) -> None:
        if self._child:
            child, self._child = self._child, None
            await child.end()

    async def close(self) -> None:
        """End the child."""
        if self._idle:
            self._idle.cancel()
        await self._end_child()


class AloneRoom:
    """An engine room whose frames are tried alone."""

    def __init__(self, model: ServingModel, alone: Alone) -> None:
        self.model = model
        self._alone = alone
        self._name = str(ModelVariant(model.model_id, model.engine.device, model.engine.precision))

    async def score(self, image: EncodedImage, expires_at: float = math.inf) -> Scored:
        """As EngineRoom.score, with batches of one."""
        came = time.monotonic()
        answer = await self._alone.ask(self._name, image, expires_at)
        waited_ms = (time.monotonic() - came) * 1000
        decode_ms, infer_ms = float(answer["decode_ms"]), float(answer["infer_ms"])
        rows = np.array(answer["rows"], np.float32)
        views = [View(*view) for view in answer["views"]]
        if rows.shape != (len(views), self.model.roles.width):
            raise FrameRejectedError(Reason.ENGINE_FAILED, f"tried alone, the engine gave scores of {rows.shape}")
        figures = _figures(answer["figures"])
        provenance = self._provenance(waited_ms, decode_ms, infer_ms, figures)
        return scored(self.model.roles, list(rows), views, provenance)

    def _provenance(
        self, waited_ms: float, decode_ms: float, infer_ms: float, figures: PictureFigures | None
    ) -> Provenance:
        return Provenance(
            model_id=self.model.model_id,
            model_sha256=self.model.sha256,
            preprocess_sha256=self.model.preprocessing.sha256,
            device=self.model.engine.device,
            precision=self.model.engine.precision,
            batch_size=1,
            queue_ms=max(0.0, waited_ms - decode_ms - infer_ms),
            decode_ms=decode_ms,
            infer_ms=infer_ms,
            picture=figures,
        )


def _figures(told: dict[str, Any] | None) -> PictureFigures | None:
    return None if told is None else PictureFigures(**{name: float(value) for name, value in told.items()})


class _Child:
    """A running child and the socket to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def started(cls, module: str, models: Sequence[ChildModel]) -> _Child:
        """A child that has loaded its models; OperatorError where it can't."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), str(LEASH_GRACE_S)]
        command += [sys.executable, "-P", "-m", module, str(theirs.fileno())]
        command += [json.dumps([[m.name, m.directory, m.device, m.precision] for m in models])]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, pass_fds=(theirs.fileno(),), start_new_session=True
            )
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(process, reader, writer)
        with contextlib.suppress(TimeoutError, ValueError, ConnectionError):
            async with asyncio.timeout(READY_S):
                if await child.answer() == {"ready": True}:
                    log.warning("process %d tries pictures alone that workers had in hand when they ended", process.pid)
                    return child
        await child.end()
        raise OperatorError(
            f"the process that tries pictures alone did not load its models within {READY_S:g} s; see this log above"
        )

    async def send(self, name: str, image: EncodedImage) -> None:
        header = {
            "model": name,
            "encoding": image.encoding,
            "width": image.width,
            "height": image.height,
            "stride": image.stride,
            "bits": image.bits,
            "sha256": image.sha256,
            "nbytes": len(image.data),
        }
        self._writer.write(json.dumps(header).encode() + b"\n")
        self._writer.write(image.data)
        await self._writer.drain()

    async def answer(self) -> dict[str, Any] | None:
        """The next one; None where the child has ended. ValueError for what is no answer."""
        line = await self._reader.readline()
        if not line:
            return None
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError(f"an answer must be an object, came {type(answer).__name__}")
        return answer

    async def how_it_ended(self) -> str:
        status = await self._process.wait()
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    async def end(self) -> None:
        self._writer.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
