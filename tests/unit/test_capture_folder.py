"""The folder source: complete files only, damaged ones as they are, mismatches said aloud, a journal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.records import ClockSource, Encoding
from streams.capture.folder import FolderOptions, FolderSource
from streams.capture.naming import CsvLabels, NamePattern
from streams.capture.source import Camera, Shot
from streams.errors import CallerError

CAMERA = Camera("plant", "line-1", "station-1", "cam")
CORPUS = Path(__file__).parent.parent / "corpus"


def options(**changes: Any) -> FolderOptions:
    return FolderOptions(**{"camera": CAMERA, "settle_s": 0.05, "poll_s": 0.01} | changes)


async def everything(source: FolderSource) -> list[Shot]:
    async with asyncio.timeout(20):
        return [shot async for shot in source]


@asynccontextmanager
async def watching(source: FolderSource) -> AsyncIterator[AsyncIterator[Shot]]:
    async with asyncio.timeout(20), aclosing(aiter(source)) as shots:  # type: ignore[type-var]
        yield shots


async def test_a_folder_is_read_once_by_name_with_what_the_options_say(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "sub/c.bmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / "b.jpg", (1_700_000_000, 1_700_000_000))
    source = FolderSource(tmp_path, options(sku="plate", deadline_ms=200))
    shots = await everything(source)
    assert [s.attributes["file"] for s in shots] == ["a.png", "b.jpg", "sub/c.bmp"]
    assert source.total == 3
    assert {(s.camera, s.sku, s.deadline_ms, s.clock_source) for s in shots} == {
        (CAMERA, "plate", 200, ClockSource.FILE)
    }
    assert shots[1].captured_at.timestamp() == 1_700_000_000


async def test_hidden_temporary_and_foreign_files_and_links_are_left_alone(tmp_path: Path) -> None:
    for name in (".a.png", "b.png.tmp", "c.part", "d.png~", "e.txt", "f", ".hidden/g.png", "good.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert [s.attributes["file"] for s in await everything(FolderSource(tmp_path, options()))] == ["good.png"]


async def test_every_picture_of_the_corpus_is_sent_as_it_is_and_its_header_read(tmp_path: Path) -> None:
    shots = await everything(FolderSource(CORPUS / "files", options(settle_s=0)))
    by_name = {s.attributes["file"]: s for s in shots}
    assert len(shots) > 40
    for case in json.loads((CORPUS / "manifest.json").read_text()):
        if (shot := by_name.get(Path(case["file"]).name)) is not None:
            assert shot.data == (CORPUS / case["file"]).read_bytes()
            if case["expect"]["outcome"] == "decoded" and case["encoding"] in ("JPEG", "PNG", "BMP", "TIFF", "WEBP"):
                assert (shot.width, shot.height) == (case["width"], case["height"])
    assert by_name["jpeg_mpo.jpg"].encoding == Encoding.JPEG
    assert by_name["png_declared_as_jpeg.jpg"].encoding == Encoding.PNG
    assert (by_name["empty.jpg"].encoding, by_name["empty.jpg"].width) == (Encoding.JPEG, 0)


async def test_names_and_labels_tell_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "line-7_cam-2_plate_S1_2_3.jpg").write_bytes(b"x")
    (tmp_path.parent / "labels.csv").write_text("file,label\nline-7_cam-2_plate_S1_2_3.jpg,crack\n")
    pattern = NamePattern.parse("{line}_{camera}_{sku}_{part_id}_{view}_{views}.{ext}")
    labels = CsvLabels(tmp_path.parent / "labels.csv")
    (shot,) = await everything(FolderSource(tmp_path, options(pattern=pattern, labels=labels)))
    assert shot.camera == Camera("plant", "line-7", "station-1", "cam-2")
    assert (shot.sku, shot.part_id, shot.view, shot.views, shot.label) == ("plate", "S1", 2, 3, "crack")


@pytest.mark.parametrize(
    ("name", "why"), [("plate.jpg", "does not match"), ("plate_3.jpg", "view must lie in 1 to views=2")]
)
async def test_a_file_that_does_not_fit_ends_the_run_with_its_name_and_why(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    source = FolderSource(tmp_path, options(pattern=NamePattern.parse("{sku}_{view}.{ext}"), views=2))
    with pytest.raises(CallerError, match=why) as caught:
        await everything(source)
    assert name in str(caught.value)


async def test_files_that_do_not_fit_are_counted_where_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("plate.jpg", "plate_9.jpg", "plate_1.jpg"):
        (tmp_path / name).write_bytes(b"x")
    pattern = NamePattern.parse("{sku}_{view}.{ext}")
    source = FolderSource(tmp_path, options(pattern=pattern, skip_mismatches=True))
    assert [s.attributes["file"] for s in await everything(source)] == ["plate_1.jpg"]
    assert source.skipped == {"mismatch": 2}


async def test_a_file_name_that_is_no_text_is_said_aloud(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    with pytest.raises(CallerError, match="printable"):
        await everything(FolderSource(tmp_path, options()))


async def test_a_slowly_written_file_is_taken_whole_and_once(tmp_path: Path) -> None:
    # written |--x--x--x--x--|          taken whole after it rested
    async def camera() -> None:
        with (tmp_path / "slow.png").open("wb", buffering=0) as file:
            for _ in range(8):
                file.write(b"12345678")
                await asyncio.sleep(0.06)

    source = FolderSource(tmp_path, options(watch=True, settle_s=0.25))
    async with watching(source) as shots:
        writing = asyncio.create_task(camera())
        assert (await anext(shots)).data == b"12345678" * 8
        assert writing.done()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await anext(shots)


async def test_a_file_renamed_into_place_is_taken_and_its_temporary_name_is_not(tmp_path: Path) -> None:
    async with watching(FolderSource(tmp_path, options(watch=True))) as shots:
        (tmp_path / "a.png.tmp").write_bytes(b"whole")
        waiting = asyncio.ensure_future(anext(shots))
        await asyncio.sleep(0.15)
        assert not waiting.done()
        (tmp_path / "a.png.tmp").rename(tmp_path / "a.png")
        assert (await waiting).attributes["file"] == "a.png"


async def test_a_file_written_over_is_a_new_picture(tmp_path: Path) -> None:
    async with watching(FolderSource(tmp_path, options(watch=True))) as shots:
        (tmp_path / "latest.jpg").write_bytes(b"one")
        assert (await anext(shots)).data == b"one"
        (tmp_path / "latest.jpg").write_bytes(b"second")
        assert (await anext(shots)).data == b"second"


async def test_once_also_waits_for_files_still_being_written(tmp_path: Path) -> None:
    (tmp_path / "fresh.png").write_bytes(b"half")

    async def finish() -> None:
        await asyncio.sleep(0.1)
        (tmp_path / "fresh.png").write_bytes(b"half and half")

    finishing = asyncio.create_task(finish())
    (shot,) = await everything(FolderSource(tmp_path, options(settle_s=0.3)))
    await finishing
    assert shot.data == b"half and half"


async def test_a_restarted_watch_goes_on_behind_what_was_confirmed(tmp_path: Path) -> None:
    folder, journal = tmp_path / "pictures", tmp_path / "data" / "sent.journal"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"x")
    first = FolderSource(folder, options(watch=True, journal=journal))
    async with watching(first) as shots:
        first.confirmed(await anext(shots))
        await anext(shots)  # handed over, never confirmed: the process dies
    with journal.open("a") as file:
        file.write('["b.png", 1')  # a line torn by the death
    second = FolderSource(folder, options(watch=True, journal=journal))
    async with watching(second) as shots:
        assert (await anext(shots)).attributes["file"] == "b.png"


async def test_the_journal_forgets_files_that_are_gone(tmp_path: Path) -> None:
    folder, journal = tmp_path / "pictures", tmp_path / "sent.journal"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    source = FolderSource(folder, options(watch=True, journal=journal))
    async with watching(source) as shots:
        source.confirmed(await anext(shots))
    assert "a.png" in journal.read_text()
    (folder / "a.png").unlink()
    FolderSource(folder, options(watch=True, journal=journal))
    assert journal.read_text() == ""


async def test_many_files_come_each_exactly_once(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.png").write_bytes(hashlib.sha256(str(number).encode()).digest())
    shots = await everything(FolderSource(tmp_path, options()))
    assert len({s.data for s in shots}) == len(shots) == 300


def test_a_folder_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="is no folder"):
        FolderSource(tmp_path / "nowhere", options())
