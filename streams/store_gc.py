"""Collection: removes from the frame store what nothing needs, and never a picture that a kept event names.

Place in the flow: `lineside store gc`. The order makes it safe beside everything that runs: objects are listed with
their ages first, then everything that names pictures is read to its present end, then old objects that nothing named
are removed, each looked at once more. An event that comes later names a picture that was put, and so became young,
within the minimum age before. Whatever can't be read ends it before anything is removed. Knows the store and digests,
neither Kafka nor the archive.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from streams.errors import CallerError
from streams.store import FrameStore, Stored

DAY_S = 86_400
MIN_AGE_S = DAY_S  # less would not outlast a gateway that holds its frames while Kafka is away
REMOVERS = 8  # at once: a remote store answers in tens of milliseconds
ARCHIVE = "archive"
_NAMED = re.compile(rb"/([0-9a-f]{64})\.")
Progress = Callable[[str, int, int], None]
"""Takes the step, what is done of it, and of how much."""


class Candidates:
    """Digests of old objects that nothing named so far. 32 bytes each; measured with the set's room: 115 in memory."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self.kept: Counter[str] = Counter()

    def add(self, sha256: str) -> None:
        self._digests.add(bytes.fromhex(sha256))

    def name(self, why: str, text: bytes) -> None:
        """Takes out what a text names: a reference, or a whole event as it lies in a topic.

        Avro keeps text as it is, so the references in an event are found whatever its schema, in the value of a dead
        letter too, and in bytes that nobody can decode. What only looks like a reference keeps a picture, never more.
        """
        for found in _NAMED.findall(text):
            digest = bytes.fromhex(found.decode())
            if digest in self._digests:
                self._digests.discard(digest)
                self.kept[why] += 1

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._digests

    def __len__(self) -> int:
        return len(self._digests)


@dataclass(slots=True)
class Collected:
    """What a collection found and did. `kept` counts by reason; a picture that several need counts for the first."""

    objects: int
    bytes: int
    kept: dict[str, int]
    removed: int = 0
    freed_bytes: int = 0
    cleared: int = 0  # unfinished writes and empty folders of pins


def collect(
    store: FrameStore,
    before_s: float,
    name_needed: Callable[[Candidates], None],
    progress: Progress = lambda step, done, total: None,
    dry_run: bool = False,
) -> Collected:
    """Removes objects put last before a time (s since 1970) that nothing needs; with `dry_run` only counts them.

    `name_needed` must name everything that is needed, or raise. Raises what it raises, StoreUnavailableError and
    OperatorError; what was removed until then was needed by nobody.
    """
    collected, candidates = _listed(store, before_s, progress)
    if candidates:
        name_needed(candidates)
    collected.kept |= candidates.kept
    _sweep(store, before_s, candidates, collected, progress, dry_run)
    collected.kept = {why: count for why, count in collected.kept.items() if count}
    return collected


def _listed(store: FrameStore, before_s: float, progress: Progress) -> tuple[Collected, Candidates]:
    collected, candidates = Collected(0, 0, {"young": 0}), Candidates()
    shelves = store.shelves()
    for done, shelf in enumerate(shelves, 1):
        for stored in store.stored(shelf):
            collected.objects += 1
            collected.bytes += stored.size
            if stored.modified_s < before_s:
                candidates.add(stored.sha256)
            else:
                collected.kept["young"] += 1
        progress("list", done, len(shelves))
    return collected, candidates


def _sweep(
    store: FrameStore, before_s: float, candidates: Candidates, into: Collected, progress: Progress, dry_run: bool
) -> None:
    def judged(stored: Stored) -> tuple[Stored, str]:
        if store.pins(stored.sha256):
            return stored, "pinned"
        if dry_run or store.remove(stored, before_s):
            return stored, ""
        return stored, "put again"

    shelves = store.shelves()
    pool = ThreadPoolExecutor(REMOVERS, "collect")  # its threads end what they began, whatever interrupts this one
    try:
        for done, shelf in enumerate(shelves, 1):
            for stored, why in pool.map(judged, _doomed(store, shelf, before_s, candidates)):
                if why:
                    into.kept[why] = into.kept.get(why, 0) + 1
                else:
                    into.removed += 1
                    into.freed_bytes += stored.size
            into.cleared += 0 if dry_run else store.tidy(shelf)
            progress("remove", done, len(shelves))
    finally:
        pool.shutdown(cancel_futures=True)


def _doomed(store: FrameStore, shelf: str, before_s: float, candidates: Candidates) -> Iterator[Stored]:
    return (s for s in store.stored(shelf) if s.modified_s < before_s and s.sha256 in candidates)


def topics_fact(cluster: str, prefix: str) -> str:
    """What the store remembers about whose events it is collected for."""
    return f"topics-{cluster}-{prefix}"[:100].rstrip(".")


def archive_fact(pool: str) -> str:
    """What the store remembers about an archive that named its pictures."""
    return f"{ARCHIVE}-{pool}" if pool else ARCHIVE


def check_ties(store: FrameStore, mine: str, missing: Mapping[str, str]) -> None:
    """CallerError where the store was collected before for other topics, or with an archive that is not there now.

    `missing`: by their facts, where archives were looked for that are not there.
    """
    facts = store.facts()
    others = [fact for fact in facts if fact.startswith("topics-") and fact != mine]
    if others:
        raise CallerError(
            f"the frame store {store.base} is collected for {others[0]}, not for {mine}: pictures that those events"
            " name would be lost; give each installation its own LINESIDE_FRAME_STORE, or where those topics are gone"
            f" for good, remove {facts[others[0]]}"
        )
    for fact in missing.keys() & facts.keys():
        raise CallerError(
            f"there is no archive in {missing[fact]}, and the last collection read one: its pictures would be lost; say"
            f" where it is by LINESIDE_ARCHIVE or --archive, or where it is gone for good, remove {facts[fact]}"
        )


def check_read(store: FrameStore, mine: str, events: int) -> None:
    """CallerError where the first collection of a store finds no event at all: then Kafka is rather the wrong one."""
    if not events and mine not in store.facts():
        raise CallerError(
            f"no event is kept in any topic that names pictures of the frame store {store.base}, which has old ones:"
            " see whether LINESIDE_BOOTSTRAP_SERVERS and LINESIDE_TOPIC_PREFIX are those of the line; nothing was"
            " removed"
        )


def by_extension(
    store: FrameStore, progress: Progress = lambda step, done, total: None
) -> Mapping[str, tuple[int, int]]:
    """Objects and bytes of the store by extension."""
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    shelves = store.shelves()
    for done, shelf in enumerate(shelves, 1):
        for stored in store.stored(shelf):
            objects[stored.extension] += 1
            sizes[stored.extension] += stored.size
        progress("list", done, len(shelves))
    return {extension: (count, sizes[extension]) for extension, count in sorted(objects.items())}
