"""Is a data set fit to train on and to judge by? What stands in it twice, is labelled wrongly, is too little. Pure.

Place in the flow: `lineside dataset check`, over rows and what was seen in the pictures. Knows no file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.dataset import SPLITS, ordered
from models.dataset_rows import Item
from models.label_errors import Suspect
from models.sufficiency import bound_of_none, parts_for
from models.twins import Twin


@dataclass(frozen=True, slots=True)
class Held:
    """What one class has in each split: different parts, and pictures."""

    name: str
    parts: Mapping[str, int]
    pictures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Enough:
    """What the test split can show. `bound`: the rate that is still possible where none went wrong; None of no part."""

    what: str  # escape, overkill, or the escape of one class
    parts: int
    bound: float | None
    goal: float
    needed: int

    @property
    def reached(self) -> bool:
        return self.parts >= self.needed


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that are the same, or nearly."""

    first: Item
    second: Item
    likeness: float

    @property
    def labels_differ(self) -> bool:
        return self.first.label != self.second.label


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label that is likely wrong. `trust`: the probability of the given one."""

    item: Item
    likely: str
    trust: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`problems` make figures of a model wrong; `cautions` limit what they can say. `doubts` None: see `no_doubts`."""

    version: str
    classes: tuple[str, ...]
    balance: tuple[Held, ...]
    enough: tuple[Enough, ...]
    pairs: tuple[Pair, ...]
    doubts: tuple[Doubt, ...] | None
    no_doubts: str | None
    conflicts: int
    problems: tuple[str, ...]
    cautions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`: pictures by their files in the data set."""
        pairs = [
            {"files": [p.first.file, p.second.file], "labels": [p.first.label, p.second.label], "likeness": p.likeness}
            for p in self.pairs
        ]
        doubts = None
        if self.doubts is not None:
            doubts = [
                {"file": d.item.file, "label": d.item.label, "likely": d.likely, "trust": round(d.trust, 4)}
                for d in self.doubts
            ]
        return {
            "version": self.version,
            "passed": not self.problems,
            "problems": list(self.problems),
            "cautions": list(self.cautions),
            "classes": list(self.classes),
            "balance": [asdict(held) for held in self.balance],
            "enough": [asdict(found) | {"reached": found.reached} for found in self.enough],
            "conflicts": self.conflicts,
            "near_duplicates": pairs,
            "likely_label_errors": doubts,
            "no_label_errors_because": self.no_doubts,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found in the pictures; places index the items. `suspects` None where nobody looked: `why_not`."""

    twins: Sequence[Twin]
    suspects: Sequence[Suspect] | None
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Goals:
    """What a model of this data set shall be able to show."""

    escape: float = 0.01
    overkill: float = 0.05


def check(version: str, items: Sequence[Item], good: str, conflicts: int, seen: Seen, goals: Goals) -> Checked:
    """Everything that can be said of a data set."""
    classes = ordered({item.label for item in items}, good)
    pairs = tuple(Pair(items[twin.first], items[twin.second], round(twin.likeness, 4)) for twin in seen.twins)
    balance = tuple(_held(name, items) for name in classes)
    enough = tuple(_enough(items, classes, goals))
    doubts = None
    if seen.suspects is not None:
        doubts = tuple(Doubt(items[s.place], classes[s.likely], s.trust) for s in seen.suspects)
    return Checked(
        version=version,
        classes=classes,
        balance=balance,
        enough=enough,
        pairs=pairs,
        doubts=doubts,
        no_doubts=seen.why_not,
        conflicts=conflicts,
        problems=(*_torn(items), *_doubled(items, pairs), *_empty(balance, good)),
        cautions=(*_too_few(enough), *_questions(pairs, doubts, conflicts)),
    )


def _held(name: str, items: Sequence[Item]) -> Held:
    mine = [item for item in items if item.label == name]
    parts: dict[str, int] = {s: len({item.part_id for item in mine if item.split == s}) for s in SPLITS}
    return Held(name, parts, {split: sum(item.split == split for item in mine) for split in SPLITS})


def _enough(items: Sequence[Item], classes: Sequence[str], goals: Goals) -> list[Enough]:
    tested: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.split == "test":
            tested[item.label].add(item.part_id)
    good, *defects = classes
    bad = {part for name in defects for part in tested[name]}
    rows = [("escape", len(bad), goals.escape), ("overkill", len(tested[good] - bad), goals.overkill)]
    rows += [(f"escape of {name}", len(tested[name]), goals.escape) for name in defects if len(defects) > 1]
    return [Enough(what, count, bound_of_none(count), goal, parts_for(goal)) for what, count, goal in rows]


def _torn(items: Sequence[Item]) -> list[str]:
    homes: dict[str, set[str]] = defaultdict(set)
    for item in items:
        homes[item.part_id].add(item.split)
    torn = sorted(part for part, splits in homes.items() if len(splits) > 1)
    return [f"{len(torn)} parts are in more than one split, such as {torn[0]}"] if torn else []


def _doubled(items: Sequence[Item], pairs: Sequence[Pair]) -> list[str]:
    homes: dict[str, set[str]] = defaultdict(set)
    for item in items:
        homes[item.pixel_sha256].add(item.split)
    doubled = [pixels for pixels, splits in homes.items() if len(splits) > 1]
    problems = [f"{len(doubled)} pictures stand in more than one split"] if doubled else []
    if pairs:
        problems.append(
            f"{len(pairs)} pairs of nearly the same picture stand in different splits: what was learnt by heart would "
            "count as known; split anew by lot or day, or remove them"
        )
    return problems


def _empty(balance: Sequence[Held], good: str) -> list[str]:
    problems = [
        f"class {h.name} has no part in the train split: it can't be learnt" for h in balance if not h.parts["train"]
    ]
    for split in ("validation", "test"):
        if not any(held.parts[split] for held in balance if held.name == good):
            problems.append(f"the {split} split has no good part")
        if not any(held.parts[split] for held in balance if held.name != good):
            problems.append(f"the {split} split has no bad part: nothing can be said of escapes")
    return problems


def _too_few(enough: Sequence[Enough]) -> list[str]:
    return [
        f"{found.what}: {found.parts} parts in the test split, of which none going wrong shows "
        f"{'nothing' if found.bound is None else f'at most {found.bound:.2%}'}; for {found.goal:.2%} it takes "
        f"{found.needed}"
        for found in enough
        if not found.reached
    ]


def _questions(pairs: Sequence[Pair], doubts: Sequence[Doubt] | None, conflicts: int) -> list[str]:
    said = []
    if conflicts:
        said.append(f"{conflicts} pictures with contradicting labels are left out; they wait in second_look/")
    if differ := sum(pair.labels_differ for pair in pairs):
        said.append(f"{differ} pairs of nearly the same picture have different labels")
    if doubts:
        kinds = Counter(f"{doubt.item.label} that looks {doubt.likely}" for doubt in doubts)
        worst, count = kinds.most_common(1)[0]
        said.append(f"{len(doubts)} labels are likely wrong, most often {worst} ({count}): look at them")
    return said
