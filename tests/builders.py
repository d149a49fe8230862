"""Builders of events and stand-ins of inspection's parts, for tests: every default is sensible and can be overridden.

The fakes obey the interfaces of the real parts and record what they were asked; each fault is a switch.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from PIL import Image
from prometheus_client import CollectorRegistry

from models.errors import DeviceFatalError
from models.preprocess import Preprocessing
from schemas.codec import Codec, CommittedSource
from schemas.records import Encoding, Event, FrameCaptured, Mode, Precision, Recipe, VerdictIssued
from streams.errors import OperatorError
from streams.inspection.budget import Budget
from streams.inspection.decide import ClassRoles, Judgement, Provenance, Source, VerdictAt, issue
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel
from streams.inspection.inspection import Inspection
from streams.inspection.inspector import Arrival, Inspector
from streams.inspection.metrics import InspectionMetrics
from streams.inspection.pictures import Pictures
from streams.inspection.recipes import RecipeBook
from streams.store import FrameStore
from streams.topics import Topic

CODEC = Codec(CommittedSource())
NAMESPACE = UUID(int=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
CLASSES = ("good", "scratch", "dent")
ROLES = ClassRoles(CLASSES, frozenset({"scratch", "dent"}))
SIDE = 16  # pixels of a fake model's input
FRAMES_TOPIC = "lineside.frames"
OK_LEVEL, UNSURE_LEVEL, SCRATCH_LEVEL, DENT_LEVEL = 0, 50, 100, 200  # grey levels of pictures; see scores_of


def picture(level: int = OK_LEVEL) -> bytes:
    """A grey PNG whose level decides what FakeEngine scores."""
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (level, level, level)).save(file, "PNG")
    return file.getvalue()


def frame(number: int = 0, **changes: Any) -> FrameCaptured:
    """A frame with an inline picture; `number` is its trigger_seq and makes its id."""
    image = changes.get("image", picture())
    fields: dict[str, Any] = {
        "frame_id": uuid5(NAMESPACE, str(number)),
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "camera": "c1",
        "sku": "A",
        "trigger_seq": number,
        "captured_at": LONG_AGO + timedelta(seconds=number),
        "gateway_ms": 0,
        "encoding": Encoding.PNG,
        "width": SIDE,
        "height": SIDE,
        "image": image,
        "image_sha256": hashlib.sha256(image or b"").hexdigest(),
    }
    return FrameCaptured(**fields | changes)


def recipe(**changes: Any) -> Recipe:
    """A recipe for every SKU of p1/l1, long in force."""
    fields: dict[str, Any] = {
        "plant": "p1",
        "line": "l1",
        "sku": "*",
        "version": 1,
        "mode": Mode.ACT,
        "model_id": "m1",
        "thresholds": {"scratch": 0.5, "dent": 0.5},
        "unsure_band": 0.2,
        "author": "a",
        "reason": "r",
        "created_at": LONG_AGO,
        "effective_at": LONG_AGO,
    }
    return Recipe(**fields | changes)


def source(offset: int = 0, timestamp: datetime | None = None, topic: str = FRAMES_TOPIC, partition: int = 0) -> Source:
    return Source(topic, partition, offset, timestamp or datetime.now(UTC))


def verdict(of: FrameCaptured, judgement: Judgement, offset: int = 0, **changes: Any) -> VerdictIssued:
    """The verdict that a worker would have published for a frame."""
    arguments: dict[str, Any] = {
        "recipe": recipe(),
        "provenance": Provenance(),
        "received_at": LONG_AGO,
        "decided_at": LONG_AGO,
    }
    return issue(of, judgement, source(offset, LONG_AGO), **arguments | changes)


def arrival(value: FrameCaptured | bytes | None, offset: int = 0, **changes: Any) -> Arrival:
    """An event as Kafka delivers it: a frame is encoded, bytes and None are taken as they are."""
    fields: dict[str, Any] = {
        "source": source(offset),
        "generation": 1,
        "key": b"p1/l1/s1",
        "headers": (("ce_id", b"1"),),
        "value": CODEC.encode(value) if isinstance(value, FrameCaptured) else value,
        "received_at": datetime.now(UTC),
        "received_s": time.monotonic(),
        "ack": lambda: None,
    }
    return Arrival(**fields | changes)


def scores_of(pixels: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Scores by the mean grey level: each defect is surest at its own level and gone 80 levels away from it."""
    level = float(pixels.mean())
    scratch = max(0.0, 1 - abs(level - SCRATCH_LEVEL) / 80)
    dent = max(0.0, 1 - abs(level - DENT_LEVEL) / 80)
    return max(0.0, 1 - scratch - dent), scratch, dent


class FakeEngine:
    """models.engines.Engine without a network: scores by grey level, and one switch for each way to fail."""

    device = "fake:CPU"
    precision = Precision.FP32
    gives_novelty = False

    def __init__(self, buckets: tuple[int, ...] = (1, 2, 4, 8, 16, 32), concurrency: int = 1) -> None:
        self.buckets = buckets
        self.concurrency = concurrency
        self.batches: list[list[int]] = []  # grey levels of every batch that came
        self.running = 0
        self.most_running = 0
        self.closed = False
        self.failures_left = 0  # raises this often, then works
        self.fails_at: set[int] = set()  # raises for every batch with a picture of such a level
        self.nan_at: set[int] = set()
        self.rows_less: int = 0
        self.fatal = False
        self.refuses = False  # raises in submit, before there is a future
        self.seconds = 0.0
        self.gate = threading.Event()  # clear it and the engine hangs
        self.gate.set()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(concurrency, "fake-engine")

    def submit(self, batch: np.ndarray[Any, Any]) -> Future[np.ndarray[Any, Any]]:
        if self.refuses:
            raise ValueError("the fake engine refuses")
        return self._threads.submit(self._infer, batch)

    def close(self) -> None:
        self.closed = True
        self.gate.set()
        self._threads.shutdown()

    def _infer(self, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        levels = [round(float(pixels.mean())) for pixels in batch]
        with self._lock:
            self.batches.append(levels)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            self.gate.wait()
            time.sleep(self.seconds)
            return self._answer(batch, levels)
        finally:
            with self._lock:
                self.running -= 1

    def _answer(self, batch: np.ndarray[Any, Any], levels: list[int]) -> np.ndarray[Any, Any]:
        if self.fatal:
            raise DeviceFatalError("the fake device is lost")
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError("the fake engine fails once")
        if bad := self.fails_at.intersection(levels):
            raise RuntimeError(f"the fake engine can't take level {bad}")
        scores = np.array([scores_of(pixels) for pixels in batch], np.float32)
        scores[[level in self.nan_at for level in levels]] = np.nan
        return scores[: len(scores) - self.rows_less]


class FakeSender:
    """Records what is sent, in order; confirmation is immediate unless `hold` is set, and then by `confirm`."""

    def __init__(self, hold: bool = False) -> None:
        self.hold = hold
        self.refused: set[str] = set()  # topics that raise in send
        self.failing: set[str] = set()  # topics whose confirmation fails
        self.sent: list[tuple[str, Event, bytes | None, int | None]] = []
        self._futures: list[asyncio.Future[object]] = []

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]:
        if topic.name in self.refused:
            raise OperatorError(f"{topic.name} takes nothing")
        self.sent.append((topic.name, record, key, partition))
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        if topic.name in self.failing:
            self.fail(len(self._futures) - 1)
        elif not self.hold:
            future.set_result(None)
        return future

    def confirm(self, *indexes: int) -> None:
        """Confirm these sends, all that are open without an argument."""
        for index in indexes or range(len(self._futures)):
            if not self._futures[index].done():
                self._futures[index].set_result(None)

    def fail(self, index: int) -> None:
        self._futures[index].set_exception(OperatorError("the broker did not take an event"))
        self._futures[index].exception()  # nobody may ever ask

    @property
    def topics(self) -> list[str]:
        return [topic for topic, *_ in self.sent]

    def records(self, topic: str) -> list[Any]:
        return [record for name, record, *_ in self.sent if name == topic]


class FakeTail:
    """What the verdicts topic holds already; `gate` makes reading slow, `error` makes it fail."""

    def __init__(self, *verdicts: VerdictIssued) -> None:
        self.verdicts = list(verdicts)
        self.newest: dict[UUID, VerdictIssued] = {}
        self.about: dict[VerdictAt, VerdictIssued] = {}
        self.asked: list[tuple[int, str, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def known_from(self, partition: int, frames_topic: str, from_offset: int) -> FakeTail:
        self.asked.append((partition, frames_topic, from_offset))
        await self.gate.wait()
        if self.error:
            raise self.error
        self.about = {(v.source_offset, v.verdict_id): v for v in self.verdicts}
        return self


class Deaths(list[str]):
    """Stands for `die`: records the reasons; `first` is set at the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    def __call__(self, why: str) -> None:
        self.append(why)
        self.first.set()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Let the loop run until something is so; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def settle() -> None:
    """Let everything run that needs no thread and no time."""
    for _ in range(50):
        await asyncio.sleep(0)


def serving_model(engine: FakeEngine, model_id: str = "m1") -> ServingModel:
    spec = Preprocessing(width=SIDE, height=SIDE)
    return ServingModel(model_id, "f" * 64, spec, ROLES, engine, (("scratch", 0.5), ("dent", 0.5)), 0.2)


@dataclass
class Bench:
    """A whole inspection on fakes, with offsets that count up; close it at the end."""

    store: Path
    engine: FakeEngine = field(default_factory=FakeEngine)
    sender: FakeSender = field(default_factory=FakeSender)
    tail: FakeTail = field(default_factory=FakeTail)
    recipes: RecipeBook = field(default_factory=lambda: RecipeBook(recipe()))
    budget: Budget = field(default_factory=lambda: Budget(64 << 20, 2.0))
    limits: RoomLimits = RoomLimits(32, 0.005, 5.0)  # noqa: RUF009  # frozen
    claims: int = 4

    def __post_init__(self) -> None:
        self.deaths = Deaths()
        self.registry = CollectorRegistry()
        self.metrics = InspectionMetrics(self.registry)
        self.frame_store = FrameStore(str(self.store))
        self.pool = DecodePool(2)
        self.room = EngineRoom(serving_model(self.engine), self.pool, self.limits, self.metrics, self.deaths)
        self.pictures = Pictures(self.frame_store)
        self.inspector = Inspector(CODEC, self.recipes, {"m1": self.room}, self.pictures, self.claims)
        self.inspection = Inspection(
            self.inspector, self.tail.known_from, self.sender, self.budget, self.metrics, self.deaths
        )
        self.acked: list[int] = []
        self._offsets = count()

    async def accept(self, value: FrameCaptured | bytes | None, offset: int | None = None, **changes: Any) -> None:
        """Hand one event over; waits as Inspection.accept does."""
        at = next(self._offsets) if offset is None else offset
        changes = {"ack": lambda: self.acked.append(at)} | changes
        await self.inspection.accept(arrival(value, at, **changes))

    async def run(self, *values: FrameCaptured | bytes | None) -> None:
        """Hand events over and wait until all are acknowledged."""
        for value in values:
            await self.accept(value)
        async with asyncio.timeout(10):
            await self.inspection.drain()

    @property
    def verdicts(self) -> list[VerdictIssued]:
        return self.sender.records("verdicts")

    def close(self) -> None:
        self.inspection.close()
        self.room.close()
        self.pool.close()
