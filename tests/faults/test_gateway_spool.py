"""What a gateway took over is on the topic, in order, whatever is stopped, frozen or killed: it or its broker.

broker   ·········━━━━━━━━✗·········━━━━━━━frozen━━━━━▶stop··━━━━▶      a broker of its own, at one address
gateway  ━━━━━━✗━━━━━━━━━━━━━━━━✗━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▶|    `lineside gateway` on a watched folder
files    ═══════════════════════════════════════════════════════        journal: what was taken over
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.codec import Codec, CommittedSource
from schemas.records import FrameCaptured
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.capture.frames import frame_captured, key_of
from streams.errors import OperatorError
from streams.settings import Settings, to_environment
from streams.topics import FRAMES, topic_specs
from tests.faults.ledger import read_all
from tests.frozen import freeze
from tests.gateways import shot

FILES_PER_S = 50
LINES = 3
ALL_SENT = "the spool is sent; frames go directly to the broker again"


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """Not started; it comes back at the same address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    broker = EmbeddedBroker(BrokerConfig(tmp_path / "kafka", port=port, heap_mb=256))
    yield broker
    if broker.is_running:
        os.kill(broker.pid, signal.SIGCONT)  # a test may have ended while it was frozen
    broker.stop()


@pytest.fixture
def settings(own_broker: EmbeddedBroker, tmp_path: Path) -> Settings:
    address = f"127.0.0.1:{own_broker.config.port}"
    return Settings(bootstrap_servers=address, data_dir=tmp_path / "data", partitions=3, broker_silence_s=1.0)


class GatewayProcess:
    """`lineside gateway`; what it says goes to `log`."""

    def __init__(self, settings: Settings, *arguments: str | Path) -> None:
        self._environment = {**os.environ, **to_environment(settings)}
        self._command = [sys.executable, "-P", "-m", "streams.cli", "gateway", *map(str, arguments)]
        self._process: subprocess.Popen[bytes] | None = None
        settings.data_dir.mkdir(exist_ok=True)
        self._file = settings.data_dir / "gateway.log"

    @property
    def log(self) -> str:
        return self._file.read_text()

    def start(self) -> None:
        with self._file.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, env=self._environment)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        assert self._process.wait(10) == -signal.SIGKILL

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.to_thread(self._process.wait, 20)

    def clear_away(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Camera:
    """Writes files without end, a few lines in turn."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.written = folder, 0
        folder.mkdir()
        self._pictures = [_png(n) for n in range(16)]

    async def run(self) -> None:
        while True:
            name = f"line-{self.written % LINES + 1}_p{self.written:05d}.png"
            beside = self.folder / f".{name}"
            beside.write_bytes(self._pictures[self.written % 16])
            beside.rename(self.folder / name)
            self.written += 1
            await asyncio.sleep(1 / FILES_PER_S)


def _png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def taken_over(settings: Settings) -> set[str]:
    """Files that the gateway noted as taken over, by the broker or by the spool."""
    found = set()
    for journal in (settings.data_dir / "gateway").glob("*.journal"):
        for line in journal.read_text().splitlines():
            try:
                found.add(json.loads(line)[0])
            except ValueError:  # being written
                continue
    return found


async def until(ready: Callable[[], object], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not ready():
            await asyncio.sleep(0.02)


async def topic(settings: Settings) -> dict[int, list[FrameCaptured]]:
    """All frames of the topic by partition, in order."""
    codec, log = Codec(CommittedSource()), defaultdict(list)
    await read_all(settings, FRAMES, lambda p, _offset, value: log[p].append(codec.decode(value, FrameCaptured)))
    return log


def files_on(log: dict[int, list[FrameCaptured]]) -> set[str]:
    return {frame.attributes["file"] for partition in log.values() for frame in partition}


def order_breaks(log: dict[int, list[FrameCaptured]]) -> list[str]:
    """Frames that came, for the first time, behind a later one of their camera."""
    breaks, seen, newest = [], set(), defaultdict(int)
    for frame in (frame for partition in log.values() for frame in partition):
        if frame.frame_id not in seen:
            camera = f"{frame.line}/{frame.station}/{frame.camera}"
            if frame.trigger_seq <= newest[camera]:
                breaks.append(f"{camera}: {frame.trigger_seq} behind {newest[camera]}")
            newest[camera] = frame.trigger_seq
            seen.add(frame.frame_id)
    return breaks


def contradictions(log: dict[int, list[FrameCaptured]]) -> int:
    """Frame ids whose copies differ in more than the time of sending."""
    said = defaultdict(set)
    for frame in (frame for partition in log.values() for frame in partition):
        said[frame.frame_id].add(repr(dataclasses.replace(frame, gateway_ms=0)))
    return sum(len(variants) > 1 for variants in said.values())


async def mistreat(broker: EmbeddedBroker, gateway: GatewayProcess, settings: Settings) -> None:
    """The timeline above. Every wait is for the gateway to take over so many more files."""

    async def taken(count: int) -> None:
        wanted = len(taken_over(settings)) + count
        await until(lambda: len(taken_over(settings)) >= wanted)

    gateway.start()
    await taken(80)
    gateway.kill()
    await asyncio.to_thread(broker.start)
    await ensure_topics(settings.bootstrap, topic_specs(settings))
    gateway.start()
    await taken(120)
    broker.kill()
    await taken(60)
    gateway.kill()
    await asyncio.to_thread(broker.start)
    gateway.start()
    await taken(120)
    freeze(broker.pid)
    await taken(60)
    sent = gateway.log.count(ALL_SENT)
    os.kill(broker.pid, signal.SIGCONT)
    await until(lambda: gateway.log.count(ALL_SENT) > sent)
    await taken(60)
    await asyncio.to_thread(broker.stop)
    await taken(60)
    await asyncio.to_thread(broker.start)


async def test_nothing_taken_over_is_lost_when_broker_and_gateway_are_killed_frozen_and_stopped(
    own_broker: EmbeddedBroker, settings: Settings, tmp_path: Path
) -> None:
    camera = Camera(tmp_path / "shots")
    options = ["--source", "folder", "--folder", camera.folder, "--watch", "--name-pattern", "{line}_{part_id}.{ext}"]
    gateway = GatewayProcess(settings, *options)
    writing = asyncio.create_task(camera.run())
    try:
        await mistreat(own_broker, gateway, settings)
        writing.cancel()
        files = {file.name for file in camera.folder.glob("*.png")}
        await until(lambda: taken_over(settings) >= files)
        while files_on(await topic(settings)) < files:
            await asyncio.sleep(0.2)
        assert await gateway.stop() == 0, gateway.log[-2000:]
    finally:
        writing.cancel()
        gateway.clear_away()

    log = await topic(settings)
    assert files_on(log) == files
    assert len(files) >= 560
    assert order_breaks(log) == []
    assert contradictions(log) == 0
    assert gateway.log.count("frames can't be sent now, they go to the spool") >= 4, gateway.log
    assert "Traceback" not in gateway.log
    assert "never retrieved" not in gateway.log
    assert list(settings.spool_folder.glob("*.spool")) == []


async def test_a_publisher_that_is_aborted_is_gone_for_good(own_broker: EmbeddedBroker, settings: Settings) -> None:
    """The broker is frozen with frames under way; when it goes on, the next producer's frames keep the order."""
    await asyncio.to_thread(own_broker.start)
    await ensure_topics(settings.bootstrap, topic_specs(settings))
    before, codec = asyncio.all_tasks(), codec_for(settings)
    shots = [shot(n, data=bytes(200_000)) for n in range(60)]
    frames = [frame_captured(each, n, gateway_ms=0) for n, each in enumerate(shots, 1)]
    first = Publisher(settings.bootstrap, settings.topic_prefix, codec)
    await first.start()
    await (await first.send(FRAMES, frames[0], key=key_of(shots[0])))
    freeze(own_broker.pid)
    sending = asyncio.create_task(_send_all(first, frames[1:40]))
    await asyncio.sleep(0.3)
    async with asyncio.timeout(2):
        await first.abort()
        with pytest.raises(OperatorError):
            await sending
    assert first.pending == 0
    assert asyncio.all_tasks() == before
    os.kill(own_broker.pid, signal.SIGCONT)

    second = Publisher(settings.bootstrap, settings.topic_prefix, codec)
    await second.start()
    await _send_all(second, frames[1:])
    await second.stop()
    assert asyncio.all_tasks() == before
    log = await topic(settings)
    assert len({frame.frame_id for partition in log.values() for frame in partition}) == 60
    assert order_breaks(log) == []


async def _send_all(publisher: Publisher, frames: list[FrameCaptured]) -> None:
    deliveries = [await publisher.send(FRAMES, frame, key=b"plant/line-1/station-1") for frame in frames]
    await asyncio.gather(*deliveries)


async def test_a_gateway_without_a_broker_says_how_many_frames_wait_and_whether_some_were_refused(
    tmp_path: Path,
) -> None:
    settings = Settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path / "data")
    options = ["--source", "synthetic", "--frames", "30", "--rate", "100", "--distinct", "4", "--json"]
    gateway = GatewayProcess(settings, *options)
    try:
        gateway.start()
        await until(lambda: "nothing more is captured; 30 frames wait for the broker" in gateway.log)
        assert await gateway.stop() == 0, gateway.log
        assert "no Kafka at 127.0.0.1:1" in gateway.log
        assert f"30 frames wait in the spool {settings.spool_folder}; the next start sends them first" in gateway.log

        small = GatewayProcess(dataclasses.replace(settings, spool_max_bytes=2 << 20), *options)
        small.start()
        await until(lambda: "nothing more is captured; " in small.log.partition('"captured": 30')[2])
        assert await small.stop() == 1, small.log
    finally:
        gateway.clear_away()
    assert "raise LINESIDE_SPOOL_MAX_BYTES" in small.log
    assert "frames were refused, see above" in small.log
    assert "Traceback" not in small.log
