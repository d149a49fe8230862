"""Writers that come upon a picture while it is being removed: afterwards it is there."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from streams.store import FrameStore
from streams.store_gc import Candidates, collect
from tests.stored import DAY_S, AgingStore

DATA = b"a picture"
SHA256 = hashlib.sha256(DATA).hexdigest()


def collected(aging: AgingStore) -> int:
    """How many were removed, where nothing is needed."""
    return collect(aging.store, time.time() - 8 * DAY_S, lambda candidates: None).removed


@pytest.fixture(params=["folder", "remote"])
def aging(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgingStore]:
    aging = AgingStore(tmp_path / "frames" if request.param == "folder" else None, tmp_path.name)
    yield aging
    aging.clear()


@pytest.fixture
def folder(tmp_path: Path) -> AgingStore:
    return AgingStore(tmp_path / "frames")


@pytest.mark.parametrize("moment", range(2), ids=["before it is looked at last", "while it is out of sight"])
@pytest.mark.parametrize("does", ["put", "pin and put"])
def test_a_picture_put_again_during_its_removal_is_there_afterwards(
    aging: AgingStore, monkeypatch: pytest.MonkeyPatch, does: str, moment: int
) -> None:
    pins, calls = FrameStore.pins, []

    def interrupted(self: FrameStore, sha256: str) -> set[str]:
        found = pins(self, sha256)
        calls.append(sha256)
        if len(calls) == moment + 1:
            if does != "put":
                aging.store.pin(sha256, "sample-1")
            aging.put(DATA)
        return found

    aging.put(DATA)
    aging.pass_days(9)
    monkeypatch.setattr(FrameStore, "pins", interrupted)
    collected(aging)
    assert len(calls) == 2 or (moment == 0 and calls)
    assert aging.holds(DATA)


def test_a_remote_picture_whose_removal_overtakes_its_writing_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aging, pipe_file = AgingStore(None, tmp_path.name), MemoryFileSystem.pipe_file
    aging.put(DATA)
    aging.pass_days(9)
    overtaken: list[str] = []

    def then_removed(self: MemoryFileSystem, path: str, value: bytes) -> None:
        pipe_file(self, path, value)
        if not overtaken:
            overtaken.append(path)
            self.rm_file(path)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", then_removed)
    aging.put(DATA)
    assert overtaken
    assert aging.holds(DATA)


def test_a_picture_put_again_just_before_it_goes_out_of_sight_comes_back(
    folder: AgingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def overtaken(*names: str, **folders: int) -> None:
        folder.put(DATA)
        rename(*names, **folders)  # type: ignore[arg-type]

    folder.put(DATA)
    folder.pass_days(9)
    monkeypatch.setattr("streams.store_folder.os.rename", overtaken)
    assert collected(folder) == 0
    assert folder.holds(DATA)
    assert [p.name for p in folder.root.rglob("*") if p.is_file()] == [f"{SHA256}.jpg"]


def test_a_pin_whose_folder_is_cleared_away_under_it_is_made_again(
    folder: AgingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, cleared = Path.open, []

    def after_a_collection(self: Path, *arguments: Any) -> IO[Any]:
        if not cleared:
            cleared.append(collect(folder.store, 0.0, lambda candidates: None).cleared)
        return opened(self, *arguments)

    monkeypatch.setattr(Path, "open", after_a_collection)
    folder.store.pin(SHA256, "sample-1")
    assert cleared == [1]
    assert folder.store.pins(SHA256) == {"sample-1"}


class Writers:
    """Put pictures and name them, again and again, at about the age at which they are removed."""

    def __init__(self, aging: AgingStore, min_age_s: float, pictures: int) -> None:
        self.aging, self.min_age_s, self.pictures = aging, min_age_s, pictures
        self.events: dict[int, str] = {}
        self.lost: list[bytes] = []

    def write(self, seed: int, stop: float) -> None:
        draw = random.Random(seed)
        while time.monotonic() < stop:
            data, put_at = b"%d" % draw.randrange(self.pictures), time.monotonic()
            reference = self.aging.put(data)
            if time.monotonic() - put_at < self.min_age_s / 2:  # else it was put too long before it is named
                self.events[seed] = reference
                time.sleep(0.002)
                if not any(self.aging.holds(data) or time.sleep(0.01) for _ in range(3)):  # absent while put back
                    self.lost.append(data)
                del self.events[seed]

    def name(self, candidates: Candidates) -> None:
        for reference in list(self.events.values()):
            candidates.name("events", reference.encode())


def test_writers_and_collections_side_by_side_lose_no_named_picture(folder: AgingStore) -> None:
    writers, removed, stop = Writers(folder, 0.3, 400), [], time.monotonic() + 4

    def sweep() -> None:
        while time.monotonic() < stop:
            removed.append(collect(folder.store, time.time() - writers.min_age_s, writers.name).removed)

    threads = [threading.Thread(target=writers.write, args=(seed, stop)) for seed in range(4)]
    threads += [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not writers.lost
    assert sum(removed) > 50
