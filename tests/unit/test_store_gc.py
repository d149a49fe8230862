"""A collection removes what is old and needed by nobody, and nothing else, whatever comes in between."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from schemas.records import Event
from streams.errors import CallerError, OperatorError
from streams.store import FrameStore, Stored, StoreUnavailableError
from streams.store_gc import (
    Candidates,
    Collected,
    by_extension,
    check_read,
    check_ties,
    collect,
    topics_fact,
)
from tests.builders import CODEC
from tests.contracts.samples import DEAD_LETTER, DEFECT, FRAME, SAMPLE
from tests.stored import DAY_S, AgingStore

DATA = b"a picture"
SHA256 = hashlib.sha256(DATA).hexdigest()
Name = Callable[[Candidates], None]


def nobody(candidates: Candidates) -> None:
    """Nothing is needed."""


def collected(aging: AgingStore, name: Name = nobody, dry_run: bool = False) -> Collected:
    return collect(aging.store, time.time() - 8 * DAY_S, name, dry_run=dry_run)


@pytest.fixture(params=["folder", "remote"])
def aging(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgingStore]:
    aging = AgingStore(tmp_path / "frames" if request.param == "folder" else None, tmp_path.name)
    yield aging
    aging.clear()


@pytest.fixture
def folder(tmp_path: Path) -> AgingStore:
    return AgingStore(tmp_path / "frames")


def test_what_is_old_and_needed_by_nobody_goes_and_all_else_stays(aging: AgingStore) -> None:
    needed = aging.put(b"needed")
    aging.put(b"needless", "png")
    aging.put(b"pinned")
    aging.store.pin(hashlib.sha256(b"pinned").hexdigest(), "sample-1")
    aging.pass_days(9)
    aging.put(b"young")
    found = collected(aging, lambda candidates: candidates.name("defects", needed.encode()))
    assert (found.objects, found.bytes) == (4, len(b"needed needless pinned young") - 3)
    assert (found.removed, found.freed_bytes) == (1, len(b"needless"))
    assert found.kept == {"young": 1, "defects": 1, "pinned": 1}
    assert not aging.holds(b"needless", "png")
    assert all(map(aging.holds, (b"needed", b"pinned", b"young")))


def test_a_second_collection_finds_nothing_more(aging: AgingStore) -> None:
    aging.put(DATA)
    aging.pass_days(9)
    assert collected(aging).removed == 1
    assert collected(aging) == Collected(0, 0, {})


def test_a_dry_run_counts_the_same_and_removes_nothing(aging: AgingStore) -> None:
    for number in range(20):
        aging.put(b"%d" % number)
    aging.pass_days(9)
    would = collected(aging, dry_run=True)
    assert would.removed == 20
    assert all(aging.holds(b"%d" % number) for number in range(20))
    assert collected(aging) == would


def test_a_picture_that_is_put_again_is_young_again(aging: AgingStore) -> None:
    aging.put(DATA)
    aging.pass_days(9)
    aging.put(DATA)
    assert collected(aging).kept == {"young": 1}
    assert aging.holds(DATA)


def test_a_remote_picture_put_again_within_the_hour_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aging, written = AgingStore(None, tmp_path.name), []
    pipe_file = MemoryFileSystem.pipe_file

    def counted(self: MemoryFileSystem, path: str, value: bytes) -> None:
        written.append(path)
        pipe_file(self, path, value)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", counted)
    aging.put(DATA)
    aging.put(DATA)
    assert len(written) == 1
    aging.pass_days(0.05)
    aging.put(DATA)
    assert len(written) == 2


def test_where_naming_fails_nothing_is_removed(aging: AgingStore) -> None:
    def fails(candidates: Candidates) -> None:
        raise OperatorError("Kafka went away")

    aging.put(DATA)
    aging.pass_days(9)
    with pytest.raises(OperatorError, match="Kafka went away"):
        collected(aging, fails)
    assert aging.holds(DATA)


def test_nothing_is_read_where_nothing_is_old(aging: AgingStore) -> None:
    def never(candidates: Candidates) -> None:
        raise AssertionError

    aging.put(DATA)
    assert collected(aging, never).kept == {"young": 1}


def test_where_pins_cannot_be_read_the_picture_is_put_back(folder: AgingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: FrameStore, sha256: str) -> set[str]:
        raise StoreUnavailableError("away")

    folder.put(DATA)
    folder.pass_days(9)
    monkeypatch.setattr(FrameStore, "pins", away)
    with pytest.raises(StoreUnavailableError):
        folder.store.remove(Stored(SHA256, "jpg", len(DATA), 0.0), time.time())
    assert folder.holds(DATA)
    assert [p.name for p in folder.root.rglob("*") if p.is_file()] == [f"{SHA256}.jpg"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_removal_that_fails_says_why_and_leaves_the_picture(
    folder: AgingStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    folder.put(DATA)
    folder.pass_days(9)
    monkeypatch.setattr("streams.store_folder.os.rename", fails)
    with pytest.raises(OperatorError, match=r"nothing can be removed.*(denied|read-only)"):
        collected(folder)
    assert folder.holds(DATA)


def test_without_hard_links_a_picture_is_put_back_too(folder: AgingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    folder.put(DATA)
    folder.pass_days(9)
    folder.store.pin(SHA256, "sample-1")
    monkeypatch.setattr("streams.store_folder.os.link", no_links)
    assert not folder.store.remove(Stored(SHA256, "jpg", len(DATA), 0.0), time.time())
    assert folder.holds(DATA)


def test_a_picture_that_a_killed_collection_left_out_of_sight_comes_back(folder: AgingStore) -> None:
    folder.put(DATA)
    shelf = folder.root / SHA256[:2]
    (shelf / f"{SHA256}.jpg").rename(shelf / f".{SHA256}.jpg.{'0' * 16}.removing")
    collected(folder)
    assert folder.holds(DATA)
    assert [p.name for p in shelf.iterdir()] == [f"{SHA256}.jpg"]


def test_unfinished_writes_of_a_day_ago_and_empty_pin_folders_go(folder: AgingStore) -> None:
    folder.put(DATA)
    folder.store.pin(SHA256, "sample-1")
    shelf, empty = folder.root / SHA256[:2], folder.root / SHA256[:2] / f"{SHA256[:2]}{'0' * 62}.pins"
    empty.mkdir()
    unfinished = [shelf / f".{SHA256}.jpg.{'0' * 16}.tmp", shelf / f"{SHA256}.pins" / f".sample-2.{'0' * 16}.tmp"]
    for path in unfinished:
        path.write_bytes(b"half")
    assert collected(folder).cleared == 1
    assert not empty.exists()
    assert all(path.exists() for path in unfinished)
    folder.pass_days(1.1)
    assert collected(folder).cleared == 2
    assert not any(path.exists() for path in unfinished)
    assert folder.store.pins(SHA256) == {"sample-1"}


def test_what_is_not_of_the_store_is_left_alone_and_links_are_not_followed(folder: AgingStore, tmp_path: Path) -> None:
    elsewhere = AgingStore(tmp_path / "elsewhere")
    elsewhere.put(DATA)
    other = hashlib.sha256(b"other").hexdigest()
    elsewhere.put(b"other")
    (folder.root / SHA256[:2]).symlink_to(elsewhere.root / SHA256[:2])
    shelf = folder.root / other[:2]
    shelf.mkdir()
    (shelf / f"{other}.jpg").symlink_to(elsewhere.root / other[:2] / f"{other}.jpg")
    strangers = [shelf / "notes.txt", shelf / f"{SHA256}.jpg", folder.root / "README", shelf / f"{other}.jpeg-large-x"]
    for path in strangers:
        path.write_text("mine")
    folder.pass_days(9)
    elsewhere.pass_days(9)
    assert collected(folder).objects == 0
    assert all(path.read_text() == "mine" for path in strangers)
    assert elsewhere.holds(DATA)
    assert elsewhere.holds(b"other")
    assert (shelf / f"{other}.jpg").is_symlink()


def test_a_file_system_that_knows_no_ages_is_not_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(self: MemoryFileSystem, path: str) -> None:
        raise NotImplementedError

    aging = AgingStore(None, tmp_path.name)
    aging.put(DATA)
    monkeypatch.setattr(MemoryFileSystem, "modified", unknown)
    aging.put(DATA)
    with pytest.raises(StoreUnavailableError):
        collected(aging)
    assert aging.holds(DATA)


def with_reference(event: Event, **references: str) -> bytes:
    return CODEC.encode(dataclasses.replace(event, **references))  # type: ignore[type-var]


@pytest.mark.parametrize("kind", ["frame", "defect", "heatmap", "sample", "dead letter", "no event", "reference"])
def test_every_event_that_names_a_picture_keeps_it(folder: AgingStore, kind: str) -> None:
    reference = folder.put(DATA)
    frame = with_reference(FRAME, image=None, image_ref=reference)  # type: ignore[arg-type]
    values = {
        "frame": frame,
        "defect": with_reference(DEFECT, image_ref=reference),
        "heatmap": with_reference(DEFECT, heatmap_ref=reference),
        "sample": with_reference(SAMPLE, image_ref=reference),
        "dead letter": with_reference(DEAD_LETTER, value=frame),  # type: ignore[arg-type]
        "no event": b"\x00\x00\x00\xff\xff" + frame[5:],
        "reference": reference.encode(),
    }
    folder.pass_days(9)
    assert collected(folder, lambda candidates: candidates.name(kind, values[kind])).kept == {kind: 1}
    assert folder.holds(DATA)


@pytest.mark.parametrize("text", ["", "/" * 1000, f"/{SHA256.upper()}.jpg", f"/{SHA256}", f"/{SHA256[:63]}.jpg", "\0"])
def test_what_is_no_reference_to_a_picture_keeps_none(folder: AgingStore, text: str) -> None:
    folder.put(DATA)
    folder.pass_days(9)
    assert collected(folder, lambda candidates: candidates.name("frames", text.encode())).removed == 1


def test_a_store_stays_tied_to_its_topics_and_its_archive(aging: AgingStore) -> None:
    mine, other = topics_fact("cluster", "lineside."), topics_fact("cluster", "other.")
    check_ties(aging.store, mine, {"archive": "/archive"})
    with pytest.raises(CallerError, match="no event is kept in any topic"):
        check_read(aging.store, mine, 0)
    check_read(aging.store, mine, 1)
    aging.store.note(mine)
    aging.store.note("archive")
    check_read(aging.store, mine, 0)
    check_ties(aging.store, mine, {"archive-press": "/elsewhere"})
    with pytest.raises(CallerError, match=r"no archive in /archive.*LINESIDE_ARCHIVE"):
        check_ties(aging.store, mine, {"archive": "/archive"})
    with pytest.raises(CallerError, match=rf"is collected for {mine}, not for {other}.*LINESIDE_FRAME_STORE"):
        check_ties(aging.store, other, {})


def test_what_a_store_holds_is_told_by_extension(aging: AgingStore) -> None:
    for number, extension in enumerate(("jpg", "png", "jpg")):
        aging.put(b"%03d" % number, extension)
    aging.store.pin(SHA256, "sample-1")
    assert by_extension(aging.store) == {"jpg": (2, 6), "png": (1, 3)}
