"""The frame store keeps pictures by content, and no reference leads out of it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CallerError, OperatorError
from streams.store import (
    FrameStore,
    ObjectMissingError,
    ObjectTooLargeError,
    ReferenceRefusedError,
    StoreUnavailableError,
)

DATA = b"a picture"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "frames of line 1"  # a blank, so that URIs are quoted


@pytest.fixture(params=["folder", "remote"])
def any_store(request: pytest.FixtureRequest, root: Path) -> FrameStore:
    return FrameStore(str(root) if request.param == "folder" else f"memory://{root.parent.name}")


def test_what_was_put_comes_back_by_an_absolute_uri(any_store: FrameStore) -> None:
    uri = any_store.put(DATA, SHA256, "jpg")
    assert "://" in uri
    assert uri.endswith(f"/{SHA256[:2]}/{SHA256}.jpg")
    assert any_store.get(uri, 100) == DATA


def test_putting_twice_gives_the_same_uri_and_one_object(root: Path) -> None:
    store = FrameStore(str(root))
    assert store.put(DATA, SHA256, "jpg") == store.put(DATA, SHA256, "jpg")
    assert [p.name for p in root.rglob("*") if p.is_file()] == [f"{SHA256}.jpg"]


def test_many_threads_putting_one_picture_leave_one_whole_object(root: Path) -> None:
    store, data = FrameStore(str(root)), os.urandom(300_000)
    sha256 = hashlib.sha256(data).hexdigest()
    with ThreadPoolExecutor(8) as pool:
        uris = set(pool.map(lambda _: store.put(data, sha256, "png"), range(24)))
    assert len(uris) == 1
    assert store.get(uris.pop(), 300_000) == data
    assert sum(p.is_file() for p in root.rglob("*")) == 1


def test_another_store_object_at_the_same_place_reads_it(root: Path) -> None:
    uri = FrameStore(root.parent.as_uri() + "/frames%20of%20line%201").put(DATA, SHA256, "jpg")
    assert FrameStore(uri.rsplit("/", 2)[0]).get(uri, 100) == DATA


def test_an_object_that_is_not_there_is_missing(any_store: FrameStore) -> None:
    uri = any_store.put(DATA, SHA256, "jpg")
    with pytest.raises(ObjectMissingError):
        any_store.get(uri.replace(SHA256, "0" * 64), 100)


def test_a_store_that_went_away_is_unavailable_and_not_missing(root: Path) -> None:
    store = FrameStore(str(root))
    uri = store.put(DATA, SHA256, "jpg")
    shutil.rmtree(root)
    with pytest.raises(StoreUnavailableError):
        store.get(uri, 100)


def test_an_object_above_the_limit_is_too_large_and_one_at_the_limit_is_not(any_store: FrameStore) -> None:
    uri = any_store.put(DATA, SHA256, "jpg")
    assert any_store.get(uri, len(DATA)) == DATA
    with pytest.raises(ObjectTooLargeError):
        any_store.get(uri, len(DATA) - 1)


HOSTILE = [
    "../secret",
    "ab/../../secret",
    "ab/%2e%2e/%2e%2e/secret",
    "ab/..%2f..%2fsecret",
    "ab//../secret",
    "./secret",
    ".hidden",
    "ab/.hidden",
    "ab\\..\\secret",
    "ab/secret\x00.jpg",
    "ab/secret\n",
    "ab/secret?x=1",
    "ab/secret#x",
    "ab/secret;x",
    "ab/\u2024\u2024/secret",
    "",
    "ab/",
    "/etc/passwd",
    "a/" * 40 + "x",
    "a" * 300,
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_is_not_plain_is_refused(any_store: FrameStore, root: Path, path: str) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    base = any_store.put(DATA, SHA256, "jpg").rsplit("/", 2)[0]
    with pytest.raises(ReferenceRefusedError):
        any_store.get(f"{base}/{path}", 100)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "file://localhost{root}/x",
        "FILE://{root}/x",
        "{root}/x",
        "http://127.0.0.1:1/x",
        "s3://b/x",
        "simplecache::file://{root}/x",
        "file://{root}",
        "file://{root}-next-door/x",
        "memory://x",
        "data:,x",
        "",
        "\x00",
    ],
)
def test_a_reference_to_anywhere_else_is_refused(root: Path, uri: str) -> None:
    with pytest.raises(ReferenceRefusedError):
        FrameStore(str(root)).get(uri.replace("{root}", str(root).replace(" ", "%20")), 100)


@given(st.text(max_size=60))
def test_no_text_behind_the_root_raises_anything_but_a_refusal_or_missing(text: str) -> None:
    store = FrameStore("memory://hostile")
    base = store.put(DATA, SHA256, "jpg").rsplit("/", 2)[0]
    with pytest.raises((ReferenceRefusedError, ObjectMissingError)):
        store.get(f"{base}/{text}", 100)


def test_links_folders_and_pipes_are_refused_at_once(root: Path) -> None:
    store = FrameStore(str(root))
    base = store.put(DATA, SHA256, "jpg").rsplit("/", 2)[0]
    secret = root.parent / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    (root / "link").symlink_to(secret / "key")
    (root / "way").symlink_to(secret)
    (root / "inner").symlink_to(root / SHA256[:2])
    os.mkfifo(root / "pipe")  # opening it to read would wait for a writer for ever
    for path in ("link", "way/key", f"inner/{SHA256}.jpg", "pipe", SHA256[:2], f"{SHA256[:2]}/{SHA256}.jpg/x"):
        with pytest.raises(ReferenceRefusedError):
            store.get(f"{base}/{path}", 100)


@pytest.mark.parametrize(
    ("sha256", "extension"), [("x", "jpg"), (SHA256.upper(), "jpg"), (SHA256, "../x"), (SHA256, "")]
)
def test_a_name_that_is_no_digest_or_extension_is_not_put(root: Path, sha256: str, extension: str) -> None:
    with pytest.raises(ValueError, match="expected a lower-case sha256"):
        FrameStore(str(root)).put(DATA, sha256, extension)


@pytest.mark.parametrize(
    ("number", "sentence"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "denied")]
)
def test_a_write_that_fails_says_why_and_leaves_nothing_behind(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def fails(_: int) -> None:
        raise OSError(number, os.strerror(number))

    store = FrameStore(str(root))
    monkeypatch.setattr("streams.store_folder.os.fsync", fails)
    with pytest.raises(OperatorError, match=sentence):
        store.put(DATA, SHA256, "jpg")
    assert [p for p in root.rglob("*") if p.is_file()] == []


def test_a_torn_object_of_an_earlier_crash_is_replaced(root: Path) -> None:
    store = FrameStore(str(root))
    uri = store.put(DATA, SHA256, "jpg")
    (root / SHA256[:2] / f"{SHA256}.jpg").write_bytes(DATA[:3])
    store.put(DATA, SHA256, "jpg")
    assert store.get(uri, 100) == DATA


def test_a_folder_that_cannot_be_made_is_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CallerError, match="can't be made"):
        FrameStore(str(tmp_path / "file" / "frames"))


@pytest.mark.parametrize("url", ["", "nonsense://x", "simplecache::s3://bucket"])
def test_a_url_that_nobody_serves_is_the_callers_mistake(url: str) -> None:
    with pytest.raises(CallerError, match="frame store"):
        FrameStore(url)
