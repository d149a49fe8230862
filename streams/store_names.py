"""What names pictures of the frame store: events that lie in the topics, and the archive. The shell around `store_gc`.

Topics are read in the order in which events follow from each other, each to the end that it has when its turn comes: a
defect whose frame expires meanwhile is found after it. The archive names what it keeps for ever, which is not every
claim check of an archived frame. Does not know what is removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from streams.archive.catalogue import NAME, Catalogue
from streams.archive.tables import PICTURES
from streams.bus.connect import reaching
from streams.bus.landmarks import Landmarks
from streams.bus.spans import read_offsets
from streams.errors import OperatorError
from streams.settings import Settings
from streams.topics import DEADLETTERS, DEFECTS, SAMPLES, Topic

SOURCES = (DEADLETTERS, DEFECTS, SAMPLES)  # behind the frames of all pools
STALL_S = 60.0  # a reading that gives nothing for so long has failed
FETCH_MAX_BYTES = 1 << 20  # a partition
ATTEMPTS = 5  # of a file that was merged into another while the archive was read
_ARCHIVED = ((PICTURES, ("picture_ref",)), (DEFECTS.name, ("image_ref", "heatmap_ref")))


async def read_topic(
    settings: Settings, topic: Topic, take: Callable[[bytes], None], progress: Callable[[int, int], None]
) -> int:
    """Hands over every value that lies in a topic now; how many there were. `progress` takes offsets: read, of all.

    BrokerUnreachableError where not all could be read.
    """
    name, read = settings.topic_prefix + topic.name, 0
    async with Landmarks(settings.bootstrap, name) as landmarks:
        bounds = await landmarks.bounds()
    total = sum(end - begin for begin, end in bounds.values())
    async with (
        reaching(settings.bootstrap),
        asyncio.timeout(STALL_S) as limit,
        read_offsets(settings.bootstrap, name, bounds, fetch_max_bytes=FETCH_MAX_BYTES) as reading,
        contextlib.aclosing(reading.chunks()) as chunks,
    ):
        async for chunk in chunks:
            limit.reschedule(asyncio.get_running_loop().time() + STALL_S)
            for raw in chunk:
                take(raw.value or b"")
            read += len(chunk)
            progress(read, total)
    progress(total, total)
    return read


def archive_is_in(folder: Path) -> bool:
    return (folder / NAME).is_file()


def archived_refs(folder: Path) -> Iterator[str]:
    """References to what the archive keeps; nothing where there is no archive. A reference may come twice.

    OperatorError where the archive can't be read.
    """
    if not archive_is_in(folder):
        return
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with Catalogue(folder) as catalogue:
                for table, columns in _ARCHIVED:
                    for file in catalogue.files(table):
                        yield from _refs(folder / file.path, columns)
            return
        except (OSError, pa.ArrowException, sqlite3.Error) as error:
            if not isinstance(error, FileNotFoundError) or attempt == ATTEMPTS:
                raise OperatorError(
                    f"the archive {folder} can't be read: {error}; see what `lineside archive --verify` says"
                ) from error


def _refs(path: Path, columns: tuple[str, ...]) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(columns)):
            for column in batch.columns:
                yield from filter(None, column.to_pylist())
