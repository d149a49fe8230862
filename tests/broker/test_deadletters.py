"""Dead letters on the real broker: found, looked at, sent again once, never for ever, and by whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.records import AuditEntry, Outcome, Reason
from streams.bus.subscriber import subscribe, subscribe_events
from streams.commands.deadletters import Asked, RedriveOptions, letters, list_letters, redriven, show_letter
from streams.downstream.audit.chain import verify
from streams.downstream.letters.book import Entry, Place, State
from streams.errors import CallerError
from streams.settings import Settings
from streams.topics import FRAMES, station_key
from tests.broker.running import inspected, prepared, running_worker, until_lag_is_zero
from tests.builders import CODEC, SCRATCH_LEVEL, FakeEngine, frame, picture

KEY = station_key("p1", "l1", "s1")
BROKEN = frame(3, image=picture()[:60], part_id="P-3", deadline_ms=60_000)
FAILING = frame(4, image=picture(SCRATCH_LEVEL), part_id="P-4", deadline_ms=60_000)


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    """Garbage, a tombstone, a broken picture and a frame at which the engine fails, all inspected."""
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    for value in (b"garbage", None):
        await producer.send_and_wait(made.topic_prefix + FRAMES.name, value, key=KEY, partition=1)
    await producer.stop()
    engine = FakeEngine()
    engine.fails_at = {SCRATCH_LEVEL}
    await inspected(made, [frame(1), BROKEN, FAILING], engine)
    return made


async def found(settings: Settings, **asked: object) -> list[Entry]:
    return await letters(settings, CODEC, Asked(**asked))  # type: ignore[arg-type]


async def sent(settings: Settings, again: bool = False, dry_run: bool = False, **asked: object) -> list[dict[str, str]]:
    options = RedriveOptions(by="ana", why="mended", again=again, dry_run=dry_run)
    return await redriven(settings, Asked(**asked), options)  # type: ignore[arg-type]


async def audit(settings: Settings) -> Sequence[AuditEntry]:
    return [e.record async for e in subscribe_events("audit", "earliest", settings=settings, follow=False)]


async def test_letters_are_found_by_reason_line_time_and_state(settings: Settings) -> None:
    every = await found(settings)
    assert {e.letter.record.reason for e in every} == {"SCHEMA_INVALID", "TOMBSTONE", "TRUNCATED", "ENGINE_FAILED"}
    assert {e.state for e in every} == {State.OPEN}
    (engine,) = await found(settings, reason=Reason.ENGINE_FAILED)
    assert engine.letter.frame is not None
    assert (engine.letter.frame.part_id, engine.letter.frame.image) == ("P-4", None)
    assert engine.letter.nbytes == len(CODEC.encode(FAILING))
    assert len(await found(settings, line="l1", plant="p1")) == 4
    assert await found(settings, line="l2") == []
    assert await found(settings, until=min(e.letter.at for e in every)) == []
    assert len(await found(settings, since=min(e.letter.at for e in every))) == 4
    with pytest.raises(CallerError, match="there is no dead letter 1:99"):
        await found(settings, places=[Place(1, 99)])


async def test_a_letter_is_sent_once_as_the_next_attempt_without_deadline_and_the_audit_says_by_whom(
    settings: Settings,
) -> None:
    (rehearsed,) = await sent(settings, dry_run=True, reason=Reason.ENGINE_FAILED)
    assert rehearsed["what"] == "would be sent"
    assert await audit(settings) == []
    (done,) = await sent(settings, reason=Reason.ENGINE_FAILED)
    assert (done["what"], done["why"]) == ("sent", "ENGINE_FAILED")
    (left,) = await sent(settings, reason=Reason.ENGINE_FAILED)
    assert left["what"] == "left"
    assert left["why"].startswith("ana sent it again at")
    async with running_worker(settings):
        await until_lag_is_zero(settings)
    of_part = [
        v async for v in subscribe("verdicts", "earliest", settings=settings, follow=False) if v.part_id == "P-4"
    ]
    assert [(v.attempt, v.outcome) for v in of_part] == [(1, Outcome.ERROR), (2, Outcome.NG)]
    frames = [e async for e in subscribe_events("frames", "earliest", settings=settings, follow=False)]
    again = frames[-1]
    assert (again.record.deadline_ms, again.record.image, again.key) == (None, FAILING.image, KEY)
    assert again.partition == frames[-2].partition
    (entry,) = await audit(settings)
    assert (entry.actor, entry.action, entry.reason) == ("ana", "deadletter.redrive", "mended")
    assert entry.subject == f"deadletters/{done['place']}"
    assert verify([entry]) == []
    (state,) = await found(settings, reason=Reason.ENGINE_FAILED)
    assert (state.state, state.redriven and state.redriven.actor) == (State.REDRIVEN, "ana")


async def test_sent_twice_by_two_at_once_it_still_has_one_verdict(settings: Settings) -> None:
    (place,) = [e.letter.place for e in await found(settings, reason=Reason.ENGINE_FAILED)]
    await sent(settings, places=[place])
    assert [row["what"] for row in await sent(settings, again=True, places=[place])] == ["sent"]
    async with running_worker(settings):
        await until_lag_is_zero(settings)
    attempts = [
        v.attempt
        async for v in subscribe("verdicts", "earliest", settings=settings, follow=False)
        if v.part_id == "P-4"
    ]
    assert attempts == [1, 2]


async def test_what_fails_again_is_over_and_nothing_is_tried_for_ever(settings: Settings) -> None:
    for attempt in (2, 3):
        rows = await sent(settings, reason=Reason.TRUNCATED)
        assert [row["what"] for row in rows] == ["left"] * (attempt - 2) + ["sent"]
        async with running_worker(settings):
            await until_lag_is_zero(settings)
    entries = await found(settings, reason=Reason.TRUNCATED)
    assert [(e.letter.frame and e.letter.frame.attempt, e.state) for e in entries] == [
        (1, State.FAILED_AGAIN),
        (2, State.FAILED_AGAIN),
        (3, State.OPEN),
    ]
    rows = await sent(settings, again=True, reason=Reason.TRUNCATED)
    assert [row["what"] for row in rows] == ["left"] * 3
    assert "failed again: see the newer letter" in rows[0]["why"]
    assert "was tried 3 times" in rows[2]["why"]


async def test_what_is_no_frame_is_left_with_the_reason_and_its_bytes_can_be_had(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = await sent(settings, reason=Reason.SCHEMA_INVALID) + await sent(settings, reason=Reason.TOMBSTONE)
    assert [row["what"] for row in rows] == ["left", "left"]
    assert "no frame in it to send: magic byte" in rows[0]["why"]
    assert "it had no value" in rows[1]["why"]
    out = tmp_path / "event.bin"
    await asyncio.to_thread(show_letter, settings, Place(1, 0), out, True)
    assert out.read_bytes() == b"garbage"
    shown = json.loads(capsys.readouterr().out)
    assert (shown["reason"], shown["nbytes"], shown["key"]) == ("SCHEMA_INVALID", 7, "p1/l1/s1")
    with pytest.raises(CallerError, match="has no bytes to write"):
        await asyncio.to_thread(show_letter, settings, Place(1, 1), out, True)
    await asyncio.to_thread(list_letters, settings, Asked(), False)
    said = capsys.readouterr().out
    assert "4 dead letters" in said
    assert "ENGINE_FAILED open 1, SCHEMA_INVALID open 1, TOMBSTONE open 1, TRUNCATED open 1" in said
