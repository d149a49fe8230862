"""From samples and what people decided to labelled pictures, and to those that people disagree about. Pure.

Place in the flow: the data set's builder. The effective decision of each review counts. Knows no file; what a label
must look like for a model, `models/labelled_set.py` knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.records import ReworkOutcome, SampleSelected
from streams.downstream.sampling.estimates import effective, is_bad
from streams.downstream.sampling.strategies import label_of

PEOPLE_DISAGREE = "people disagree"
EQUAL_PIXELS = "equal pixels have different labels"


@dataclass(frozen=True, slots=True)
class Say:
    """What one person says of a picture; `label` None where they call it bad without a name."""

    bad: bool
    label: str | None
    outcome: ReworkOutcome


@dataclass(frozen=True, slots=True)
class Entry:
    """A sampled picture and all that people say of it."""

    sample: SampleSelected
    says: tuple[Say, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The different labels, sorted."""
        return tuple(sorted({say.label for say in self.says if say.label is not None}))

    @property
    def disputed(self) -> bool:
        return len({say.bad for say in self.says}) > 1 or len(self.labels) > 1


@dataclass(frozen=True, slots=True)
class Conflict:
    """A picture that needs a second look, and why; `labels` are all that its pixels were given."""

    entry: Entry
    why: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures with one label, pictures in conflict, and how many others show the pixels of a labelled one."""

    agreed: tuple[Entry, ...]
    conflicts: tuple[Conflict, ...]
    equal: int


def decided(samples: Iterable[SampleSelected], outcomes: Sequence[ReworkOutcome]) -> tuple[list[Entry], int]:
    """The sampled pictures that somebody named, one entry a file, and how many wait for that.

    `outcomes` in the order of the log. Of several samples of one file the earliest stands for it, and what was said of
    any of them counts.
    """
    says, by_file = _says(outcomes), defaultdict[str, list[SampleSelected]](list)
    for sample in samples:
        by_file[sample.image_sha256].append(sample)
    entries = []
    for sha256 in sorted(by_file):
        group = sorted(by_file[sha256], key=lambda sample: (sample.selected_at, sample.sample_id))
        verdicts = dict.fromkeys(sample.verdict_id for sample in group)
        entries.append(Entry(group[0], tuple(say for verdict_id in verdicts for say in says.get(verdict_id, ()))))
    named = [entry for entry in entries if entry.labels]
    return named, len(entries) - len(named)


def sorted_out(entries: Iterable[Entry], pixels: Mapping[UUID, str]) -> Labelled:
    """Judges entries together that show the same pixels; `pixels` are digests by sample_id.

    Where all agree the earliest stands for the others, so that no picture is in two splits.
    """
    groups = defaultdict[str, list[Entry]](list)
    for entry in sorted(entries, key=lambda entry: (entry.sample.selected_at, entry.sample.sample_id)):
        groups[pixels[entry.sample.sample_id]].append(entry)
    agreed, conflicts, equal = list[Entry](), list[Conflict](), 0
    for group in groups.values():
        whole = Entry(group[0].sample, tuple(say for entry in group for say in entry.says))
        if whole.disputed:
            why = PEOPLE_DISAGREE if any(entry.disputed for entry in group) else EQUAL_PIXELS
            conflicts += [Conflict(entry, why, whole.labels) for entry in group]
        else:
            agreed.append(whole)
            equal += len(group) - 1
    return Labelled(tuple(agreed), tuple(conflicts), equal)


def _says(outcomes: Sequence[ReworkOutcome]) -> dict[UUID, list[Say]]:
    """What the reviews of every verdict say, the first review first."""
    says: defaultdict[UUID, list[Say]] = defaultdict(list)
    for review in sorted({outcome.review for outcome in outcomes}):
        for verdict_id, head in effective(outcomes, review).items():
            if (bad := is_bad(head)) is not None:
                says[verdict_id].append(Say(bad, label_of(head), head))
    return says
