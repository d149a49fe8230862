"""`lineside store gc` on the real broker: what topics and the archive name stays; a wrong Kafka harms nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.records import Event
from streams.archive.catalogue import Catalogue
from streams.bus.admin import ensure_topics
from streams.bus.publisher import Publisher
from streams.cli import app
from streams.commands.options import run
from streams.commands.store import GcOptions, collect_garbage
from streams.errors import CallerError
from streams.settings import Settings, to_environment
from streams.store import FrameStore
from streams.store_gc import Collected
from streams.topics import DEADLETTERS, DEFECTS, FRAMES, SAMPLES, Topic, frames_of, topic_specs
from tests.archived import a_live_history, archive
from tests.broker.running import prepared
from tests.broker.test_archive import rows
from tests.builders import CODEC
from tests.contracts.samples import DEAD_LETTER, DEFECT, FRAME, SAMPLE
from tests.stored import AgingStore


async def settings_of(bootstrap: str, prefix: str, data_dir: Path) -> Settings:
    return dataclasses.replace(await prepared(bootstrap, prefix, data_dir), archive_period_s=2, archive_ok_share=0.25)


def aging_of(settings: Settings) -> AgingStore:
    return AgingStore(Path(settings.frame_store_url))


async def publish(settings: Settings, events: list[tuple[Topic, Event]]) -> None:
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        for topic, event in events:
            await (await publisher.send(topic, event, key=b"leipzig/L1/S2"))


async def gc(settings: Settings, **options: Any) -> Collected:
    return await asyncio.to_thread(collect_garbage, settings, GcOptions(**options))


async def test_what_any_topic_names_stays_and_the_rest_goes(
    bootstrap: str, topic_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    aging = aging_of(settings)
    refs = {name: aging.put(name.encode()) for name in ("frame", "letter", "defect", "heatmap", "sample", "needless")}
    claim = dataclasses.replace(FRAME, image=None, image_ref=refs["frame"])
    lost = CODEC.encode(dataclasses.replace(FRAME, image=None, image_ref=refs["letter"]))
    await publish(
        settings,
        [
            (FRAMES, claim),
            (DEADLETTERS, dataclasses.replace(DEAD_LETTER, value=lost)),
            (DEFECTS, dataclasses.replace(DEFECT, image_ref=refs["defect"], heatmap_ref=refs["heatmap"])),
            (SAMPLES, dataclasses.replace(SAMPLE, image_ref=refs["sample"])),
        ],
    )
    aging.pass_days(9)
    aging.put(b"young")
    would = await gc(settings, dry_run=True)
    assert aging.holds(b"needless")
    capsys.readouterr()
    found = await gc(settings, as_json=True)
    assert found == would
    assert found.kept == {"young": 1, "frames": 1, "deadletters": 1, "defects": 2, "samples": 1}
    assert json.loads(capsys.readouterr().out)["removed"] == 1
    assert not aging.holds(b"needless")
    assert all(aging.holds(name.encode()) for name in (*refs, "young") if name != "needless")
    assert (await gc(settings)).removed == 0


async def test_what_the_archive_keeps_stays_and_other_passes_go(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    await a_live_history(settings, range(120))
    await archive(settings)
    aging = aging_of(settings)
    needless = aging.put(b"needless")
    aging.pass_days(9)
    found = await gc(settings)
    assert found.removed == 1
    assert found.kept["archive"] > 0
    store = FrameStore(settings.frame_store_url)
    assert store.size(needless) is None
    with Catalogue(settings.archive_dir) as catalogue:
        assert catalogue.files("pictures")
    for picture in rows(settings, "pictures"):
        data = store.get(picture["picture_ref"], 1 << 20)
        assert hashlib.sha256(data).hexdigest() == picture["picture_sha256"]


async def test_pools_share_the_store_and_what_any_of_them_or_its_archive_names_stays(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    common = dataclasses.replace(await settings_of(bootstrap, topic_prefix, tmp_path), pools="press,weld")
    await ensure_topics(bootstrap, topic_specs(common))
    press = dataclasses.replace(common, pool="press", archive=str(tmp_path / "press"))
    await a_live_history(press, range(40))
    await archive(press)
    aging = aging_of(common)
    claim = aging.put(b"a frame of weld")
    await publish(common, [(frames_of("weld"), dataclasses.replace(FRAME, image=None, image_ref=claim))])
    aging.put(b"needless")
    aging.pass_days(9)
    archives = (f"press={press.archive_dir}", "weld=none")
    found = await gc(common, archives=archives)
    assert found.removed == 1
    assert found.kept["archive"] > 0
    assert found.kept["frames.weld"] == 1
    store = FrameStore(common.frame_store_url)
    assert all(store.size(picture["picture_ref"]) for picture in rows(press, "pictures"))
    aging.put(b"needless")
    aging.pass_days(9)
    with pytest.raises(CallerError, match=r"no archive in .*elsewhere"):
        await gc(common, archives=(f"press={tmp_path / 'elsewhere'}", "weld=none"))
    with pytest.raises(CallerError, match="is that of the topics"):
        await gc(common, archives=(f"weld={press.archive_dir}", "press=none"))
    assert aging.holds(b"needless")


async def test_an_archive_that_is_gone_and_other_topics_are_refused_and_nothing_is_removed(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    await a_live_history(settings, range(40))
    await archive(settings)
    aging = aging_of(settings)
    aging.pass_days(9)
    await gc(settings)
    aging.put(b"needless")
    aging.pass_days(9)
    with pytest.raises(CallerError, match="no archive in"):
        await gc(dataclasses.replace(settings, archive=str(tmp_path / "elsewhere")))
    other = dataclasses.replace(settings, topic_prefix=f"other-{topic_prefix}", archive=str(tmp_path / "elsewhere"))
    await ensure_topics(bootstrap, topic_specs(other))
    with pytest.raises(CallerError, match="is collected for topics-"):
        await gc(other)
    with pytest.raises(CallerError, match="missing"):
        await gc(dataclasses.replace(settings, topic_prefix="none."))
    assert aging.holds(b"needless")


async def test_a_first_collection_that_finds_no_event_removes_nothing(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    aging = aging_of(settings)
    aging.put(b"old")
    aging.pass_days(9)
    with pytest.raises(CallerError, match="no event is kept"):
        await gc(settings)
    assert aging.holds(b"old")


def test_the_commands_exit_with_the_status_of_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lineside(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["lineside", *arguments])
        status = run(app)
        return status, capsys.readouterr().err

    settings = Settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path)
    for name, value in to_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert lineside("store", "show")[0] == 0
    assert lineside("store", "gc")[0] == 0  # nothing is old, so nothing is asked
    assert lineside("store", "gc", "--min-age", "2h") == (
        2,
        "lineside: --min-age must be at least 1d: pictures are put before events name them; came 2h\n",
    )
    assert lineside("store", "gc", "--min-age", "soon")[0] == 2
    aging = aging_of(settings)
    aging.put(b"old")
    aging.pass_days(9)
    status, text = lineside("store", "gc")
    assert (status, "127.0.0.1:1" in text) == (2, True)
    monkeypatch.setattr(
        "streams.store_folder.os.scandir", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error"))
    )
    for command in ("gc", "show"):
        status, text = lineside("store", command)
        assert (status, "can't be read: Input/output error; see whether it is mounted" in text) == (1, True)
    monkeypatch.undo()
    assert aging.holds(b"old")
