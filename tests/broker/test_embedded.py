"""The embedded Kafka as a process: its starts and stops, its data, its sockets, its end when its parent ends."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.bus import embedded
from streams.bus.admin import wait_for_broker
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.kafka_aot import aot_file, make_aot_file
from streams.bus.kafka_jars import ensure_jars
from streams.errors import BrokerUnreachableError, CallerError, OperatorError
from tests.frozen import freeze

PARENT = """
import signal, sys, time
from pathlib import Path
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from tests.frozen import freeze
broker = EmbeddedBroker(BrokerConfig(Path(sys.argv[1])))
broker.start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests started in the background inherit that it is ignored
try:  # from before the first word that the test waits for: its signal may come with it
    print(broker.pid, broker.bootstrap_servers, flush=True)
    if "fork" in sys.argv:  # a forked child keeps all file descriptors open
        import os
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    time.sleep(60)
except KeyboardInterrupt:
    print("draining", flush=True)
    time.sleep(2)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while is_alive(pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return not is_alive(pid)


def sockets_of(pid: int) -> list[tuple[str, str]]:
    """(local address in hex, state) of every TCP and UDP socket of a process, from /proc."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", str(fd.readlink())))
        except FileNotFoundError:
            continue
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.append((fields[1], fields[3]))
    return found


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running broker that stays up."""
    with EmbeddedBroker(BrokerConfig(tmp_path_factory.mktemp("broker"))) as running:
        yield running


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker that the test may stop and kill."""
    broker = EmbeddedBroker(BrokerConfig(tmp_path / "data"))
    yield broker
    broker.stop()


async def publish(bootstrap: str, topic: str, values: list[bytes]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]


async def test_it_listens_on_loopback_alone(broker: EmbeddedBroker) -> None:
    addresses = {address.partition(":")[0] for address, _state in sockets_of(broker.pid)}
    assert addresses == {"0100007F"}  # 127.0.0.1, the bytes turned round; no tcp6, no udp
    listening = [address for address, state in sockets_of(broker.pid) if state == "0A"]
    assert len(listening) == 2  # records and controller; no JMX
    assert f":{int(broker.bootstrap_servers.rpartition(':')[2]):04X}" in {address[8:] for address in listening}


async def test_starting_a_running_broker_changes_nothing(broker: EmbeddedBroker) -> None:
    pid = broker.pid
    assert broker.start() == broker.bootstrap_servers
    assert broker.pid == pid


def test_its_memory_is_bounded(broker: EmbeddedBroker) -> None:
    command = Path(f"/proc/{broker.pid}/cmdline").read_text().split("\0")
    assert "-Xmx512m" in command
    rss_kb = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{broker.pid}/status").read_text()).group(1))
    assert rss_kb < 900_000


def test_it_logs_to_its_file_and_says_nothing_else(broker: EmbeddedBroker) -> None:
    log = broker.log_file.read_text()
    assert re.search(r"^\d{4}-\d\d-\d\dT.* INFO .*Kafka Server started", log, re.MULTILINE)
    assert (broker.log_file.parent / "broker.out").read_text() == ""


async def test_records_and_cluster_outlive_a_clean_stop_and_a_kill(own_broker: EmbeddedBroker, tmp_path: Path) -> None:
    first = own_broker.start()
    cluster_id = await wait_for_broker(first)
    await publish(first, "kept", [b"one", b"two"])
    own_broker.stop()
    own_broker.stop()
    assert not own_broker.is_running
    with pytest.raises(BrokerUnreachableError):
        await wait_for_broker(first, timeout_s=0.3)

    second = own_broker.start()
    assert await wait_for_broker(second) == cluster_id
    await publish(second, "kept", [b"three"])
    own_broker.kill()

    third = own_broker.start()
    assert await wait_for_broker(third) == cluster_id
    assert await read(third, "kept", 3) == [b"one", b"two", b"three"]
    assert not (tmp_path / "data" / "kafka.new").exists()


async def test_a_random_cluster_id_may_begin_with_a_dash(
    own_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in 64 does; Kafka's tool must not take it for an option."""
    monkeypatch.setattr("streams.bus.broker_folder.uuid.uuid4", lambda: uuid.UUID(bytes=b"\xfb" + bytes(15)))
    assert (await wait_for_broker(own_broker.start())).startswith("-")


async def test_the_configured_port_is_kept_and_a_second_broker_on_its_data_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.bus.broker_folder.PREVIOUS_BROKER_ENDS_S", 0.2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with EmbeddedBroker(BrokerConfig(tmp_path / "dätä dir", port=port)) as broker:
        assert broker.bootstrap_servers == f"127.0.0.1:{port}"
        with pytest.raises(CallerError, match=rf"in use by another broker \(process {broker.pid}\); stop that one"):
            EmbeddedBroker(BrokerConfig(tmp_path / "dätä dir")).start()
        with pytest.raises(CallerError, match=rf"can't listen at 127\.0\.0\.1:{port}: taken .*name another port"):
            EmbeddedBroker(BrokerConfig(tmp_path / "other", port=port)).start()
        assert broker.is_running


async def test_a_port_taken_between_the_choice_and_the_start_gives_way_to_the_next(
    own_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose, choices = embedded._choose_ports, []
    with socket.create_server(("127.0.0.1", 0)) as other:

        def choose_badly_once(*ports: int) -> list[int]:
            choices.append(choose(*ports))
            return [other.getsockname()[1], *choices[0][1:]] if len(choices) == 1 else choices[-1]

        monkeypatch.setattr(embedded, "_choose_ports", choose_badly_once)
        own_broker.start()
    assert len(choices) == 2
    assert own_broker.bootstrap_servers == f"127.0.0.1:{choices[1][0]}"


async def test_one_that_hangs_runs_and_does_not_answer(own_broker: EmbeddedBroker) -> None:
    own_broker.start()
    assert await own_broker.answers()
    freeze(own_broker.pid)
    assert not await own_broker.answers(0.5)
    assert own_broker.is_running
    os.kill(own_broker.pid, signal.SIGCONT)
    assert await own_broker.answers(5)
    own_broker.kill()
    assert not await own_broker.answers(0.5)


async def test_one_that_can_not_be_asked_is_not_taken_for_one_that_hangs(
    own_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unasked(address: str, timeout_s: float) -> str:
        raise OperatorError("the node's certificate can't be read")

    monkeypatch.setattr(embedded, "wait_for_broker", unasked)
    assert await own_broker.answers()


def test_a_broker_that_does_not_come_up_leaves_no_process(own_broker: EmbeddedBroker) -> None:
    with pytest.raises(OperatorError, match=r"did not answer at 127\.0\.0\.1:\d+ within 0.05 s; look into"):
        own_broker.start(timeout_s=0.05)
    assert not is_alive(own_broker.pid)


def test_a_kafka_that_ends_at_its_start_is_quoted(own_broker: EmbeddedBroker, tmp_path: Path) -> None:
    own_broker.start()
    own_broker.stop()
    meta = tmp_path / "data/kafka/meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(OperatorError, match=r"Kafka ended .*\(status 1\): .*node.id.*; its log is .*broker\.log"):
        own_broker.start()


@pytest.mark.parametrize("below", ["a file", "a file/data"])
def test_a_data_directory_that_cant_be_written_is_one_clear_sentence(tmp_path: Path, below: str) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(CallerError, match=r"^the data directory .* can't be written \((File exists|Not a directory)"):
        EmbeddedBroker(BrokerConfig(tmp_path / below)).start()


@pytest.mark.parametrize(("wrong", "said"), [({"port": 70000}, "port"), ({"heap_mb": 1}, "heap_mb")])
def test_a_wrong_configuration_is_refused_with_what_came(tmp_path: Path, wrong: dict[str, int], said: str) -> None:
    with pytest.raises(CallerError, match=rf"{said} must be .*; came {next(iter(wrong.values()))}"):
        BrokerConfig(tmp_path, **wrong)


def end(parent: subprocess.Popen[str], broker_pid: int) -> None:
    """Leaves nothing behind, whatever the test found."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    if is_alive(broker_pid):
        os.kill(broker_pid, signal.SIGKILL)
    assert parent.stdout is not None
    parent.stdout.close()


def start_parent(data_dir: Path, *how: str) -> tuple[subprocess.Popen[str], int, str]:
    """A program of its own that starts a broker, in its own process group as a terminal would have it."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data_dir), *how], stdout=subprocess.PIPE, text=True, process_group=0
    )
    assert parent.stdout is not None
    pid, bootstrap = parent.stdout.readline().split()
    return parent, int(pid), bootstrap


@pytest.mark.parametrize("how", ["", "fork"])
def test_the_broker_stops_cleanly_soon_after_its_parent_was_killed(tmp_path: Path, how: str) -> None:
    parent, pid, _ = start_parent(tmp_path, how)
    try:
        parent.kill()
        parent.wait()
        assert wait_until_gone(pid, 10)
        assert "shut down completed" in (tmp_path / "broker.log").read_text()
    finally:
        end(parent, pid)


async def test_a_ctrl_c_on_the_terminal_leaves_the_broker_to_its_parent(tmp_path: Path) -> None:
    parent, pid, bootstrap = start_parent(tmp_path)
    try:
        os.killpg(parent.pid, signal.SIGINT)  # what a terminal does: the whole foreground group
        assert parent.stdout is not None
        assert parent.stdout.readline() == "draining\n"
        assert await wait_for_broker(bootstrap)
        await asyncio.to_thread(parent.wait)  # its drain is over, it ends without stopping the broker
        assert wait_until_gone(pid, 10)
    finally:
        end(parent, pid)


def test_it_starts_with_the_ahead_of_time_cache_of_its_jars(broker: EmbeddedBroker) -> None:
    file = make_aot_file()
    assert file == aot_file(ensure_jars())
    assert f"-XX:AOTCache={file}".encode() in Path(f"/proc/{broker.pid}/cmdline").read_bytes().split(b"\0")
    assert str(file) in Path(f"/proc/{broker.pid}/maps").read_text(), "Java refused it"


def test_a_cache_whose_bytes_have_rotted_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars = ensure_jars()
    whole, at = aot_file(jars).read_bytes(), 20_000_000
    (cache := tmp_path / "cache/lineside").mkdir(parents=True)
    (cache / jars[0].parent.name).symlink_to(jars[0].parent)
    (cache / aot_file(jars).name).write_bytes(
        whole[:at] + bytes(b ^ 0xFF for b in whole[at : at + 100]) + whole[at + 100 :]
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    with EmbeddedBroker(BrokerConfig(tmp_path / "broker")) as broker:
        assert str(cache) in Path(f"/proc/{broker.pid}/cmdline").read_text()
        asyncio.run(wait_for_broker(broker.bootstrap_servers, 5.0))
