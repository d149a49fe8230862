"""The archive on the real broker: what it holds, that nothing is lost or doubled, and that it says so."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.records import FrameCaptured, Outcome, VerdictIssued
from streams.archive.archiver import open_archiver
from streams.archive.catalogue import Catalogue
from streams.archive.log import TopicLog
from streams.archive.tables import TABLES
from streams.archive.verify import verify
from streams.bus.publisher import Publisher
from streams.bus.subscriber import subscribe_events
from streams.errors import CallerError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import VERDICTS, station_key
from tests.archived import a_live_history, archive, correction, decide, passed
from tests.broker.running import prepared
from tests.builders import CODEC

SHARE = 0.25


async def settings_of(bootstrap: str, prefix: str, data_dir: Path, **changes: Any) -> Settings:
    settings = await prepared(bootstrap, prefix, data_dir)
    return dataclasses.replace(settings, archive_period_s=2, archive_ok_share=SHARE, **changes)


async def period_over(settings: Settings) -> None:
    """Until the period that was archived ahead of its time is over: nothing is looked for in it any more."""
    await asyncio.sleep(settings.archive_period_s - time.time() % settings.archive_period_s + 0.05)


def rows(settings: Settings, topic: str) -> list[dict[str, Any]]:
    """Every committed row of a table, in the order of the log."""
    with Catalogue(settings.archive_dir) as catalogue:
        files = [settings.archive_dir / file.path for file in catalogue.files(topic)]
    tables = [pq.read_table(file, partitioning=None) for file in files]
    found: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return sorted(found, key=lambda row: (row["partition"], row["offset"]))


async def test_every_event_is_archived_once_with_its_bytes_by_line_and_day(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    verdicts = await a_live_history(settings, range(120))
    assert await archive(settings) > 0
    for topic, record in (("verdicts", VerdictIssued), ("frames", FrameCaptured), ("defects", None)):
        events = [e async for e in subscribe_events(topic, "earliest", settings=settings, follow=False)]
        archived = rows(settings, topic)
        assert [(r["partition"], r["offset"]) for r in archived] == sorted((e.partition, e.offset) for e in events)
        by_place = {(e.partition, e.offset): e for e in events}
        for row in archived:
            event = by_place[row["partition"], row["offset"]]
            assert row["appended_at"] == event.timestamp
            assert row["event_sha256"] == hashlib.sha256(CODEC.encode(event.record)).hexdigest()
            if record is VerdictIssued:
                assert CODEC.decode(row["event"], VerdictIssued) == event.record
            if record is FrameCaptured:
                assert CODEC.decode(row["event"], FrameCaptured) == dataclasses.replace(event.record, image=None)
    assert {r["frame_id"]: r["outcome"] for r in rows(settings, "frames")} == {
        str(v.frame_id): v.outcome.value for v in verdicts
    }
    with Catalogue(settings.archive_dir) as catalogue:
        for file in catalogue.files("verdicts"):
            table = pq.read_table(settings.archive_dir / file.path, partitioning=None)
            assert set(table.column("line").to_pylist()) == {file.line}
            assert {f"{at:%Y-%m-%d}" for at in table.column("appended_at").to_pylist()} == {file.day}
            assert f"/plant={file.plant}/line={file.line}/day={file.day}/" in file.path


async def test_pictures_of_rejects_all_of_passes_a_share_are_kept_with_their_probability(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    verdicts = {str(v.frame_id): v for v in await a_live_history(settings, range(200))}
    corrected = passed(verdicts.values())[7]
    await decide(settings, [correction(corrected)])
    await archive(settings)
    kept, store = rows(settings, "pictures"), FrameStore(settings.frame_store_url)
    for picture in kept:
        data = store.get(picture["picture_ref"], 1 << 20)
        assert hashlib.sha256(data).hexdigest() == picture["picture_sha256"]
        assert len(data) == picture["picture_bytes"]
    by_reason = Counter(picture["kept_for"] for picture in kept)
    outcomes = Counter(v.outcome.value for v in verdicts.values())
    assert {why: by_reason[why] for why in ("NG", "UNSURE", "ERROR")} == {
        why: outcomes[why] for why in ("NG", "UNSURE", "ERROR")
    }
    assert outcomes["ERROR"] > 0
    share = [p for p in kept if p["kept_for"] == "SHARE"]
    assert {verdicts[p["frame_id"]].outcome for p in share} == {Outcome.OK}
    assert sum(1 / p["inclusion_probability"] for p in share) == pytest.approx(outcomes["OK"], rel=0.25)
    assert [p["frame_id"] for p in kept if p["kept_for"] == "CORRECTED"] == [str(corrected.frame_id)]
    assert {p["inclusion_probability"] for p in kept if p["kept_for"] in ("NG", "ERROR", "UNSURE")} == {1.0}


async def test_an_archive_that_ends_anywhere_and_goes_on_is_that_of_one_that_never_ended(
    bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    verdicts = await a_live_history(settings, range(120))
    await decide(settings, [correction(v) for v in passed(verdicts)[:3]])
    broken = dataclasses.replace(settings, archive=str(tmp_path / "broken"))
    await archive(settings)
    commit, ends = Catalogue.commit, 0

    class EndsError(BaseException):
        """The process ends here."""

    def ends_before(self: Catalogue, *arguments: Any) -> None:
        nonlocal ends
        ends += 1
        if ends % 2:
            raise EndsError
        commit(self, *arguments)

    monkeypatch.setattr(Catalogue, "commit", ends_before)
    for _ in range(200):
        try:
            await archive(broken)
            break
        except EndsError:
            assert len(list(broken.archive_dir.glob("*/plant=*/**/*.parquet"))) > 0
    monkeypatch.undo()
    assert ends >= 6
    for topic in (*TABLES, "pictures"):
        assert rows(broken, topic) == rows(settings, topic)
    with Catalogue(broken.archive_dir) as catalogue:
        on_disk = {str(p.relative_to(broken.archive_dir)) for p in broken.archive_dir.glob("*/plant=*/**/*.parquet")}
        assert on_disk == catalogue.paths()


async def test_what_was_archived_is_not_archived_again_and_later_events_join(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    await a_live_history(settings, range(40))
    await archive(settings)
    before = rows(settings, "verdicts")
    assert await archive(settings) == 0
    await period_over(settings)
    await a_live_history(settings, range(40, 80))
    await archive(settings)
    after = rows(settings, "verdicts")
    assert len(after) == 80
    assert [row for row in after if row in before] == before


async def test_copies_are_marked_and_values_that_are_no_event_are_passed_over(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    verdicts = await a_live_history(settings, range(20))
    async with Publisher(bootstrap, topic_prefix, CODEC) as publisher:
        for v in verdicts[:5]:
            sent = await publisher.send(
                VERDICTS, v, key=station_key(v.plant, v.line, v.station), partition=v.source_partition
            )
            await sent
        assert publisher._producer is not None
        for value in (b"no event", None):
            await publisher._producer.send_and_wait(topic_prefix + "verdicts", value, partition=0, key=b"k")
    await archive(settings)
    archived = rows(settings, "verdicts")
    assert Counter(row["is_copy"] for row in archived) == {False: 20, True: 5}
    with Catalogue(settings.archive_dir) as catalogue:
        assert sum(stretch.passed_over for stretch in catalogue.stretches("verdicts")) == 2


async def test_frames_without_verdict_wait_for_it_and_are_archived_undecided_when_patience_ends(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    from tests.archived import captured
    from tests.broker.running import publish

    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    await publish(settings, [captured(number) for number in range(10)])
    await archive(settings)
    assert rows(settings, "frames") == []
    await archive(dataclasses.replace(settings, archive_patience_s=1))
    assert [row["outcome"] for row in rows(settings, "frames")] == [None] * 10
    assert {picture["kept_for"] for picture in rows(settings, "pictures")} == {"UNDECIDED"}


async def test_verification_agrees_and_names_a_changed_file_and_a_missing_row(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    await a_live_history(settings, range(60))
    await archive(settings)
    with Catalogue(settings.archive_dir) as catalogue:
        async with TopicLog(settings, CODEC, VERDICTS) as topic_log:
            found = await verify(catalogue, topic_log, lambda done: None)
            assert (found.rows, found.differences) == (60, [])
            assert found.compared > 0
            file = settings.archive_dir / catalogue.files("verdicts")[0].path
            table = pq.read_table(file, partitioning=None)
            pq.write_table(table.slice(1), file)
            found = await verify(catalogue, topic_log, lambda done: None)
    assert any("was changed after it was written" in text for text in found.differences)
    assert any("the archive holds" in text for text in found.differences)


async def test_two_archivers_and_an_archive_of_other_topics_are_refused(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    async with open_archiver(settings):
        with pytest.raises(CallerError, match="another archiver writes"):
            await archive(settings)
    with pytest.raises(CallerError, match="offsets of two would be mixed"):
        await archive(dataclasses.replace(settings, topic_prefix="other."))
