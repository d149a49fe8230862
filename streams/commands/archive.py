"""`lineside archive`: history beyond Kafka's retention, written as its periods close; shown; verified."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from streams.archive.archiver import Archiver, open_archiver
from streams.archive.catalogue import Catalogue
from streams.archive.log import TopicLog
from streams.archive.tables import PICTURES, TABLES
from streams.archive.verify import Verified, verify
from streams.bus.admin import require_topics
from streams.bus.registry_client import codec_for
from streams.commands.ui import Ui
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs


async def run_archive(settings: Settings, once: bool, as_json: bool, on_ready: Callable[[], None]) -> None:
    """Archive until SIGTERM or Ctrl-C, or with `once` what is closed by now."""
    if once:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        async with open_archiver(settings) as archiver:
            await _catch_up(archiver, Ui())
        show_archive(settings.archive_dir, as_json)
        return
    stop = asyncio.Event()
    async with monitored(settings, "archive") as monitor:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        async with open_archiver(settings) as archiver:
            monitor.watch(archiver.work)
            with stop_on_signals(stop):
                on_ready()
                await archiver.run(stop)


async def _catch_up(archiver: Archiver, ui: Ui) -> None:
    with ui.bars() as make:
        bars = {name: make(name, None) for name in TABLES}
        done = dict.fromkeys(TABLES, 0)
        last = dict.fromkeys(TABLES, (0, 0))

        def on_period(topic: str, end_ms: int, read: int) -> None:
            before_end, before_read = last[topic]
            done[topic] += read - (before_read if end_ms == before_end else 0)
            last[topic] = (end_ms, read)
            bars[topic](done[topic], f"until {_time(end_ms)}")

        await archiver.catch_up(on_period)


def show_archive(folder: Path, as_json: bool) -> None:
    """What the archive holds, by table."""
    with Catalogue(folder) as catalogue:
        held = {}
        for name in (*TABLES, PICTURES):
            files = catalogue.files(name)
            until = catalogue.archived_until_ms(name) if name in TABLES else 0
            held[name] = {
                "rows": sum(file.rows for file in files),
                "files": len(files),
                "bytes": sum(file.bytes for file in files),
                "days": sorted({file.day for file in files}),
                "until": _time(until) if until else None,
            }
    if as_json:
        print(json.dumps({"folder": str(folder), "tables": held}, indent=2))
        return
    rows = [(name, _line(figures)) for name, figures in held.items()]
    Ui().table(f"Archive · {folder}", rows)


def _line(held: dict[str, object]) -> str:
    days = held["days"]
    assert isinstance(days, list)
    span = f"{days[0]} to {days[-1]}" if days else "nothing yet"
    size = int(str(held["bytes"])) / 2**20
    until = f", until {held['until']}" if held["until"] else ""
    return f"{held['rows']} rows, {held['files']} files, {size:.1f} MiB, {span}{until}"


async def verify_archive(settings: Settings, as_json: bool) -> bool:
    """Compare the archive with the topics; False where anything differs."""
    codec, ui = codec_for(settings), Ui()
    found: list[Verified] = []
    with Catalogue(settings.archive_dir) as catalogue, ui.bars() as make:
        for name, table in TABLES.items():
            bar, total = make(name, None), sum(1 for _ in catalogue.stretches(name))
            async with TopicLog(settings, codec, table.topic) as topic_log:
                found.append(await verify(catalogue, topic_log, lambda done, b=bar, t=total: b(done, total=t)))  # type: ignore[misc]
    if as_json:
        print(json.dumps([asdict(topic) for topic in found], indent=2))
    else:
        ui.table(
            "Archive against topics",
            [
                (
                    topic.topic,
                    f"{topic.rows} rows in {topic.stretches} stretches, {topic.compared} of them compared with the"
                    f" topic, {topic.files} files: "
                    + ("the same" if not topic.differences else f"{len(topic.differences)} differences"),
                )
                for topic in found
            ],
        )
        for topic in found:
            for difference in topic.differences:
                ui.say(f"  {difference}")
    return not any(topic.differences for topic in found)


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
