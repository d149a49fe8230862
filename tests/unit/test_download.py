"""A file from the network comes whole or not at all, is fetched once, and goes on where it broke off."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path

import pytest

from streams.download import ATTEMPTS, CHUNK_BYTES, DownloadError, Wanted, fetched
from streams.errors import OperatorError
from tests.weights_server import WeightsServer

DATA = bytes(range(256)) * 5_000  # five chunks
SHA256 = hashlib.sha256(DATA).hexdigest()[:8]


def wanted(server: WeightsServer, sha256: str = SHA256, most_bytes: int = 1 << 30) -> Wanted:
    return Wanted(url=server.url("net-1.pth"), sha256=sha256, most_bytes=most_bytes)


def kept(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith(".lock")}


def test_it_is_fetched_once_and_then_needs_no_network(tmp_path: Path) -> None:
    with WeightsServer(DATA) as server:
        ask, seen = wanted(server), list[tuple[int, int | None]]()
        assert fetched(ask, tmp_path / "cache", lambda *at: seen.append(at)).read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert fetched(ask, tmp_path / "cache").read_bytes() == DATA
    assert server.asked == [""]
    assert kept(tmp_path / "cache") == {"net-1.pth": DATA}


def test_cut_off_in_the_middle_it_asks_for_the_rest(tmp_path: Path) -> None:
    with WeightsServer(DATA, cuts=(300_000, 200_000)) as server:
        assert fetched(wanted(server), tmp_path).read_bytes() == DATA
    assert server.asked == ["", "bytes=300000-", "bytes=500000-"]


def test_cut_off_again_and_again_it_says_so_and_the_next_call_goes_on(tmp_path: Path) -> None:
    with WeightsServer(DATA, cuts=(100_000,) * ATTEMPTS) as server:
        with pytest.raises(DownloadError, match=r"can't be fetched whole.*; the next call goes on"):
            fetched(wanted(server), tmp_path)
        assert kept(tmp_path) == {".net-1.pth.part": DATA[: 100_000 * ATTEMPTS]}
        assert fetched(wanted(server), tmp_path).read_bytes() == DATA
    assert server.asked[-1] == f"bytes={100_000 * ATTEMPTS}-"


def test_ended_by_its_caller_it_goes_on_at_the_next_call(tmp_path: Path) -> None:
    def end(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with WeightsServer(DATA) as server:
        with pytest.raises(KeyboardInterrupt):
            fetched(wanted(server), tmp_path, end)
        assert fetched(wanted(server), tmp_path).read_bytes() == DATA
    assert server.asked == ["", f"bytes={CHUNK_BYTES}-"]


def test_a_server_that_knows_no_ranges_gives_the_whole_again(tmp_path: Path) -> None:
    with WeightsServer(DATA, cuts=(300_000,), knows_ranges=False) as server:
        assert fetched(wanted(server), tmp_path).read_bytes() == DATA
    assert server.asked == ["", "bytes=300000-"]


def test_another_file_than_the_one_that_was_named_is_refused_and_nothing_kept(tmp_path: Path) -> None:
    with (
        WeightsServer(DATA[:-1] + b"!") as server,
        pytest.raises(DownloadError, match=f"another sha256 than {SHA256}…"),
    ):
        fetched(wanted(server), tmp_path)
    assert kept(tmp_path) == {}


@pytest.mark.parametrize("left", [DATA[:1000] + b"!", DATA + b"!"])
def test_a_rest_that_is_of_another_file_or_too_long_leads_to_no_wrong_file(left: bytes, tmp_path: Path) -> None:
    (tmp_path / ".net-1.pth.part").write_bytes(left)
    with WeightsServer(DATA) as server:
        for _ in range(2):
            try:
                assert fetched(wanted(server), tmp_path).read_bytes() == DATA
                break
            except DownloadError:
                assert kept(tmp_path) == {}
    assert kept(tmp_path) == {"net-1.pth": DATA}


def test_a_file_that_was_damaged_since_is_fetched_anew(tmp_path: Path) -> None:
    (tmp_path / "net-1.pth").write_bytes(DATA[:-1])
    with WeightsServer(DATA) as server:
        assert fetched(wanted(server), tmp_path).read_bytes() == DATA


def test_what_has_no_end_is_refused(tmp_path: Path) -> None:
    with WeightsServer(DATA) as server, pytest.raises(DownloadError, match="more than 1000 bytes"):
        fetched(wanted(server, most_bytes=1000), tmp_path)


def test_without_network_or_without_the_file_it_says_why(tmp_path: Path) -> None:
    with WeightsServer(DATA, status=404) as server:
        ask = wanted(server)
        with pytest.raises(DownloadError, match=r"net-1\.pth answers 404 Not Found"):
            fetched(ask, tmp_path)
    with pytest.raises(DownloadError, match=r"net-1\.pth can't be reached: .*refused"):
        fetched(ask, tmp_path)
    assert kept(tmp_path) == {}


def test_two_do_not_fetch_the_same_at_the_same_time(tmp_path: Path) -> None:
    with WeightsServer(DATA) as server, (tmp_path / ".net-1.pth.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process is fetching it"):
            fetched(wanted(server), tmp_path)
    assert server.asked == []


def test_a_folder_that_cannot_be_made_is_the_operators(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with WeightsServer(DATA) as server, pytest.raises(OperatorError, match="can't be written"):
        fetched(wanted(server), tmp_path / "cache")
