"""The embedded broker's data directory: writable, with room, used by one broker at a time, formatted once.

Place in the flow: `embedded.py` prepares and locks the folder before it starts Kafka in it. Layout: `kafka/` (records
and the cluster's id), `broker.log` (Kafka's log), `broker.out` (the JVM's own words), `broker.lock`,
`server.properties`, `tmp/`. Knows how to format the folder by Kafka's own tool, not how to run a broker.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.bus.kafka_config import properties_text, server_properties
from streams.errors import CallerError, OperatorError

MIN_FREE_BYTES = 256 << 20
PREVIOUS_BROKER_ENDS_S = 4.0
FORMAT_TIMEOUT_S = 120
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class BrokerFolder:
    """The folder's files; both paths are absolute."""

    data_dir: Path
    log_file: Path

    @property
    def records_dir(self) -> Path:
        return self.data_dir / "kafka"

    @property
    def output_file(self) -> Path:
        return self.data_dir / "broker.out"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "broker.lock"

    @property
    def properties_file(self) -> Path:
        return self.data_dir / "server.properties"

    def prepare(self) -> None:
        """Makes the folders. CallerError where they can't be written, OperatorError where there is no room."""
        try:
            for folder in (self.data_dir, self.log_file.parent):
                folder.mkdir(parents=True, exist_ok=True)
            for file in (self.lock_file, self.output_file, self.log_file):
                file.touch()
            free = shutil.disk_usage(self.data_dir).free
        except OSError as error:
            raise CallerError(
                f"the data directory {self.data_dir} can't be written ({error.strerror}: {error.filename}); name"
                " another, or get the right to write there"
            ) from error
        if free < MIN_FREE_BYTES:
            raise OperatorError(
                f"Kafka needs {MIN_FREE_BYTES >> 20} MiB of room in {self.data_dir}, {free >> 20} MiB are free; make"
                " room there, or name another data directory"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """The folder's lock as a file descriptor; it holds as long as any process has it open, so pass it to Kafka.

        Waits a moment for a broker whose parent was killed and that is about to end. CallerError where it lives on.
        """
        lock_fd = os.open(self.lock_file, os.O_RDWR)
        deadline_s = time.monotonic() + PREVIOUS_BROKER_ENDS_S
        try:
            while not _try_lock(lock_fd):
                if time.monotonic() > deadline_s:
                    holder = self.lock_file.read_text().strip() or "unknown"
                    raise CallerError(
                        f"the data directory {self.data_dir} is in use by another broker (process {holder}); stop that"
                        " one, or name another data directory"
                    )
                time.sleep(POLL_S)
            yield lock_fd
        finally:
            os.close(lock_fd)

    def cluster_id(self, java: Sequence[str], environment: dict[str, str]) -> str:
        """The cluster's id; formats the folder where it has none. The lock must be held.

        `java`: the JVM's command with its class path, without a main class.
        """
        shutil.rmtree(self.data_dir / "tmp", ignore_errors=True)
        (self.data_dir / "tmp").mkdir()
        if not self.records_dir.exists():
            self._format(java, environment)
        try:
            lines = (self.records_dir / "meta.properties").read_text().splitlines()
            return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))
        except (OSError, StopIteration):
            raise OperatorError(
                f"{self.records_dir} is no Kafka data: expected cluster.id in its meta.properties; restore it, or name"
                " another data directory"
            ) from None

    def _format(self, java: Sequence[str], environment: dict[str, str]) -> None:
        """Formats a folder beside and renames it, so that a half-formatted one is never used."""
        fresh = self.data_dir / "kafka.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        self.write_properties(
            server_properties(fresh, port=1, controller_port=2)
        )  # the tool reads the addresses but uses none
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        options = [f"--cluster-id={cluster_id}", f"--config={self.properties_file}"]  # an id may begin with "-"
        tool = ["kafka.tools.StorageTool", "format", *options]
        done = subprocess.run(
            [*java, *tool], capture_output=True, env=environment, timeout=FORMAT_TIMEOUT_S, check=False
        )
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines() or ["nothing"]
            raise OperatorError(
                f"Kafka's tool can't format {self.data_dir} (status {done.returncode}), it says: {said[0]}; its log is"
                f" {self.log_file}"
            )
        fresh.rename(self.records_dir)

    def write_properties(self, properties: Mapping[str, str]) -> None:
        """Writes Kafka's server.properties."""
        self.properties_file.write_text(properties_text(properties))


def _try_lock(lock_fd: int) -> bool:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
