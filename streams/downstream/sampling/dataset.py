"""A data set from the topics: samples, what people decided about them, and their pictures.

Place in the flow: `lineside dataset build`. Topics are read first, all of them up to their present ends; then pictures
come from the frame store, one by one, in the caller's thread so that Ctrl-C ends it at once. Equal topics give equal
data sets. Who is right where people disagree, this doesn't say: such pictures are set aside for a second look.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from models import labelled_set
from models.likeness import pixel_sha256
from models.preprocess import EncodedImage, RejectedImageError, decode
from schemas.records import DefectDetected, Finding, Outcome, ReworkOutcome, SampleSelected
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.capture.pictures import extension_of, read_header
from streams.downstream.sampling.labelling import decided, sorted_out
from streams.downstream.sampling.manifest import Picture, conflict_of, items_of
from streams.downstream.sampling.strategies import GOOD
from streams.inspection.pictures import PICTURE_MAX_BYTES
from streams.settings import Settings
from streams.store import FrameStore, ObjectMissingError, ObjectTooLargeError, ReferenceRefusedError
from streams.topics import DEFECTS, OUTCOMES, SAMPLES, Topic

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Told after each event and picture; `total` None where nobody knows."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Samples selected in [since, until), and the decisions that stood in the topic at `until`. None: no limit."""

    name: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the topics hold. `outcomes` in the order of the log; `findings` by verdict_id, where they have boxes."""

    samples: Sequence[SampleSelected]
    outcomes: Sequence[ReworkOutcome]
    findings: Mapping[UUID, tuple[Finding, ...]] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


async def gather(settings: Settings, choice: Choice, on_progress: Progress) -> Gathered:
    """Reads `samples` and `outcomes` from their beginnings, and of `defects` what stands since the first sample."""
    reading = _Reading(settings, on_progress)
    samples, outcomes = list[SampleSelected](), list[ReworkOutcome]()
    findings: dict[UUID, tuple[Finding, ...]] = {}

    def sample(received: Received[SampleSelected]) -> None:
        at = received.record.selected_at
        if (choice.since is None or at >= choice.since) and (choice.until is None or at < choice.until):
            samples.append(received.record)

    def outcome(received: Received[ReworkOutcome]) -> None:
        if choice.until is None or received.timestamp < choice.until:
            outcomes.append(received.record)

    await reading.all_of(SAMPLES, "earliest", sample)
    await reading.all_of(OUTCOMES, "earliest", outcome)
    wanted = {s.verdict_id: s.inspected_at for s in samples if s.verdict_outcome in (Outcome.NG, Outcome.UNSURE)}

    def defect(received: Received[DefectDetected]) -> None:
        verdict = received.record.verdict
        if verdict.verdict_id in wanted and any(finding.box for finding in verdict.findings):
            findings.setdefault(verdict.verdict_id, verdict.findings)

    if wanted:
        await reading.all_of(DEFECTS, min(wanted.values()), defect)
    return Gathered(samples, outcomes, findings, reading.sources)


class _Reading:
    """Topics from a start to their ends. `sources` are the offsets behind the last event read, by partition."""

    def __init__(self, settings: Settings, on_progress: Progress) -> None:
        self._settings = settings
        self._codec = codec_for(settings)
        self._on_progress = on_progress
        self.sources: dict[str, dict[str, int]] = {}

    async def all_of(self, topic: Topic, start: Any, take: Callable[[Received[Any]], None]) -> None:
        subscription: Subscription[Any] = Subscription(
            topic, start, settings=self._settings, codec=self._codec, follow=False
        )
        done, behind = 0, dict[int, int]()
        async with aclosing(aiter(subscription)) as events:
            async for received in events:
                behind[received.partition] = received.offset + 1
                take(received)
                done += 1
                self._on_progress(topic.name, done, None)
        self.sources[topic.name] = {str(partition): behind[partition] for partition in sorted(behind)}


def build(
    directory: Path, scratch: Path, gathered: Gathered, choice: Choice, store: FrameStore, on_progress: Progress
) -> labelled_set.Info:
    """Writes the data set; `scratch` is `labelled_set.scratch_beside(directory)`.

    StoreUnavailableError where the store can't be read, DatasetError where the directory can't be written.
    """
    entries, waiting = decided(gathered.samples, gathered.outcomes)
    left_out = Counter({"waiting for a person": waiting})
    pictures: dict[UUID, Picture] = {}
    for done, entry in enumerate(entries, 1):
        try:
            pictures[entry.sample.sample_id] = _fetched(store, entry.sample, scratch)
        except (RejectedImageError, ObjectMissingError, ReferenceRefusedError, ObjectTooLargeError) as error:
            left_out["picture gone or unreadable"] += 1
            log.warning("sample %s is left out: %s", entry.sample.sample_id, error)
        on_progress("pictures", done, len(entries))
    seen = [entry for entry in entries if entry.sample.sample_id in pictures]
    found = sorted_out(seen, {sample_id: picture.pixel_sha256 for sample_id, picture in pictures.items()})
    left_out["equal pixels"] += found.equal
    items = list(items_of(found.agreed, pictures, gathered.findings, left_out))
    conflicts = [conflict_of(conflict, pictures[conflict.entry.sample.sample_id]) for conflict in found.conflicts]
    about = labelled_set.About(
        name=choice.name,
        good=GOOD,
        tool_version=version("lineside"),
        left_out={why: count for why, count in sorted(left_out.items()) if count},
        sources=gathered.sources,
        since=choice.since.isoformat() if choice.since else None,
        until=choice.until.isoformat() if choice.until else None,
    )
    return labelled_set.write(directory, scratch, items, conflicts, about)


def _fetched(store: FrameStore, sample: SampleSelected, scratch: Path) -> Picture:
    data = store.get(sample.image_ref, PICTURE_MAX_BYTES)
    pixels = decode(EncodedImage(data, "UNKNOWN", sha256=sample.image_sha256))
    return Picture(
        sha256=labelled_set.keep(scratch, data),
        pixel_sha256=pixel_sha256(pixels),
        extension=extension_of(read_header(data, "").encoding),
        width=pixels.shape[1],
        height=pixels.shape[0],
    )
