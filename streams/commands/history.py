"""`lineside query` and `lineside part`: questions to the archive and to what is not archived yet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from streams.archive.catalogue import where_there
from streams.archive.part import QUERIES, Step, in_order, is_about, step_of_event, step_of_row
from streams.archive.recent import recent
from streams.archive.session import MADE_OF, VIEWS, Narrow, ask, connect
from streams.bus.present import present
from streams.bus.registry_client import codec_for
from streams.commands.ui import Ui
from streams.errors import BrokerUnreachableError, CallerError
from streams.replay.prepare import recipe_book
from streams.settings import Settings
from streams.tail import safe
from streams.topics import AUDIT, CLAIMS, SAMPLES, Topic
from streams.whole_file import write_whole

log = logging.getLogger(__name__)
SHOWN = 1000  # rows on a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """What `lineside query` was asked for."""

    sql: str
    use_recent: bool = True
    as_json: bool = False
    out: Path | None = None


def query(settings: Settings, options: QueryOptions) -> None:
    """Ask, and show or write the answer."""
    with _session(settings, _named(options.sql), options.use_recent) as db:
        answer = ask(db, options.sql)
        if options.out:
            _write(options.out, answer.to_arrow_table())
            Ui().say(f"Written: {options.out}")
        elif options.as_json:
            for batch in answer.to_arrow_table().to_batches():
                for row in batch.to_pylist():
                    print(json.dumps(row, default=str))
        else:
            print(answer.limit(SHOWN))


def _named(sql: str) -> set[str]:
    """The views that SQL names; all of them where that can't be told."""
    with contextlib.suppress(duckdb.Error):
        named = set(duckdb.get_table_names(sql)) & set(VIEWS)
        return named.union(*(MADE_OF.get(name, ()) for name in named)) - MADE_OF.keys()
    return set(VIEWS) - MADE_OF.keys()


@contextlib.contextmanager
def _session(
    settings: Settings,
    names: set[str],
    use_recent: bool,
    narrow: Narrow = Narrow(),  # noqa: B008  # frozen
) -> Iterator[duckdb.DuckDBPyConnection]:
    with where_there(settings.archive_dir) as archive:
        tables: dict[str, pa.Table] = {}
        if use_recent:
            try:
                tables = asyncio.run(recent(settings, codec_for(settings), names, archive))
            except BrokerUnreachableError as error:
                if archive is None:
                    raise
                log.warning("what is not archived yet is left out: %s", error)
        with connect(archive, tables, narrow) as db:
            yield db


def _write(path: Path, table: pa.Table) -> None:
    writers = {".csv": pc.write_csv, ".parquet": pq.write_table}
    if path.suffix not in writers:
        raise CallerError(f"--out needs a name that ends in .csv or .parquet; came {path.name!r:.80}")
    try:
        write_whole(path, lambda beside: writers[path.suffix](table, beside))
    except OSError as error:
        raise CallerError(f"{path} can't be written: {error.strerror}") from error


def part(settings: Settings, part_id: str, as_json: bool) -> None:
    """Show a part's whole history; CallerError for one that nothing tells of."""
    steps = part_steps(settings, part_id)
    if as_json:
        print(json.dumps([step.to_json() for step in steps], indent=2, default=str))
        return
    rows = [
        (
            f"{step.at:%Y-%m-%d %H:%M:%S}",
            safe(f"{step.what}: {step.says}  [{step.topic} {step.partition}:{step.offset} {(step.sha256 or '')[:12]}]"),
        )
        for step in steps
    ]
    Ui(_stdout()).table(safe(f"Part {part_id}"), rows)


def part_steps(settings: Settings, part_id: str) -> list[Step]:
    """All that is known of a part, oldest first."""
    recipes = asyncio.run(recipe_book(settings, None))
    steps: list[Step] = []
    with _session(settings, set(QUERIES), True, Narrow(part_id=part_id)) as db:
        for table, sql in QUERIES.items():
            rows = db.sql(sql, params={"part": part_id}).to_arrow_table().to_pylist()
            steps += [step_of_row(table, row, recipes) for row in rows]
    if not steps:
        raise CallerError(f"nothing is known of a part {part_id!r:.100}, neither in the archive nor in the topics")
    ids = frozenset(str(step.more["verdict_id"]) for step in steps if step.topic == "verdicts")
    for topic in (SAMPLES, CLAIMS, AUDIT):
        steps += asyncio.run(_events(settings, topic, part_id, ids))
    return in_order(steps)


async def _events(settings: Settings, topic: Topic, part_id: str, ids: frozenset[str]) -> Sequence[Step]:
    found = present(settings, topic)
    return [step_of_event(topic.name, e) async for e in found if is_about(e.record, part_id, ids)]


def _stdout() -> Any:
    from rich.console import Console

    return Console(file=sys.stdout)
