"""Kafka's jars: fetched once by Maven coordinates, verified against `kafka.lock` before every use, kept per user.

Place in the flow: the embedded broker asks `ensure_jars` for its class path before anything else. The lock beside this
file names every jar by coordinates, sha256 and size, and no address: where jars come from is jgo's business (Maven
Central, or the mirror that jgo's own configuration names). Installing is one rename of a verified folder: no half-done
install is ever seen. Does not know how a broker is configured or started.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from streams.errors import OperatorError

LOCK_FILE = Path(__file__).with_name("kafka.lock")
BROKER_ARTIFACT = "kafka_2.13"
FETCH_THREADS = 8
FETCH_ATTEMPTS = 3
MIB = 1 << 20

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: Maven coordinates, and the bytes that they must stand for."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    def line(self) -> str:
        """This jar as a line of the lock."""
        return f"{self.sha256} {self.size_bytes:>9} {self.coordinates}"


Fetch = Callable[[Path, Jar], Path]
"""Brings one jar into a scratch folder and returns its path; raises OSError, RuntimeError or requests' errors."""


def read_lock(text: str) -> tuple[Jar, ...]:
    """The jars of a lock's text, in class path order. OperatorError for a line that is none."""
    jars = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        try:
            sha256, size, coordinates = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256, int(size)))
        except ValueError:
            expected = "`sha256 size group:artifact:version`"
            raise OperatorError(
                f"kafka.lock is damaged: expected {expected}, came {line!r}; restore the file"
            ) from None
    return tuple(jars)


def kafka_version(jars: Sequence[Jar]) -> str:
    """The version of Kafka that a lock holds."""
    return next(jar.version for jar in jars if jar.artifact == BROKER_ARTIFACT)


def user_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for what this user can always fetch again, by the XDG base directory convention."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineside"


def ensure_jars(
    cache: Path | None = None,
    lock_text: str | None = None,
    fetch: Fetch | None = None,
    on_progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Verified paths of all of Kafka's jars, fetched where this user has none yet.

    Every jar's sha256 is compared on every call (45 MB: 0.05 s). Raises OperatorError where a jar can't be had, is not
    the locked one, or finds no room; nothing is installed then.
    """
    lock_text = LOCK_FILE.read_text() if lock_text is None else lock_text
    jars = read_lock(lock_text)
    cache = user_cache() if cache is None else cache
    folder = cache / f"kafka-{kafka_version(jars)}-{hashlib.sha256(lock_text.encode()).hexdigest()[:8]}"
    if not folder.is_dir():
        _install(folder, jars, fetch or fetch_by_maven, on_progress or (lambda _: None))
    for jar in jars:
        _verify(folder / jar.file_name, jar, f"delete the folder {folder} and start again, it is fetched anew")
    return tuple(folder / jar.file_name for jar in jars)


def _install(folder: Path, jars: Sequence[Jar], fetch: Fetch, on_progress: Progress) -> None:
    """Fetches into a scratch folder beside `folder`, verifies, and renames it into place."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".kafka-", dir=folder.parent, ignore_cleanup_errors=True) as name:
            scratch = Path(name)
            _check_room(scratch, jars)
            (ready := scratch / "jars").mkdir()
            _fetch_all(scratch / "maven", ready, jars, fetch, on_progress)
            if not folder.is_dir():  # another process may have been quicker; its jars are verified like ours
                ready.rename(folder)
    except OSError as error:
        if folder.is_dir():
            return  # the other process's rename came between the check and ours
        reason = error.strerror or error
        raise OperatorError(
            f"Kafka's jars can't be kept in {folder.parent}: {reason}; make room or rights there, or choose another"
            " folder with XDG_CACHE_HOME"
        ) from error


def _check_room(scratch: Path, jars: Sequence[Jar]) -> None:
    needed, free = 2 * sum(jar.size_bytes for jar in jars), shutil.disk_usage(scratch).free
    if free < needed:
        raise OperatorError(
            f"Kafka's jars need {needed // MIB} MiB in {scratch.parent}, {free // MIB} MiB are free; make room there,"
            " or choose another folder with XDG_CACHE_HOME"
        )


def _fetch_all(maven: Path, ready: Path, jars: Sequence[Jar], fetch: Fetch, on_progress: Progress) -> None:
    total, lock, done = sum(jar.size_bytes for jar in jars), threading.Lock(), [0, 0]

    def one(jar: Jar) -> None:
        came = _fetch_one(maven, jar, fetch)
        _verify(came, jar, "nothing was installed; try again, and distrust the Maven mirror if it stays so")
        came.rename(ready / jar.file_name)
        with lock:
            done[0] += 1
            done[1] += jar.size_bytes
            on_progress(
                f"fetching Kafka {kafka_version(jars)}: {done[0]} of {len(jars)} jars,"
                f" {done[1] / 1e6:.0f} of {total / 1e6:.0f} MB"
            )

    with ThreadPoolExecutor(FETCH_THREADS, "fetch-jar") as pool:
        futures = [pool.submit(one, jar) for jar in sorted(jars, key=lambda jar: -jar.size_bytes)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(maven: Path, jar: Jar, fetch: Fetch) -> Path:
    from requests import RequestException  # jgo's HTTP library: needed on the first start alone

    for attempt in range(1, FETCH_ATTEMPTS + 1):
        try:
            return fetch(maven, jar)
        except (RequestException, RuntimeError) as error:
            if attempt == FETCH_ATTEMPTS:
                raise OperatorError(
                    f"{jar.coordinates} of the embedded Kafka can't be fetched from Maven Central"
                    f" ({type(error).__name__}); connect this machine once, name a mirror in jgo's configuration, or"
                    " set LINESIDE_BOOTSTRAP_SERVERS to a Kafka that runs already; nothing was installed"
                ) from error
    raise AssertionError("unreachable")


def fetch_by_maven(scratch: Path, jar: Jar) -> Path:
    """One jar by its coordinates, from Maven Central or what jgo's configuration names instead, into `scratch`."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch)
    context.remote_repos.update(GlobalSettings.load().repositories)  # one named `central` takes its place
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    if artifact.cached_path is not None:
        artifact.cached_path.unlink(missing_ok=True)  # what an attempt that broke off left behind
    return artifact.resolve()


def _verify(path: Path, jar: Jar, what_to_do: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"Kafka's {path} can't be read: {error.strerror}; {what_to_do}") from error
    if (came := hashlib.sha256(content).hexdigest()) != jar.sha256:
        raise OperatorError(
            f"{path.name} is not the jar that kafka.lock names: expected sha256 {jar.sha256[:16]}… and"
            f" {jar.size_bytes} bytes, came {came[:16]}… and {len(content)} bytes; {what_to_do}"
        )
