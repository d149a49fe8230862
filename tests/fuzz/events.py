"""Hostile events through the real inspection, and through the codec as every other reader has it.

A frame must end in a verdict or a dead letter; whatever follows must be encodable, readable by every Avro reader, and
small enough for its topic. An event of another kind must be read or be refused as invalid or of an unknown schema.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas import records
from schemas.codec import Codec, CommittedSource, SchemaInvalidError, SchemaUnknownError, committed_schemas
from schemas.records import Encoding, FrameCaptured, Outcome
from streams.bus.publisher import cloud_event_headers
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, Unwatched
from streams.inspection.inspector import Arrival, Inspector
from streams.inspection.outbox import Outputs
from streams.inspection.pictures import Pictures
from streams.inspection.recipes import RecipeBook
from streams.store import FrameStore
from streams.topics import DEADLETTERS, DEFECTS, VERDICTS, Topic
from tests.builders import DENT_LEVEL, UNSURE_LEVEL, Deaths, FakeEngine, arrival, frame, picture, recipe, serving_model
from tests.contracts.samples import SAMPLES
from tests.fuzz.avro import TEXTS, Writer, odd_fields, odd_map, spoilt
from tests.fuzz.mutations import changed
from tests.fuzz.subject import Case, WrongOutcomeError, generator
from tests.pictures import corpus, saved, scene

GROWTH_BYTES = 128 << 20  # an event of 8 MiB, decoded, quoted, encoded and decoded again
FRAMES_SHARE = 0.8
EMPTIED_EVERY = 500  # frames: what the frame store keeps of defects
HEAD_BYTES = 5


class Events:
    """A subject: see `tests.fuzz.subject`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._codec = Codec(CommittedSource())
        texts = {schema.record: json.loads(schema.text) for schema in committed_schemas()}
        self._writers = {name: Writer(schema) for name, schema in texts.items()}
        self._encoded = [self._codec.encode(sample) for sample in SAMPLES.values()]
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-store-"))
        self.bench = _Bench(self._folder / "store", self._codec)
        self._frames = _frames(self.bench.references)
        self._tried = 0
        self.bench.inspect(arrival(frame(image=saved(scene(), "PNG"))), {})  # what is loaded at first use is no growth

    def case(self, number: int) -> Case:
        rng = generator(self._seed, "event", number)
        if rng.random() < FRAMES_SHARE:
            name, record = "FrameCaptured", rng.choice(self._frames)
        else:
            name = rng.choice(sorted(SAMPLES))
            record = SAMPLES[name]
        data = self._hostile(name, record, rng)
        told = {"made_from": name, "key": _key(rng), "headers": _headers(rng), "again": rng.random() < 0.1}
        return Case(data or b"", told, (name, data))

    def _hostile(self, name: str, record: records.Event, rng: random.Random) -> bytes | None:
        head, value = self._codec.encode(record)[:HEAD_BYTES], record.to_avro()
        way = rng.random()
        if way < 0.02:
            return rng.choice((None, b"", b"\0", b"\0\0\0\0\1", rng.randbytes(rng.choice((4, 5, 100)))))
        if way < 0.2:  # knows nothing of Avro
            return changed(self._codec.encode(record), rng, self._encoded)
        if way < 0.25:  # another schema than was written
            return (
                head[:1]
                + rng.choice((0, 1, 2, 4, 13, 14, 17, 18, 2**31, 2**32 - 1)).to_bytes(4, "big")
                + b"".join(piece.data for piece in self._writers[name].pieces(value))
            )
        if rng.random() < 0.5:
            value = odd_fields(value, rng)
            if name == "FrameCaptured" and rng.random() < 0.1:
                value["attributes"] = odd_map("x", rng)
            if name == "VerdictIssued" and rng.random() < 0.3:
                value["scores"] = odd_map(0.5, rng)
        pieces = self._writers[name].pieces(value)
        return head + (spoilt(pieces, rng) if way < 0.6 else b"".join(piece.data for piece in pieces))

    def trial(self, case: Case) -> str:
        name, data = case.inner
        if name != "FrameCaptured":
            return self._read(name, data or b"")
        self._tried += 1
        if self._tried % EMPTIED_EVERY == 0:
            self.bench.empty_store()
        hostile = arrival(data, key=case.told["key"], headers=case.told["headers"])
        outputs = self.bench.inspect(hostile, {})
        ended = self.judged(outputs, hostile)
        if case.told["again"] and outputs.verdict:
            known = {(hostile.source.offset, outputs.verdict.verdict_id): outputs.verdict}
            again = self.bench.inspect(hostile, known)
            self.judged(again, hostile)
            if again.verdict != outputs.verdict or not again.redelivered:
                raise WrongOutcomeError("a redelivered frame got another verdict")
        return ended

    def _read(self, name: str, data: bytes) -> str:
        """Any other reader: what it takes, it can write, and reads the same again."""
        try:
            event = self._codec.decode(data, getattr(records, name))
        except (SchemaInvalidError, SchemaUnknownError) as error:
            return f"{type(error).__name__.removesuffix('Error')} (other events)"
        self._check_written(event)
        return "read (other events)"

    def judged(self, outputs: Outputs, hostile: Arrival) -> str:
        """The outcome in words; WrongOutcomeError for one that can't be published or read."""
        verdict, letter = outputs.verdict, outputs.dead_letter
        if verdict is None and letter is None:
            raise WrongOutcomeError("neither verdict nor dead letter")
        if verdict and verdict.outcome is Outcome.OK and (letter or outputs.defect):
            raise WrongOutcomeError("OK, and yet a defect or a dead letter")
        key = None if verdict is None else f"{verdict.plant}/{verdict.line}/{verdict.station}".encode()
        for topic, record, its_key in (
            (VERDICTS, verdict, key),
            (DEFECTS, outputs.defect, key),
            (DEADLETTERS, letter, letter.key if letter else None),
        ):
            if record is not None:
                self._check_sent(topic, record, its_key)
        if letter and letter.value is not None and letter.value != hostile.value:
            raise WrongOutcomeError("the dead letter holds other bytes than came")
        if verdict:
            return f"{verdict.outcome} {verdict.reason}"
        return f"dead letter {letter.reason}" if letter else ""

    def _check_sent(self, topic: Topic, record: records.Event, key: bytes | None) -> None:
        value = self._check_written(record)
        size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, cloud_event_headers(record, key))
        if size > topic.max_message_bytes:
            raise WrongOutcomeError(f"{size} bytes for {topic.name}, which takes {topic.max_message_bytes}")

    def _check_written(self, record: records.Event) -> bytes:
        """Read again it is the same: within the bounds of its schema (`schemas.bounds`), ints of 32 bits included."""
        data = self._codec.encode(record)
        if self._codec.encode(self._codec.decode(data, type(record))) != data:  # not ==: NaN is no equal of itself
            raise WrongOutcomeError(f"a {type(record).__name__} is another when it is read")
        return data

    def allowed_growth_bytes(self) -> int:
        return GROWTH_BYTES

    def close(self) -> None:
        self.bench.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Bench:
    """The real inspector with a fake engine, and a frame store with all that may lie in one."""

    def __init__(self, store: Path, codec: Codec) -> None:
        self._loop = asyncio.new_event_loop()
        self._engine = FakeEngine()
        self._pool = DecodePool(1)
        self.frame_store = FrameStore(str(store))
        self.references = _references(self.frame_store, store)
        deaths = Deaths()
        self._deaths = deaths
        limits = RoomLimits(1, 0.0, 60.0)
        room = EngineRoom(serving_model(self._engine), self._pool, limits, Unwatched(), deaths)
        pictures = Pictures(self.frame_store)
        self._inspector = Inspector(codec, RecipeBook(recipe()), {"m1": room}, pictures)
        self._store = store

    def inspect(self, hostile: Arrival, published: Mapping[Any, Any]) -> Outputs:
        try:
            return self._loop.run_until_complete(self._inspector.inspect(hostile, published))
        finally:
            self._engine.batches.clear()
            if self._deaths:
                raise WrongOutcomeError(f"a frame ended the worker: {self._deaths}")

    def empty_store(self) -> None:
        for shelf in self._store.glob("[0-9a-f][0-9a-f]"):
            shutil.rmtree(shelf)
        _references(self.frame_store, self._store)

    def close(self) -> None:
        self._pool.close()
        self._engine.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def _references(store: FrameStore, folder: Path) -> tuple[str, ...]:
    """Objects of every kind, and references that lead to them, past them and out of the store."""
    base = store.base
    good = store.put(picture(), "ab" * 32, "png")
    odd = folder / "cd"
    odd.mkdir(exist_ok=True)
    for name, make in (("fifo.png", os.mkfifo), ("folder.png", os.mkdir)):
        if not (odd / name).exists():
            make(odd / name)
    for name, target in (("link.png", "/etc/passwd"), ("loop.png", "loop.png"), ("up", "/")):
        if not (odd / name).is_symlink():
            (odd / name).symlink_to(target)
    wrong = [
        f"{base}/{tail}"
        for tail in (
            *(
                "cd/fifo.png",
                "cd/folder.png",
                "cd/link.png",
                "cd/loop.png",
                "cd/up/etc/passwd",
                "cd",
                "cd/",
                "",
                "/",
                "ab",
            ),
            *("ef/nothing.png", "../x", "ab/../../x", "./ab", "%2e%2e/x", "ab%00", "ab\0.png", "a" * 300, "a/" * 600),
            *(f"ab/{'ab' * 32}.png/more", f"AB/{'AB' * 32}.PNG", "ab//x", ".facts/x", "ab\n", "ä", "?x", "#x"),
        )
    ]
    others = ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x", "s3://b/k", "memory://x", "zip://a::b", "~")
    return (good, *wrong, *others, base, f"{base}x/ab", base.upper(), base.replace("///", "//localhost/"))


def _frames(references: tuple[str, ...]) -> list[FrameCaptured]:
    """Good frames of every encoding and way of bringing a picture."""
    found = [frame(level, image=picture(level)) for level in (0, UNSURE_LEVEL, DENT_LEVEL)] * 4
    for number, case in enumerate(corpus()):
        image = case.image
        if len(image.data) < 20_000:
            encoding = Encoding(image.encoding) if image.encoding in Encoding.__members__ else Encoding.UNKNOWN
            declared = dataclasses.asdict(image) | {
                "encoding": encoding,
                "image_sha256": image.sha256 or "",
                "number": number,
            }
            declared["image"] = declared.pop("data")
            del declared["sha256"]
            found.append(frame(**declared))
    found += [frame(3, image=None, image_ref=reference, deadline_ms=10**9) for reference in references]
    found += [frame(4, deadline_ms=10**9, attributes={"a": "b", "exposure_us": "150"}, part_id="P-1", label="x")] * 4
    return found


def _key(rng: random.Random) -> bytes | None:
    return rng.choice((b"p1/l1/s1", b"p1/l1/s1", None, b"", b"\xff\xfe", b"a/b", b"x" * 100_000, b"\0" * 65))


def _headers(rng: random.Random) -> tuple[tuple[str, bytes | None], ...]:
    if rng.random() < 0.6:
        return (("ce_id", b"1"),)
    count = rng.choice((0, 1, 2, 5)) if rng.random() < 0.95 else rng.choice((1000, 12_000))
    values = (None, b"", b"\xff", b"x" * 100, b"y" * (100_000 if count < 6 else 10))
    return tuple((rng.choice((*TEXTS, "ce_id")), rng.choice(values)) for _ in range(count))
