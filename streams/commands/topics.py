"""`lineside topics`: the table of topics shown, created in Kafka, or compared with it."""

from __future__ import annotations

import asyncio
import dataclasses
import json

from rich.console import Console
from rich.table import Table

from streams.bus.admin import check_topics, ensure_topics
from streams.bus.registry_client import registry_source
from streams.settings import Settings
from streams.topics import TopicSpec, topic_specs


async def manage(settings: Settings, create: bool, check: bool, as_json: bool) -> int:
    """The exit status: 1 where `check` found a difference."""
    specs = topic_specs(settings)
    if create:
        await ensure_topics(settings.bootstrap, specs)
        if settings.schema_registry_url:
            await asyncio.to_thread(registry_source(settings).register_schemas)
    differences = await check_topics(settings.bootstrap, specs) if check else []
    if as_json:
        rows = [dataclasses.asdict(spec) for spec in specs]
        print(json.dumps({"topics": rows, "differences": [dataclasses.asdict(d) for d in differences]}, indent=2))
    else:
        Console().print(_table(specs))
        for difference in differences:
            print(difference)
    return 1 if differences else 0


def _table(specs: tuple[TopicSpec, ...]) -> Table:
    table = Table()
    for column in ("topic", "partitions", "replication", "kept", "largest event"):
        table.add_column(column)
    for spec in specs:
        kept = "for ever" if spec.retention_ms < 0 else f"{spec.retention_ms // 86_400_000} d"
        size = f"{spec.max_message_bytes / (1 << 20):.0f} MiB"
        table.add_row(spec.name, str(spec.partitions), str(spec.replication), kept, size)
    return table
