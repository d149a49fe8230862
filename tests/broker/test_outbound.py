"""Nothing calls out: the programs of a line, training and a replay contact the configured Kafka, and nobody else."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from pathlib import Path

from models.artifact import save_artifact
from streams.settings import to_environment
from tests.broker.running import prepared, until_lag_is_zero
from tests.contacts import OWN, Watch
from tests.models_fixture import tiny_artifact

LINESIDE = (sys.executable, "-P", "-m", "streams.cli")
STRANGER = "192.0.2.1"  # TEST-NET-1: nobody has it

TRAINING = """
from dataclasses import replace
from tests.unit.test_train import SPEC, spot
from models.dataset import Example
from models.fit import FitSpec
from models.train import train
labels = ("good", "red", "good", "blue")
examples = [Example(spot(labels[n % 4], n), labels[n % 4], f"P{n}") for n in range(120)]
train(examples, replace(SPEC, fit=FitSpec(practice=0, epochs=1, shift=1)), lambda progress: None)
"""
PYTHON_CALLS_OUT = f"import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('{STRANGER}', 9))"
LOOKS_UP = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.getaddrinfo("telemetry.invalid", 443)
"""
NATIVE_CALLS_OUT = f"""
import ctypes, socket, struct, time
libc = ctypes.CDLL(None)
opened = socket.socket(type=socket.SOCK_DGRAM)
address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(9), socket.inet_aton("{STRANGER}"))
assert libc.connect(opened.fileno(), address, len(address)) == 0
time.sleep(1)
"""


async def test_programs_training_and_replay_contact_the_configured_kafka_alone(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    model = tmp_path / "model"
    save_artifact(tiny_artifact(), model)
    with Watch(tmp_path, to_environment(settings)) as watch:
        scope = ["--line", "line-1", "--station", "station-1", "--model", str(model)]
        pages = {
            "worker": ["--model", str(model), "--default-recipe", "--device", "openvino:CPU"],
            "dashboard": ["--port", "0"],
            "station": [*scope, "--port", "0"],
        }
        for name, options in pages.items():
            watch.start(name, [*LINESIDE, name, *options, "--ready-file", str(tmp_path / f"{name}.ready")])
        await asyncio.to_thread(watch.run, "training", [sys.executable, "-c", TRAINING])
        for name in pages:
            await _appears(tmp_path / f"{name}.ready", watch, name)
        source = ["--source", "synthetic", "--frames", "40", "--rate", "0", "--seed", "1"]
        await asyncio.to_thread(watch.run, "gateway", [*LINESIDE, "gateway", *source])
        await until_lag_is_zero(settings)
        for name, path in (
            ("dashboard", "/"),
            ("dashboard", "/api/verdicts"),
            ("dashboard", "/docs"),
            ("station", "/"),
        ):
            address = (tmp_path / f"{name}.ready").read_text()
            assert await asyncio.to_thread(_get, address + path), path
        replay = [
            "replay",
            "--no-yield",
            "--from",
            "1h",
            "--model",
            str(model),
            "--recipe",
            "model",
            "--run",
            "again",
            "--json",
        ]
        await asyncio.to_thread(watch.run, "replay", [*LINESIDE, *replay])
    host, _, port = bootstrap.rpartition(":")
    assert {contact for contact in watch.contacts if contact[1] != "name"} == {(host, port)}
    assert {name for name, kind in watch.contacts if kind == "name"} <= OWN
    assert json.loads(watch.log("replay")[watch.log("replay").index("{") :])  # it was no empty run


async def test_who_calls_out_is_seen_be_it_python_or_native_code(tmp_path: Path) -> None:
    for name, program in (("python", PYTHON_CALLS_OUT), ("native", NATIVE_CALLS_OUT)):
        folder = tmp_path / name
        folder.mkdir()
        with Watch(folder, {}) as watch:
            watch.run(name, [sys.executable, "-c", program])
        assert watch.contacts == {(STRANGER, "9")}, name


async def test_a_look_up_of_a_name_is_seen(tmp_path: Path) -> None:
    with Watch(tmp_path, {}) as watch:
        watch.run("name", [sys.executable, "-c", LOOKS_UP])
    assert watch.contacts == {("telemetry.invalid", "name")}


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        return bytes(response.read())


async def _appears(path: Path, watch: Watch, name: str) -> None:
    async with asyncio.timeout(120):
        while not path.exists():
            assert watch.is_running(name), watch.log(name)
            await asyncio.sleep(0.1)
