"""Fetching, verifying and keeping Kafka's jars; without network, by a fetch that copies made-up jars."""

import hashlib
import threading
from collections import namedtuple
from pathlib import Path

import pytest
import requests

from streams.bus import kafka_jars
from streams.bus.kafka_jars import FETCH_ATTEMPTS, LOCK_FILE, Jar, ensure_jars, kafka_version, read_lock, user_cache
from streams.errors import OperatorError

CONTENT = {"kafka_2.13": b"kafka" * 100, "slf4j-api": b"log" * 100, "scala-library": b"scala" * 100}
LOCK = "# a comment\n" + "".join(
    f"{hashlib.sha256(content).hexdigest()} {len(content):>9} org.x:{name}:4.3.1\n" for name, content in CONTENT.items()
)


class Maven:
    """Copies made-up jars; `changed` are other bytes for some, `failures` how often each first fails."""

    def __init__(self, changed: dict[str, bytes] | None = None, failures: int = 0) -> None:
        self.content = CONTENT | (changed or {})
        self.failures = failures
        self.asked: list[str] = []

    def __call__(self, scratch: Path, jar: Jar) -> Path:
        self.asked.append(jar.artifact)
        if self.asked.count(jar.artifact) <= self.failures:
            raise requests.ConnectionError("no route")
        path = scratch / jar.group / jar.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content[jar.artifact])
        return path


def left_in(cache: Path) -> list[str]:
    return [str(path.relative_to(cache)) for path in cache.rglob("*")]


def test_the_first_call_installs_and_the_second_fetches_nothing(tmp_path: Path) -> None:
    maven = Maven()
    first = ensure_jars(tmp_path, LOCK, maven)
    second = ensure_jars(tmp_path, LOCK, maven)
    assert first == second
    assert [path.read_bytes() for path in first] == list(CONTENT.values())
    assert sorted(maven.asked) == sorted(CONTENT)
    assert first[0].parent.name.startswith("kafka-4.3.1-")
    assert [path.name for path in tmp_path.iterdir()] == [first[0].parent.name]


def test_another_lock_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {ensure_jars(tmp_path, lock, Maven())[0].parent for lock in (LOCK, LOCK + "# changed\n")}
    assert len(folders) == 2


def test_a_tampered_download_is_refused_and_nothing_is_installed(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"slf4j-api-4\.3\.1\.jar is not the jar that kafka\.lock names: expected"):
        ensure_jars(tmp_path, LOCK, Maven({"slf4j-api": b"evil"}))
    assert left_in(tmp_path) == []


def test_a_jar_tampered_after_its_install_is_refused_at_the_next_start(tmp_path: Path) -> None:
    jars = ensure_jars(tmp_path, LOCK, Maven())
    content = bytearray(jars[1].read_bytes())
    content[7] ^= 1  # same size, one bit
    jars[1].write_bytes(content)
    with pytest.raises(OperatorError, match=rf"slf4j-api.*delete the folder {jars[1].parent} and start again"):
        ensure_jars(tmp_path, LOCK, Maven())


def test_a_jar_that_went_missing_is_named_with_the_fix(tmp_path: Path) -> None:
    jars = ensure_jars(tmp_path, LOCK, Maven())
    jars[2].unlink()
    with pytest.raises(OperatorError, match=r"scala-library.*can't be read: No such file.*delete the folder"):
        ensure_jars(tmp_path, LOCK, Maven())


def test_a_network_that_fails_once_is_asked_again(tmp_path: Path) -> None:
    maven = Maven(failures=FETCH_ATTEMPTS - 1)
    ensure_jars(tmp_path, LOCK, maven)
    assert len(maven.asked) == len(CONTENT) * FETCH_ATTEMPTS


def test_no_network_is_one_clear_sentence_and_nothing_is_installed(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as raised:
        ensure_jars(tmp_path, LOCK, Maven(failures=99))
    assert "can't be fetched from Maven Central (ConnectionError); connect this machine once" in str(raised.value)
    assert "LINESIDE_BOOTSTRAP_SERVERS" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert left_in(tmp_path) == []


def test_an_interrupted_install_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(scratch: Path, jar: Jar) -> Path:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_jars(tmp_path, LOCK, interrupted)
    assert left_in(tmp_path) == []


def test_a_cache_that_cant_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"can't be kept in .*file: File exists; .*XDG_CACHE_HOME"):
        ensure_jars(tmp_path / "file", LOCK, Maven())


def test_a_full_disk_is_named_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(kafka_jars.shutil, "disk_usage", lambda _: usage(1000, 999, 1))
    maven = Maven()
    with pytest.raises(OperatorError, match=r"Kafka's jars need .* MiB in .*, 0 MiB are free; make room"):
        ensure_jars(tmp_path, LOCK, maven)
    assert maven.asked == []


def test_two_programs_that_install_at_once_share_one_folder(tmp_path: Path) -> None:
    meet = threading.Barrier(2 * len(CONTENT), timeout=10)  # every jar of both is fetched before either installs

    class Slow(Maven):
        def __call__(self, scratch: Path, jar: Jar) -> Path:
            meet.wait()
            return super().__call__(scratch, jar)

    results: list[tuple[Path, ...]] = []
    threads = [threading.Thread(target=lambda: results.append(ensure_jars(tmp_path, LOCK, Slow()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1]
    assert [path.name for path in tmp_path.iterdir()] == [results[0][0].parent.name]


def test_progress_ends_with_all_jars_and_bytes(tmp_path: Path) -> None:
    said: list[str] = []
    ensure_jars(tmp_path, LOCK, Maven(), said.append)
    assert said[-1].startswith("fetching Kafka 4.3.1: 3 of 3 jars")


@pytest.mark.parametrize("line", ["abc", "abc x org:a:1", "abc 1 org:a", "abc 1 org:a:1 https://x"])
def test_a_damaged_lock_is_refused_with_the_line(line: str) -> None:
    with pytest.raises(OperatorError, match=r"kafka\.lock is damaged: expected `sha256 size group:artifact:version`"):
        read_lock(line)


def test_the_committed_lock_names_kafka_4_3_1_its_log_and_no_address() -> None:
    text = LOCK_FILE.read_text()
    jars = read_lock(text)
    assert kafka_version(jars) == "4.3.1"
    assert {"kafka-clients", "scala-library", "log4j-core", "log4j-slf4j-impl"} <= {jar.artifact for jar in jars}
    assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.size_bytes > 1000 for jar in jars)
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert "://" not in text


def test_the_cache_follows_the_xdg_convention() -> None:
    assert user_cache({"XDG_CACHE_HOME": "/somewhere"}) == Path("/somewhere/lineside")
    assert user_cache({}) == Path.home() / ".cache/lineside"
