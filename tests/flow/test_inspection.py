"""The whole inspection without Kafka and Faust: events in, sends and acks out."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schemas.records import Encoding, Fallback, FrameCaptured, Outcome, Reason, VerdictIssued
from streams.inspection import inspector
from streams.inspection.budget import Budget
from streams.inspection.decide import Judgement, judge, late, rejected, unqualified
from streams.inspection.engine_room import RoomLimits
from streams.inspection.recipes import RecipeBook
from streams.store import FrameStore, StoreUnavailableError
from streams.topics import DEADLETTERS, DEFECTS, FRAME_MAX_BYTES, VERDICTS
from tests.builders import (
    CODEC,
    DENT_LEVEL,
    OK_LEVEL,
    ROLES,
    SCRATCH_LEVEL,
    UNSURE_LEVEL,
    Bench,
    FakeEngine,
    FakeSender,
    FakeTail,
    arrival,
    frame,
    picture,
    recipe,
    settle,
    source,
    until,
    verdict,
)

MakeBench = Callable[..., Bench]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[MakeBench]:
    """Makes benches that are closed at the end."""
    made: list[Bench] = []

    def make_one(**parts: Any) -> Bench:
        made.append(Bench(tmp_path / f"store{len(made)}", **parts))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


@pytest.fixture
def line(make: MakeBench) -> Bench:
    return make()


def shown(number: int, level: int, **changes: Any) -> FrameCaptured:
    return frame(number, image=picture(level), **changes)


def claimed(bench: Bench, level: int, number: int = 0, **changes: Any) -> FrameCaptured:
    data = picture(level)
    sha256 = hashlib.sha256(data).hexdigest()
    reference = bench.frame_store.put(data, sha256, "png")
    return frame(number, image=None, image_ref=reference, image_sha256=sha256, **changes)


def outcomes(verdicts: list[VerdictIssued]) -> list[tuple[Outcome, Reason]]:
    return [(v.outcome, v.reason) for v in verdicts]


# The good way


async def test_frames_become_verdicts_and_what_a_person_must_see_a_defect(line: Bench) -> None:
    levels = (OK_LEVEL, UNSURE_LEVEL, SCRATCH_LEVEL, DENT_LEVEL)
    await line.run(*(shown(n, level) for n, level in enumerate(levels)))
    assert [v.outcome for v in line.verdicts] == [Outcome.OK, Outcome.UNSURE, Outcome.NG, Outcome.NG]
    assert [[f.label for f in v.findings] for v in line.verdicts] == [[], [], ["scratch"], ["dent"]]
    assert [d.verdict for d in line.sender.records("defects")] == line.verdicts[1:]
    assert line.sender.records("deadletters") == []
    assert line.acked == [0, 1, 2, 3]
    assert line.deaths == []


async def test_a_verdict_says_how_its_picture_was_taken_and_nothing_where_it_could_not_be_decoded(line: Bench) -> None:
    await line.run(shown(0, SCRATCH_LEVEL), frame(1, image=b"no picture"))
    taken, unreadable = line.verdicts
    assert taken.picture is not None
    assert taken.picture.brightness == pytest.approx(SCRATCH_LEVEL / 255)
    assert unreadable.picture is None


async def test_a_defects_picture_resolves_before_the_defect_is_sent(line: Bench) -> None:
    await line.run(shown(0, DENT_LEVEL))
    [defect] = line.sender.records("defects")
    assert line.frame_store.get(defect.image_ref, 1 << 20) == picture(DENT_LEVEL)


async def test_a_claim_checked_frame_is_inspected_and_its_defect_has_its_reference(line: Bench) -> None:
    one = claimed(line, DENT_LEVEL)
    await line.run(one)
    assert outcomes(line.verdicts) == [(Outcome.NG, Reason.SCORE)]
    assert line.sender.records("defects")[0].image_ref == one.image_ref


async def test_a_reference_beside_an_inline_picture_is_not_trusted(line: Bench) -> None:
    await line.run(shown(0, DENT_LEVEL, image_ref="file:///etc/passwd"))
    [defect] = line.sender.records("defects")
    assert line.frame_store.get(defect.image_ref, 1 << 20) == picture(DENT_LEVEL)


async def test_a_raw_bayer_frame_with_a_defect_is_kept_too(line: Bench) -> None:
    raw = bytes([DENT_LEVEL]) * (16 * 16)
    sha256 = hashlib.sha256(raw).hexdigest()
    await line.run(frame(image=raw, image_sha256=sha256, encoding=Encoding.BAYER_RG8))
    assert line.frame_store.get(line.sender.records("defects")[0].image_ref, 1 << 20) == raw
    assert line.deaths == []


async def test_everything_is_counted(line: Bench) -> None:
    await line.run(shown(0, OK_LEVEL), shown(1, DENT_LEVEL), None, frame(3, image=b"damaged"))

    def value(name: str, **labels: str) -> float | None:
        return line.registry.get_sample_value(f"lineside_{name}", labels)

    assert value("verdicts_total", outcome="OK") == 1
    assert value("verdicts_total", outcome="ERROR") == 1
    assert value("deadletters_total", reason="TOMBSTONE") == 1
    assert value("publish_seconds_count") == 4
    assert value("decode_seconds_count") == 2, "only of frames that were decoded"
    assert value("inflight_frames") == 0
    assert value("inflight_bytes") == 0
    assert line.inspection.completed == 4


# Order


async def test_frames_of_a_partition_come_out_in_order_whatever_takes_longer(line: Bench) -> None:
    """Even frames are claim checks that wait for the store; odd ones are inline and done at once."""
    frames = [claimed(line, OK_LEVEL, n) if n % 2 == 0 else shown(n, DENT_LEVEL) for n in range(20)]
    await line.run(*frames)
    assert [v.source_offset for v in line.verdicts] == list(range(20))
    assert [d.verdict.source_offset for d in line.sender.records("defects")] == list(range(1, 20, 2))
    assert line.acked == list(range(20))


async def test_a_slow_partition_does_not_hold_another(make: MakeBench) -> None:
    sender = FakeSender()
    line = make(sender=sender)
    line.engine.gate.clear()
    await line.accept(shown(0, OK_LEVEL), 0, source=source(0, partition=1))
    await until(lambda: line.engine.batches)
    await line.accept(b"no event", 0, source=source(0, partition=2))
    await until(lambda: sender.sent)
    assert sender.topics == ["deadletters"]
    assert sender.sent[0][3] == 2
    line.engine.gate.set()
    await line.inspection.drain()


async def test_batches_form_across_partitions(make: MakeBench) -> None:
    line = make(limits=RoomLimits(32, 0.5, 5.0))
    for partition in range(8):
        await line.accept(shown(partition, OK_LEVEL), 0, source=source(0, partition=partition))
    await line.inspection.drain()
    assert max(map(len, line.engine.batches)) >= 4


# Events that are none


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.TOMBSTONE),
        (b"", Reason.SCHEMA_INVALID),
        (b"{}", Reason.SCHEMA_INVALID),
        (b"hello, this is no event", Reason.SCHEMA_INVALID),
        (b"\0\0\0\x03\xe7" + CODEC.encode(frame())[5:], Reason.SCHEMA_UNKNOWN),
        (CODEC.encode(frame()) + b"!", Reason.SCHEMA_INVALID),
        (CODEC.encode(frame())[:-3], Reason.SCHEMA_INVALID),
        (CODEC.encode(recipe()), Reason.SCHEMA_INVALID),
        (frame(plant=""), Reason.SCHEMA_INVALID),
        (frame(station="a/b"), Reason.SCHEMA_INVALID),
        (frame(line="ü"), Reason.SCHEMA_INVALID),
        (frame(station="s" * 65), Reason.SCHEMA_INVALID),
        (frame(plant="p" * 7_000_000), Reason.SCHEMA_INVALID),
        (frame(label="l" * 2_000_000), Reason.SCHEMA_INVALID),
        (frame(sku="s" * 2_000_000), Reason.SCHEMA_INVALID),
        (frame(image_sha256="0" * 7_000_000), Reason.SCHEMA_INVALID),
        (frame(gateway_ms=-1), Reason.SCHEMA_INVALID),
        (frame(attempt=2**40), Reason.SCHEMA_INVALID),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, Reason | None) else None,
)
async def test_what_is_no_event_gives_a_dead_letter_alone_that_fits_its_topic(
    line: Bench, value: FrameCaptured | bytes | None, reason: Reason
) -> None:
    event = arrival(value)
    await line.run(value)
    assert line.sender.topics == ["deadletters"]
    [letter] = line.sender.records("deadletters")
    assert letter.reason is reason
    assert letter.detail
    assert (letter.value, letter.key, letter.source_offset) == (event.value, event.key, 0)
    assert [(h.key, h.value) for h in letter.headers] == [("ce_id", b"1")]
    assert len(CODEC.encode(letter)) < DEADLETTERS.max_message_bytes
    assert line.acked == [0]
    assert line.deaths == []


async def test_garbage_between_good_frames_harms_none_of_them(line: Bench) -> None:
    """20 valid, 1 null value, 20 valid, 1 garbage value."""
    frames = [shown(n, OK_LEVEL) for n in range(40)]
    await line.run(*frames[:20], None, *frames[20:], b"garbage")
    assert outcomes(line.verdicts) == [(Outcome.OK, Reason.SCORE)] * 40
    assert [r.reason for r in line.sender.records("deadletters")] == [Reason.TOMBSTONE, Reason.SCHEMA_INVALID]
    assert line.acked == list(range(42))


async def test_an_event_that_compression_made_larger_than_any_topic_takes_blocks_nothing(line: Bench) -> None:
    value = bytes(FRAME_MAX_BYTES * 3)
    await line.accept(value, key=bytes(FRAME_MAX_BYTES))
    await line.inspection.drain()
    [letter] = line.sender.records("deadletters")
    assert (letter.value, letter.key, letter.headers) == (None, None, ())
    assert str(len(value) + 2 * FRAME_MAX_BYTES)[:4] in letter.detail
    assert line.sender.sent[0][2] is None, "nor is such a key the dead letter's own"


async def test_a_key_that_is_none_is_no_fault(line: Bench) -> None:
    await line.accept(shown(0, OK_LEVEL), key=None)
    await line.inspection.drain()
    assert line.sender.sent[0][2] == b"p1/l1/s1"


# Pictures that are none


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": b""}, Reason.EMPTY),
        ({"image": b"no picture"}, Reason.UNSUPPORTED_FORMAT),
        ({"image": picture()[:50]}, Reason.TRUNCATED),
        ({"image_sha256": "0" * 64}, Reason.SHA256_MISMATCH),
        ({"image_sha256": "0" * 1024}, Reason.SHA256_MISMATCH),
        ({"image": None}, Reason.EMPTY),
        ({"image": None, "image_ref": "file:///etc/passwd"}, Reason.IMAGE_UNAVAILABLE),
        ({"image": None, "image_ref": "../../x"}, Reason.IMAGE_UNAVAILABLE),
    ],
)
async def test_an_unreadable_picture_gives_an_error_verdict_and_a_dead_letter(
    line: Bench, changes: dict[str, Any], reason: Reason
) -> None:
    one = frame(**changes)
    await line.run(shown(1, OK_LEVEL), one, shown(2, OK_LEVEL))
    assert outcomes(line.verdicts) == [(Outcome.OK, Reason.SCORE), (Outcome.ERROR, reason), (Outcome.OK, Reason.SCORE)]
    [letter] = line.sender.records("deadletters")
    assert (letter.reason, letter.value) == (reason, CODEC.encode(one))
    assert letter.detail == line.verdicts[1].detail
    assert line.sender.records("defects") == []


@pytest.mark.parametrize(
    ("action", "outcome"),
    [(Fallback.NG, Outcome.NG), (Fallback.UNSURE, Outcome.UNSURE), (Fallback.NOT_INSPECTED, Outcome.ERROR)],
)
async def test_an_unreadable_picture_gets_the_recipes_action_and_its_redelivery_the_same(
    make: MakeBench, action: Fallback, outcome: Outcome
) -> None:
    book, one = RecipeBook(recipe(error_action=action)), frame(image=b"no picture")
    line = make(recipes=book)
    await line.run(one)
    assert outcomes(line.verdicts) == [(outcome, Reason.UNSUPPORTED_FORMAT)]
    assert line.sender.topics == ["verdicts", "deadletters"], "no defect, whatever the action"
    again = make(recipes=book, tail=FakeTail(line.verdicts[0]))
    await again.run(one)
    assert again.sender.topics == ["deadletters"]


async def test_the_recipes_action_for_unreadable_pictures_holds_for_what_the_engine_cannot_score(
    make: MakeBench,
) -> None:
    line = make(recipes=RecipeBook(recipe(error_action=Fallback.UNSURE)))
    line.engine.nan_at = {DENT_LEVEL}
    await line.run(shown(0, OK_LEVEL), shown(1, DENT_LEVEL))
    assert outcomes(line.verdicts) == [(Outcome.OK, Reason.SCORE), (Outcome.UNSURE, Reason.NON_FINITE)]
    assert line.sender.records("defects") == []


async def test_an_object_that_is_missing_from_the_store_is_the_frames_fault(line: Bench) -> None:
    one = claimed(line, OK_LEVEL)
    for kept in line.store.rglob("*.png"):
        kept.unlink()
    await line.run(one)
    assert outcomes(line.verdicts) == [(Outcome.ERROR, Reason.IMAGE_UNAVAILABLE)]


async def test_one_damaged_picture_in_a_batch_of_32_gives_31_verdicts_and_one_error(line: Bench) -> None:
    frames = [shown(n, OK_LEVEL) if n != 13 else frame(13, image=b"damaged") for n in range(32)]
    await line.run(*frames)
    assert [v.outcome for v in line.verdicts] == [Outcome.ERROR if n == 13 else Outcome.OK for n in range(32)]


@pytest.mark.parametrize(
    ("fault", "reason"), [("fails_at", Reason.ENGINE_FAILED), ("nan_at", Reason.NON_FINITE)], ids=str
)
async def test_a_picture_that_the_engine_cannot_score_is_an_error_for_it_alone(
    line: Bench, fault: str, reason: Reason
) -> None:
    setattr(line.engine, fault, {DENT_LEVEL})
    await line.run(shown(0, OK_LEVEL), shown(1, DENT_LEVEL), shown(2, SCRATCH_LEVEL))
    assert outcomes(line.verdicts)[1] == (Outcome.ERROR, reason)
    assert [v.outcome for v in line.verdicts[::2]] == [Outcome.OK, Outcome.NG]
    assert [r.reason for r in line.sender.records("deadletters")] == [reason]
    assert line.deaths == []


# Recipes


@pytest.mark.parametrize(
    ("book", "detail"),
    [
        (RecipeBook(), "no recipe for p1/l1 and SKU A"),
        (RecipeBook(recipe(model_id="m9")), "model m9 is not on this worker"),
        (RecipeBook(recipe(thresholds={"dent": 0.5})), "no threshold for scratch"),
    ],
)
async def test_what_nobody_may_decide_is_unsure_and_goes_to_people(
    make: MakeBench, book: RecipeBook, detail: str
) -> None:
    line = make(recipes=book)
    await line.run(shown(0, OK_LEVEL))
    assert outcomes(line.verdicts) == [(Outcome.UNSURE, Reason.UNQUALIFIED)]
    assert detail in line.verdicts[0].detail
    [defect] = line.sender.records("defects")
    assert line.frame_store.get(defect.image_ref, 1 << 20) == picture(OK_LEVEL)


async def test_the_recipe_in_force_is_that_of_the_frames_append_time(make: MakeBench) -> None:
    """A frame that waited in Kafka over a change of recipe is judged by the one it was captured under."""
    now, book = datetime.now(UTC), RecipeBook()
    for version, age in ((1, 60), (2, 0)):
        effective_at = now - timedelta(seconds=age)
        book.add(recipe(version=version, effective_at=effective_at), effective_at - timedelta(minutes=1))
    line = make(recipes=book)
    await line.accept(shown(0, OK_LEVEL), 0, source=source(0, now - timedelta(milliseconds=1)))
    await line.accept(shown(1, OK_LEVEL), 1, source=source(1, now))
    await line.inspection.drain()
    assert [v.recipe_version for v in line.verdicts] == [1, 2]


# Time


@pytest.mark.parametrize(
    ("action", "outcome"),
    [(Fallback.NG, Outcome.NG), (Fallback.UNSURE, Outcome.UNSURE), (Fallback.NOT_INSPECTED, Outcome.ERROR)],
)
async def test_a_late_frame_is_never_decoded_and_gets_the_recipes_action(
    make: MakeBench, action: Fallback, outcome: Outcome
) -> None:
    line = make(recipes=RecipeBook(recipe(late_action=action)))
    await line.run(frame(image=b"damaged, which nobody will find", deadline_ms=100, gateway_ms=5000))
    assert outcomes(line.verdicts) == [(outcome, Reason.LATE)]
    assert not line.verdicts[0].deadline_met
    assert line.sender.topics == ["verdicts"], "neither a defect nor a dead letter"
    assert line.engine.batches == []


async def test_a_late_frame_that_nobody_may_decide_is_late_above_all(make: MakeBench) -> None:
    line = make(recipes=RecipeBook())
    await line.run(shown(0, OK_LEVEL, deadline_ms=100, gateway_ms=5000))
    assert outcomes(line.verdicts) == [(Outcome.ERROR, Reason.LATE)]


async def test_a_frame_in_time_is_inspected(line: Bench) -> None:
    await line.run(shown(0, OK_LEVEL, deadline_ms=60_000))
    assert outcomes(line.verdicts) == [(Outcome.OK, Reason.SCORE)]
    assert line.verdicts[0].deadline_met


async def test_a_redriven_frame_is_inspected_however_old(line: Bench) -> None:
    await line.run(shown(0, OK_LEVEL, deadline_ms=100, gateway_ms=5000, attempt=2))
    assert outcomes(line.verdicts) == [(Outcome.OK, Reason.SCORE)]


async def test_a_frame_whose_time_runs_out_behind_a_busy_engine_is_late(line: Bench) -> None:
    line.engine.gate.clear()
    await line.accept(shown(0, OK_LEVEL))
    await until(lambda: line.engine.batches)
    await line.accept(shown(1, OK_LEVEL, deadline_ms=50))
    await asyncio.sleep(0.06)
    line.engine.gate.set()
    await line.inspection.drain()
    assert outcomes(line.verdicts) == [(Outcome.OK, Reason.SCORE), (Outcome.ERROR, Reason.LATE)]
    assert len(line.engine.batches) == 1


async def test_a_store_that_stays_away_until_the_deadline_makes_the_frame_late(
    line: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bytes:
        raise StoreUnavailableError("no answer")

    one = claimed(line, OK_LEVEL, deadline_ms=250)
    monkeypatch.setattr(FrameStore, "get", away)
    await line.run(one)
    assert outcomes(line.verdicts) == [(Outcome.ERROR, Reason.LATE)]
    assert not line.verdicts[0].deadline_met
    assert line.sender.topics == ["verdicts"]


async def test_claim_checks_without_deadline_that_wait_for_the_store_do_not_hold_those_with_one(
    make: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    places   [patient ─────────────── the store is away ────────────────▶ back: OK]
    urgent    waits for a place ── deadline: LATE
    """
    line, away, get = make(claims=1), True, FrameStore.get

    def shaky(self: FrameStore, uri: str, max_bytes: int) -> bytes:
        if away:
            raise StoreUnavailableError("no answer")
        return get(self, uri, max_bytes)

    patient, urgent = claimed(line, OK_LEVEL, 0), claimed(line, OK_LEVEL, 1, deadline_ms=100)
    monkeypatch.setattr(FrameStore, "get", shaky)
    await line.accept(patient, 0, source=source(0, partition=1))
    await line.accept(urgent, 0, source=source(0, partition=2))
    await until(lambda: line.verdicts)
    assert outcomes(line.verdicts) == [(Outcome.ERROR, Reason.LATE)]
    away = False
    await line.inspection.drain()
    assert outcomes(line.verdicts)[1] == (Outcome.OK, Reason.SCORE)


async def test_at_most_so_many_claim_checked_pictures_are_held_at_once(
    make: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, held, most = make(claims=2), 0, 0
    fetch = line.pictures.fetch
    judged = inspector.judgement_of

    async def counted_fetch(*arguments: Any) -> bytes:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return await fetch(*arguments)

    async def counted_judgement(*arguments: Any) -> Any:
        nonlocal held
        try:
            return await judged(*arguments)
        finally:
            held -= 1

    monkeypatch.setattr(line.pictures, "fetch", counted_fetch)
    monkeypatch.setattr(inspector, "judgement_of", counted_judgement)
    await line.run(*(claimed(line, n, n) for n in range(12)))
    assert most == 2
    assert len(line.verdicts) == 12


# Redelivery


async def test_a_redelivered_frame_keeps_its_verdict_and_only_what_follows_is_sent_again(make: MakeBench) -> None:
    """The verdict says NG, the picture would now be OK and the deadline is long past: none of that counts any more."""
    one = shown(5, OK_LEVEL, deadline_ms=1, gateway_ms=1000)
    known = verdict(one, judge([0, 1, 0], ROLES, recipe()), offset=5)
    line = make(tail=FakeTail(known))
    await line.accept(one, 5)
    await line.inspection.drain()
    assert line.sender.topics == ["defects"]
    assert line.sender.records("defects")[0].verdict == known
    assert line.engine.batches == []
    assert line.acked == [5]
    assert line.registry.get_sample_value("lineside_redelivered_total") == 1


@pytest.mark.parametrize(
    ("judgement", "again"),
    [
        (judge([1, 0, 0], ROLES, recipe()), []),
        (late(recipe(late_action=Fallback.NG), 1.0), []),
        (unqualified("no recipe"), ["defects"]),
        (rejected(Reason.CORRUPT, "damaged"), ["deadletters"]),
        (rejected(Reason.CORRUPT, "damaged", recipe(error_action=Fallback.NG)), ["deadletters"]),
    ],
    ids=["ok", "late", "unqualified", "corrupt", "corrupt-ng"],
)
async def test_what_follows_from_a_known_verdict_is_what_followed_the_first_time(
    make: MakeBench, judgement: Judgement, again: list[str]
) -> None:
    line = make(tail=FakeTail(verdict(shown(0, OK_LEVEL), judgement)))
    await line.run(shown(0, OK_LEVEL))
    assert line.sender.topics == again
    assert line.acked == [0]


async def test_a_redelivered_claim_check_sends_its_defect_again(make: MakeBench, tmp_path: Path) -> None:
    tail = FakeTail()
    line = make(tail=tail)
    one = claimed(line, DENT_LEVEL)
    tail.verdicts = [verdict(one, judge([0, 0, 1], ROLES, recipe()))]
    await line.run(one)
    assert line.sender.records("defects")[0].image_ref == one.image_ref


@pytest.mark.parametrize(
    "stranger",
    [
        verdict(frame(77), judge([0, 1, 0], ROLES, recipe()), offset=0),
        verdict(shown(0, OK_LEVEL), judge([0, 1, 0], ROLES, recipe()), offset=1),
        verdict(shown(0, OK_LEVEL, attempt=2), judge([0, 1, 0], ROLES, recipe()), offset=0),
        replace(verdict(shown(0, OK_LEVEL), judge([0, 1, 0], ROLES, recipe())), verdict_id=UUID(int=1), run="r1"),
    ],
    ids=["another frame at this offset", "this frame elsewhere", "another attempt", "a replay"],
)
async def test_a_verdict_that_is_not_this_ones_is_ignored(make: MakeBench, stranger: VerdictIssued) -> None:
    line = make(tail=FakeTail(stranger))
    await line.run(shown(0, OK_LEVEL))
    assert outcomes(line.verdicts) == [(Outcome.OK, Reason.SCORE)]


async def test_a_stranger_at_the_same_offset_does_not_hide_the_frames_own_verdict(make: MakeBench) -> None:
    """The frames topic was made anew: its offsets come a second time."""
    own = verdict(shown(0, OK_LEVEL), judge([1, 0, 0], ROLES, recipe()))
    stranger = verdict(frame(77), judge([0, 1, 0], ROLES, recipe()))
    for tail in (FakeTail(stranger, own), FakeTail(own, stranger)):
        line = make(tail=tail)
        await line.run(shown(0, OK_LEVEL))
        assert line.sender.sent == []
        assert line.acked == [0]


async def test_nothing_is_decided_before_the_partition_was_read_back_from_its_first_frame_on(make: MakeBench) -> None:
    tail = FakeTail()
    line = make(tail=tail)
    tail.gate.clear()
    for offset in (7, 8):
        await line.accept(shown(offset, OK_LEVEL), offset, source=source(offset, partition=4))
    await asyncio.sleep(0.05)
    assert line.engine.batches == []
    assert tail.asked == [(4, "lineside.frames", 7)], "once for the assignment, not for each frame"
    tail.gate.set()
    await line.inspection.drain()
    assert line.acked == [7, 8]


async def test_a_new_generation_gets_a_new_lane_that_reads_back_again(make: MakeBench) -> None:
    tail = FakeTail()
    line = make(tail=tail)
    await line.run(shown(0, DENT_LEVEL), shown(1, DENT_LEVEL))
    tail.verdicts = line.verdicts
    await line.accept(shown(1, DENT_LEVEL), 1, generation=2)
    await line.accept(shown(2, DENT_LEVEL), 2, generation=2)
    await line.inspection.drain()
    assert tail.asked == [(0, "lineside.frames", 0), (0, "lineside.frames", 1)]
    assert [v.source_offset for v in line.verdicts] == [0, 1, 2], "no second verdict for 1"
    assert line.acked == [0, 1, 1, 2]


async def test_a_new_generation_waits_for_frames_of_the_old_one_that_are_still_under_way(make: MakeBench) -> None:
    """
    generation 1   0 sent ──────────────── confirmed
    generation 2        0 comes again ─────────────── reads back: takes the same verdict
    """
    sender, tail = FakeSender(hold=True), FakeTail()
    line = make(sender=sender, tail=tail)
    await line.accept(shown(0, DENT_LEVEL), 0)
    await until(lambda: sender.sent)
    await line.accept(shown(0, DENT_LEVEL), 0, generation=2)
    await settle()
    assert len(tail.asked) == 1, "it would not find what is not confirmed"
    tail.verdicts = line.verdicts
    sender.hold = False
    sender.confirm()
    await line.inspection.drain()
    assert len(tail.asked) == 2
    assert sender.topics == ["verdicts", "defects", "defects"]
    assert line.acked == [0, 0]


async def test_a_frame_that_comes_again_in_one_generation_takes_its_verdict_too(make: MakeBench) -> None:
    """Faust seeks more than once around a rebalance and gives the last frame that it gave once more."""
    tail = FakeTail()
    line = make(tail=tail)
    await line.run(shown(0, DENT_LEVEL), shown(1, DENT_LEVEL))
    tail.verdicts = line.verdicts
    await line.accept(shown(1, DENT_LEVEL), 1)
    await line.accept(shown(2, DENT_LEVEL), 2)
    await line.inspection.drain()
    assert [v.source_offset for v in line.verdicts] == [0, 1, 2], "no second verdict for 1"
    assert line.acked == [0, 1, 1, 2]
    assert line.deaths == []


async def test_a_frame_that_cannot_be_taken_ends_the_process(make: MakeBench) -> None:
    """Its agent would be started anew without it, and the next rebalance would wait for it for ever."""
    line = make()
    line.metrics.inflight_frames = None  # whatever is broken
    await line.accept(shown(0, OK_LEVEL))
    assert "taking lineside.frames/0@0 failed" in line.deaths[0]


# Bounds, ends and faults


async def test_a_full_budget_makes_accept_wait_until_something_is_acknowledged(make: MakeBench) -> None:
    sender = FakeSender(hold=True)
    size = len(CODEC.encode(shown(0, OK_LEVEL)))
    line = make(sender=sender, budget=Budget(max_bytes=2 * size, max_s=2.0))
    for n in range(2):
        await line.accept(shown(n, OK_LEVEL))
    third = asyncio.create_task(line.accept(shown(2, OK_LEVEL)))
    await until(lambda: len(sender.sent) == 2)
    await settle()
    assert not third.done(), "decided is not enough: the broker must have confirmed"
    assert line.inspection.in_flight == 2
    sender.confirm(0)
    await asyncio.wait_for(third, 5)
    sender.hold = False
    sender.confirm()
    await line.inspection.drain()
    assert line.acked == [0, 1, 2]


async def test_drain_ends_only_when_everything_accepted_is_acknowledged(make: MakeBench) -> None:
    sender = FakeSender(hold=True)
    line = make(sender=sender)
    for n in range(3):
        await line.accept(shown(n, DENT_LEVEL))
    draining = asyncio.create_task(line.inspection.drain())
    await until(lambda: len(line.verdicts) == 3)
    sender.confirm()
    await until(lambda: len(sender.sent) == 6)
    assert not draining.done()
    sender.confirm()
    await asyncio.wait_for(draining, 5)
    assert line.inspection.in_flight == 0
    assert line.acked == [0, 1, 2]


async def test_a_drain_lets_a_frame_in_that_already_waits_for_room(make: MakeBench) -> None:
    """Faust holds that event and waits for its ack when it stops: refusing it would never end."""
    line = make(budget=Budget(max_bytes=1, max_s=2.0))
    await line.accept(shown(0, OK_LEVEL))
    waiting = asyncio.create_task(line.accept(shown(1, OK_LEVEL)))
    await settle()
    await line.inspection.drain()
    await asyncio.wait_for(waiting, 5)
    await line.inspection.drain()
    assert line.acked == [0, 1]


async def test_a_drain_with_nothing_under_way_ends_at_once(line: Bench) -> None:
    await asyncio.wait_for(line.inspection.drain(), 1)


@pytest.mark.parametrize("topic", [VERDICTS.name, DEFECTS.name, DEADLETTERS.name])
async def test_a_topic_that_takes_nothing_ends_the_process_with_nothing_acknowledged(
    make: MakeBench, topic: str
) -> None:
    sender = FakeSender()
    sender.refused = {topic}
    line = make(sender=sender)
    await line.accept(frame(0, image=b"damaged") if topic == DEADLETTERS.name else shown(0, DENT_LEVEL))
    await line.accept(shown(1, OK_LEVEL))
    await asyncio.wait_for(line.deaths.first.wait(), 5)
    await settle()
    assert line.acked == []
    assert len(line.deaths) == 1


async def test_an_unexpected_error_ends_the_process_and_names_the_frame(
    line: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(line.inspector, "_decided", broken)
    await line.accept(shown(0, OK_LEVEL), 12)
    await asyncio.wait_for(line.deaths.first.wait(), 5)
    assert line.deaths == ["inspecting lineside.frames/0@12 failed: KeyError: 'a bug'"]
    assert line.acked == []


async def test_verdicts_that_cannot_be_read_back_end_the_process(make: MakeBench) -> None:
    tail = FakeTail()
    tail.error = OSError("the broker is gone")
    line = make(tail=tail)
    await line.accept(shown(0, OK_LEVEL))
    await asyncio.wait_for(line.deaths.first.wait(), 5)
    assert "the broker is gone" in line.deaths[0]
    assert line.sender.sent == []


async def test_a_store_that_takes_no_defect_pictures_ends_the_process(line: Bench) -> None:
    line.store.rename(line.store.with_name("moved"))
    await line.accept(shown(0, DENT_LEVEL))
    await asyncio.wait_for(line.deaths.first.wait(), 5)
    assert line.sender.sent == []


async def test_an_engine_that_hangs_ends_the_process_and_the_frame_comes_again(make: MakeBench) -> None:
    engine = FakeEngine()
    engine.gate.clear()
    line = make(engine=engine, limits=RoomLimits(32, 0.005, 0.05))
    await line.accept(shown(0, OK_LEVEL))
    await asyncio.wait_for(line.deaths.first.wait(), 5)
    assert line.sender.sent == []
    assert line.acked == []


async def test_a_thousand_frames_leave_nothing_behind(line: Bench) -> None:
    started = time.monotonic()
    values = [CODEC.encode(shown(n, OK_LEVEL)) for n in range(4)]
    for n in range(1000):
        await line.accept(values[n % 4] if n % 100 else b"garbage")
    await line.inspection.drain()
    assert line.acked == list(range(1000))
    assert len(line.verdicts) == 990
    await settle()
    assert line.inspection._tasks == set()
    assert (line.budget.frames, line.budget.bytes) == (0, 0)
    assert time.monotonic() - started < 30
