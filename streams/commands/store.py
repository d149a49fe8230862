"""`lineside store gc|show`: removes pictures that nothing needs; shows what the frame store holds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from streams.archive.catalogue import Catalogue
from streams.bus.admin import require_topics, wait_for_broker
from streams.bus.connect import ANSWER_TIMEOUT_S
from streams.commands.ui import Advance, MakeBar, Ui
from streams.errors import CallerError, OperatorError
from streams.settings import Settings
from streams.store import FrameStore, StoreUnavailableError
from streams.store_gc import (
    ARCHIVE,
    DAY_S,
    MIN_AGE_S,
    Candidates,
    Collected,
    Progress,
    archive_fact,
    by_extension,
    check_read,
    check_ties,
    collect,
    topics_fact,
)
from streams.store_names import SOURCES, archive_is_in, archived_refs, read_topic
from streams.tail import AGO, SECONDS
from streams.topics import frames_of, topic_specs

REPORT_EVERY = 1000  # references
NONE = "none"  # no archive
Archived = Callable[[Path], Iterable[str]]


@dataclass(frozen=True, slots=True)
class GcOptions:
    """How `lineside store gc` was called."""

    min_age_s: int = 8 * DAY_S
    dry_run: bool = False
    as_json: bool = False
    archives: tuple[str, ...] = ()  # of pools, as POOL=FOLDER


def parse_age(text: str) -> int:
    """Seconds of an age such as 8d or 36h; CallerError for what is none, and for less than a day."""
    match = AGO.fullmatch(text.strip())
    if match is None:
        raise CallerError(f"--min-age must be a number with s, m, h or d, such as 8d; came {text!r:.40}")
    age_s = int(match[1]) * SECONDS[match[2]]
    if age_s < MIN_AGE_S:
        raise CallerError(f"--min-age must be at least 1d: pictures are put before events name them; came {text}")
    return age_s


def archives_of(settings: Settings, given: Sequence[str]) -> dict[str, Path]:
    """Where the archive of each pool is, and by no name that of lines in none; CallerError unless all are named.

    Each pool must be: a picture that an archive names, and nobody was told of, would be lost.
    """
    if settings.pool:
        raise CallerError("the frame store is collected for all pools at once: unset LINESIDE_POOL")
    said, pools = dict(text.partition("=")[::2] for text in given), settings.pool_names[1:]
    if unknown := sorted(said.keys() - set(pools)):
        raise CallerError(f"--archive is POOL=FOLDER with a pool of LINESIDE_POOLS; came {unknown[0]!r:.80}")
    if empty := [pool for pool in pools if not said.get(pool, NONE)]:
        raise CallerError(f"--archive {empty[0]}= names no folder")
    if missing := sorted(set(pools) - said.keys()):
        raise CallerError(
            f"say where the archive of pool {missing[0]} is, by --archive {missing[0]}=FOLDER, or that it has none, by "
            f"--archive {missing[0]}={NONE}: pictures that an archive names are kept"
        )
    return {"": settings.archive_dir} | {pool: Path(folder) for pool, folder in said.items() if folder != NONE}


def collect_garbage(
    settings: Settings, options: GcOptions, ui: Ui | None = None, archived: Archived = archived_refs
) -> Collected:
    """One collection of the settings' frame store, with its report. `archived` gives what an archive names."""
    ui, archives = ui or Ui(), archives_of(settings, options.archives)
    before_s = time.time() - options.min_age_s
    with _reaching_store():
        store = FrameStore(settings.frame_store_url)
        naming = _Naming(settings, store, archives, archived, options.dry_run)
        with ui.bars() as make:
            progress = _progress(make)
            collected = collect(
                store, before_s, lambda c: naming.name_all(c, progress), progress, dry_run=options.dry_run
            )
    if options.as_json:
        print(json.dumps({"store": store.base, "dry_run": options.dry_run, **asdict(collected)}, indent=2))
    else:
        ui.table(f"Frame store · {store.base}", list(_rows(collected, options.dry_run)))
    return collected


class _Naming:
    """Everything that names pictures, read once, with the checks that it is what the store is collected for."""

    def __init__(
        self, settings: Settings, store: FrameStore, archives: Mapping[str, Path], archived: Archived, dry_run: bool
    ) -> None:
        self._settings = settings
        self._store = store
        self._archives = archives
        self._archived = archived
        self._dry_run = dry_run

    def name_all(self, candidates: Candidates, progress: Progress) -> None:
        """Names what is needed. Any failure raises, and then nothing is removed."""
        settings = self._settings
        cluster = asyncio.run(_cluster(settings))
        mine = topics_fact(cluster, settings.topic_prefix)
        there = {pool: folder for pool, folder in self._archives.items() if archive_is_in(folder)}
        gone = {archive_fact(pool): str(folder) for pool, folder in self._archives.items() if pool not in there}
        check_ties(self._store, mine, gone)
        for pool, folder in there.items():
            with Catalogue(folder) as catalogue:
                catalogue.belongs_to(cluster, settings.topic_prefix + pool)
        events = asyncio.run(_read(settings, candidates, progress))
        count = self._name_archived(there.values(), candidates, progress)
        check_read(self._store, mine, events + count)
        if not self._dry_run:
            for fact in (mine, *map(archive_fact, there)):
                self._store.note(fact)

    def _name_archived(self, folders: Iterable[Path], candidates: Candidates, progress: Progress) -> int:
        count = 0
        for count, reference in enumerate(chain.from_iterable(map(self._archived, folders)), 1):
            candidates.name(ARCHIVE, reference.encode())
            if count % REPORT_EVERY == 0:
                progress(ARCHIVE, count, 0)
        progress(ARCHIVE, count, count)
        return count


async def _cluster(settings: Settings) -> str:
    cluster = await wait_for_broker(settings.bootstrap, ANSWER_TIMEOUT_S)
    await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
    return cluster


async def _read(settings: Settings, candidates: Candidates, progress: Progress) -> int:
    events = 0
    for topic in (*map(frames_of, settings.pool_names), *SOURCES):
        name = topic.name
        events += await read_topic(
            settings,
            topic,
            lambda value, name=name: candidates.name(name, value),  # type: ignore[misc]
            lambda done, total, name=name: progress(name, done, total),  # type: ignore[misc]
        )
    return events


def show_store(settings: Settings, as_json: bool, ui: Ui | None = None) -> None:
    """Objects and bytes of the frame store, by extension."""
    ui = ui or Ui()
    with _reaching_store(), ui.bars() as make:
        store = FrameStore(settings.frame_store_url)
        held = by_extension(store, _progress(make))
    objects, size = sum(count for count, _ in held.values()), sum(size for _, size in held.values())
    if as_json:
        kinds = {extension: {"objects": count, "bytes": size} for extension, (count, size) in held.items()}
        print(json.dumps({"store": store.base, "objects": objects, "bytes": size, "by_extension": kinds}, indent=2))
        return
    rows = [(f".{extension}", _line(count, size)) for extension, (count, size) in held.items()]
    ui.table(f"Frame store · {store.base}", [*rows, ("all", _line(objects, size))])


@contextlib.contextmanager
def _reaching_store() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as error:
        raise OperatorError(f"{error}; see whether it is mounted or its server answers, then try again") from error


def _progress(make: MakeBar) -> Progress:
    bars: dict[str, Advance] = {}

    def progress(step: str, done: int, total: int) -> None:
        if step not in bars:
            bars[step] = make(step, total or None)
        bars[step](done, total=total or None)

    return progress


def _rows(collected: Collected, dry_run: bool) -> Iterator[tuple[str, str]]:
    yield "seen", _line(collected.objects, collected.bytes)
    for why, count in collected.kept.items():
        yield f"kept: {_WHY.get(why, f'named in {why}')}", str(count)
    yield "would be removed" if dry_run else "removed", _line(collected.removed, collected.freed_bytes)
    if collected.cleared:
        yield "leftovers cleared", str(collected.cleared)


_WHY = {"young": "too young", "pinned": "pinned", "put again": "needed or gone meanwhile", ARCHIVE: "in the archive"}


def _line(objects: int, size: int) -> str:
    return f"{objects} pictures, {size / 2**20:.1f} MiB"
