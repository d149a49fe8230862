"""A picture that somebody needs is pinned, and the frame store tells by whom."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from streams.store import FrameStore, ReferenceRefusedError, StoreUnavailableError

DATA = b"a picture"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["folder", "remote"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> FrameStore:
    return FrameStore(str(tmp_path / "frames") if request.param == "folder" else f"memory://pins-{tmp_path.name}")


def test_nobody_needs_a_picture_that_nobody_pinned(any_store: FrameStore) -> None:
    any_store.put(DATA, SHA256, "jpg")
    assert any_store.pins(SHA256) == set()


def test_everybody_who_pinned_is_named_once_whether_the_picture_is_there_or_comes_later(any_store: FrameStore) -> None:
    any_store.pin(SHA256, "sample-1")
    uri = any_store.put(DATA, SHA256, "jpg")
    any_store.pin(SHA256, "outcome-2")
    any_store.pin(SHA256, "sample-1")
    assert any_store.pins(SHA256) == {"sample-1", "outcome-2"}
    assert any_store.pins("0" * 64) == set()
    assert any_store.get(uri, 100) == DATA


def test_another_store_object_at_the_same_place_sees_the_pins(tmp_path: Path) -> None:
    FrameStore(str(tmp_path)).pin(SHA256, "sample-1")
    assert FrameStore(str(tmp_path)).pins(SHA256) == {"sample-1"}


@pytest.mark.parametrize("by", ["", ".", "..", "../x", "a/b", "a b", "x\n", "x" * 101])
def test_a_name_that_is_no_plain_name_pins_nothing(any_store: FrameStore, by: str) -> None:
    with pytest.raises(ValueError, match="a pin's name"):
        any_store.pin(SHA256, by)


@pytest.mark.parametrize("sha256", ["", "../x", SHA256.upper(), SHA256 + "/"])
def test_what_is_no_digest_has_no_pins(any_store: FrameStore, sha256: str) -> None:
    for ask in (lambda: any_store.pin(sha256, "x"), lambda: any_store.pins(sha256)):
        with pytest.raises(ValueError, match="lower-case sha256"):
            ask()


def test_a_store_that_went_away_does_not_say_that_nobody_needs_a_picture(tmp_path: Path) -> None:
    store = FrameStore(str(tmp_path / "frames"))
    store.pin(SHA256, "sample-1")
    shutil.rmtree(tmp_path / "frames")
    with pytest.raises(StoreUnavailableError):
        store.pins(SHA256)


def test_a_link_in_place_of_the_pins_is_not_followed(tmp_path: Path) -> None:
    store, elsewhere = FrameStore(str(tmp_path / "frames")), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sample-1").touch()
    (tmp_path / "frames" / SHA256[:2]).mkdir()
    (tmp_path / "frames" / SHA256[:2] / f"{SHA256}.pins").symlink_to(elsewhere)
    with pytest.raises(ReferenceRefusedError):
        store.pins(SHA256)
