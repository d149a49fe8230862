"""The systemd units: systemd understands them, and what they start exists in the command line with these options."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer

from streams.app import DRAIN_TIMEOUT_S
from streams.cli import app

UNITS = Path(__file__).parents[2] / "infra/systemd"
COMMON = UNITS / "lineside-.service.d/10-common.conf"
STARTS = sorted(path for path in UNITS.rglob("*") if path.is_file() and "\nExecStart=/" in path.read_text())
PROGRAMS = {
    "archive",
    "broker",
    "dashboard",
    "drift",
    "gateway",
    "guard",
    "locate",
    "parts",
    "sampler",
    "shadow",
    "station",
    "statistics",
    "worker",
}


def command_lines(path: Path) -> list[list[str]]:
    return [line.split() for line in re.findall(r"^ExecStart=(/.+)$", path.read_text(), re.M)]


def common() -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(COMMON.read_text())
    return dict(parser["Service"])


@pytest.mark.parametrize("path", STARTS, ids=lambda path: path.name)
def test_what_a_unit_starts_exists_with_its_options(path: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for _, name, *words in command_lines(path):
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known
        if texts := re.findall(rf"^# LINESIDE_{name.upper()}_OPTIONS such as: (.+)$", path.read_text(), re.M):
            assert set(re.findall(r"--[\w-]+", texts[0])) <= known, "the example in the comment"


def test_every_program_has_a_unit() -> None:
    assert {words[1] for path in UNITS.glob("*.service") for words in command_lines(path)} == PROGRAMS


def test_a_drain_fits_into_the_stop_and_nothing_stays_down() -> None:
    settings = common()
    assert float(settings["TimeoutStopSec"]) > DRAIN_TIMEOUT_S
    assert (settings["Restart"], settings["Type"], settings["KillMode"]) == ("always", "notify", "mixed")
    assert float(settings["RestartSec"]) <= 5
    assert "StartLimitIntervalSec=0" in COMMON.read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not there")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    units = shutil.copytree(UNITS, tmp_path / "units")
    for path in units.rglob("*.service"):
        path.write_text(path.read_text().replace("/opt/lineside/.venv/bin/lineside", sys.executable))
        if path.stem.endswith("@"):
            shutil.copy(path, path.with_name(f"{path.stem}1.service"))
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    names = [str(path) for path in sorted(units.glob("lineside*")) if path.is_file() and not path.stem.endswith("@")]

    def verify() -> str:
        command = ["systemd-analyze", "verify", "--man=no", *names]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        return "\n".join(line for line in done.stderr.splitlines() if "lineside" in line)

    assert verify() == ""
    with (units / COMMON.parent.name / COMMON.name).open("a") as file:
        file.write("[Service]\nRestrat=always\n")
    assert "Restrat" in verify(), "and it would tell"
