"""The whole job on a secured broker: each program as the user of its role, from cameras to the pages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.artifact import save_artifact
from models.locating.tiny import tiny_locator
from models.locator import save_locator
from streams.bus.security import read_password
from streams.roles import ROLES
from tests.models_fixture import tiny_artifact

FRAMES = 40
PROGRAMS = ("worker", "parts", "statistics", "sampler", "locate", "archive", "dashboard", "station")
STARTED_S = 200.0


def command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "streams.cli", *arguments, "--data-dir", str(home)]


def ran(home: Path, role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = ["--config", str(home / "security" / f"{role}.toml"), "--bootstrap-servers", address(home)]
    return subprocess.run(
        command(home, *arguments, *config), capture_output=True, text=True, timeout=120, env=environment()
    )


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("LINESIDE_")}


def address(home: Path) -> str:
    text = (home / "broker" / "server.properties").read_text()
    return text.partition("listeners=SASL_SSL://")[2].partition(",")[0]


def wait_until(up: subprocess.Popen[bytes], done: list[Path], said: Path) -> None:
    deadline_s = time.monotonic() + STARTED_S
    while not all(path.exists() for path in done):
        assert up.poll() is None, said.read_text()[-3000:]
        assert time.monotonic() < deadline_s, said.read_text()[-3000:]
        time.sleep(0.2)


@pytest.mark.timeout(500)
def test_every_program_does_its_job_with_the_rights_of_its_role(tmp_path: Path) -> None:
    home, model, said = tmp_path / "data", tmp_path / "model", tmp_path / "up.log"
    save_artifact(tiny_artifact(), model)
    save_locator(tiny_locator(), tmp_path / "where")
    options = ["--secure", "--keep", "--frames", str(FRAMES), "--rate", "0", "--model", str(model)]
    options += ["--locator", str(tmp_path / "where")]
    ports = ["--dashboard-port", "0", "--station-port", "0"]
    with said.open("wb") as output:
        up = subprocess.Popen(
            command(home, "up", *options, *ports),
            stdout=output,
            stderr=output,
            env=environment(),
            stdin=subprocess.PIPE,
        )
    try:
        wait_until(up, [home / "logs" / f"{program}.ready" for program in PROGRAMS], said)
        parts = ran(home, "auditor", "tail", "parts", "--from", "earliest", "--count", str(FRAMES), "--json")
        assert parts.returncode == 0, parts.stderr
        assert len({json.loads(line)["record"]["part_id"] for line in parts.stdout.splitlines()}) == FRAMES

        assert secrets_in_processes(home) == []
        assert not [line for line in logged(home) if "not allow" in line or "uthoriz" in line or "refuse" in line]
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.communicate(timeout=90)
        finally:
            up.kill()  # what it had begun ends with it
    assert not [line for line in said.read_text().splitlines() if "Traceback" in line]


def logged(home: Path) -> list[str]:
    return [line for file in (home / "logs").glob("*.log") for line in file.read_text().splitlines()]


def secrets_in_processes(home: Path) -> list[str]:
    """The processes whose command line or environment holds a password."""
    secrets = [read_password(home / "security" / f"{user}.password").encode() for user in ("admin", *ROLES)]
    found = []
    for name in ("cmdline", "environ"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            try:
                text = path.read_bytes()
            except OSError:  # ended meanwhile, or another's
                continue
            found += [str(path) for secret in secrets if secret in text]
    return found
