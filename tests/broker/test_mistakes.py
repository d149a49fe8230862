"""A newcomer's mistakes: each answered by one clear sentence and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.artifact import save_artifact
from streams.bus.admin import ensure_topics
from streams.settings import Settings
from streams.topics import topic_specs
from tests.models_fixture import tiny_artifact

NOBODY = "127.0.0.1:1"


def lineside(*arguments: str | Path) -> tuple[int, str]:
    """Exit status and what stands on stderr."""
    command = [sys.executable, "-P", "-m", "streams.cli", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LINESIDE_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    return done.returncode, done.stderr


def one_sentence(came: tuple[int, str], *words: str) -> None:
    status, text = came
    lines = text.strip().splitlines()
    assert status == 2, text
    assert len(lines) == 1, text
    assert lines[0].startswith("lineside: ")
    assert all(word in lines[0] for word in words), text


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_artifact(tiny_artifact(), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gateway", "--source", "nosuch"], ["--source", "nosuch", "synthetic"]),
        (["gateway", "--source", "folder"], ["--folder"]),
        (["gateway", "--source", "folder", "--folder", "/no/such/folder"], ["/no/such/folder"]),
        (["up", "--source", "folder", "--folder", "/no/such/folder"], ["/no/such/folder"]),
        (["worker", "--model", "/no/such/model"], ["/no/such/model", "model.json"]),
        (["gateway", "--source", "synthetic", "--bootstrap-servers", "no:address"], ["no:address", "host:port"]),
        (["tail", "verdicts", "--bootstrap-servers", NOBODY], [NOBODY]),
        (["tail", "nosuch"], ["nosuch", "verdicts"]),
        (["topics", "--check", "--bootstrap-servers", NOBODY], [NOBODY]),
        (["up", "--log-level", "LOUD"], ["log_level", "LOUD"]),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else None,
)
def test_each_mistake_gets_one_sentence(tmp_path: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    one_sentence(lineside(*arguments, "--data-dir", tmp_path), *words)


def test_a_worker_without_a_broker(tmp_path: Path, model: Path) -> None:
    one_sentence(lineside("worker", "--model", model, "--bootstrap-servers", NOBODY, "--data-dir", tmp_path), NOBODY)


@pytest.mark.parametrize("command", [["up"], ["broker"], ["gateway", "--source", "synthetic"], ["train"]])
def test_a_data_directory_that_cannot_be_written(tmp_path: Path, command: Sequence[str]) -> None:
    (tmp_path / "file").touch()
    one_sentence(lineside(*command, "--data-dir", tmp_path / "file" / "data"), "data directory", "--data-dir")


async def test_topics_with_another_partition_count(
    bootstrap: str, topic_prefix: str, tmp_path: Path, model: Path
) -> None:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=3)
    await ensure_topics(bootstrap, topic_specs(settings))
    common = ["--bootstrap-servers", bootstrap, "--topic-prefix", topic_prefix, "--data-dir", tmp_path]
    for command in (["gateway", "--source", "synthetic"], ["worker", "--model", model], ["up", "--model", model]):
        one_sentence(lineside(*command, *common), "partitions must be 12, is 3")


def test_a_port_that_is_taken(bootstrap: str, tmp_path: Path) -> None:
    one_sentence(lineside("broker", "--port", bootstrap.rpartition(":")[2], "--data-dir", tmp_path), "port")
