"""The data that the model in force was trained on, and what the line has taught since, as one data set.

Place in the flow: the first step of `lineside retrain`. The rows of the base stay as they are, in their splits, so that
the test split is one that neither model has learned from; the rows of the line join them. Equal pixels with different
labels wait for a second look, as they do in any data set. `merged` is pure; `write_merged` copies pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models import labelled_set
from models.dataset_rows import Conflict, Item
from models.errors import DatasetError
from models.labelled_set import About, Info, LabelledSet
from streams.inspection.recipes import ANY_SKU
from streams.recipes.history import Scope

CONTRADICTED = "what the line says contradicts the label that the model in force was trained with"
ELSEWHERE = "of another line or SKU"


@dataclass(frozen=True, slots=True)
class Part:
    """A data set and where it lies."""

    directory: Path
    found: LabelledSet


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows, each with the directory that has its picture."""

    items: tuple[tuple[Item, Path], ...]
    conflicts: tuple[tuple[Conflict, Path], ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    added: int = 0  # rows of the line that the base hadn't

    @property
    def its_items(self) -> list[Item]:
        return [item for item, _ in self.items]

    @property
    def its_conflicts(self) -> list[Conflict]:
        return [conflict for conflict, _ in self.conflicts]

    @property
    def version(self) -> str:
        """Of the data set that these rows are."""
        return labelled_set.content_sha256(self.its_items, self.its_conflicts)[: labelled_set.VERSION_CHARS]


def merged(base: Part | None, line: Part, scope: Scope) -> Merged:
    """The rows of both. DatasetError where they call good parts by different names."""
    if base is not None and base.found.info.good != line.found.info.good:
        names = f"{base.found.info.good!r} in {base.directory}, {line.found.info.good!r} in {line.directory}"
        raise DatasetError(f"good parts have different names: {names}; build one of them anew")
    left_out: Counter[str] = Counter()
    kept = {item.pixel_sha256: (item, base.directory) for item in base.found.items} if base else {}
    splits = {item.part_id: item.split for item, _ in kept.values()}
    conflicts = _conflicts(base, line, scope)
    added = 0
    for item in line.found.items:
        if not in_scope(item, scope):
            left_out[ELSEWHERE] += 1
        elif item.pixel_sha256 not in kept:
            kept[item.pixel_sha256] = (replace(item, split=splits.get(item.part_id, item.split)), line.directory)
            added += 1
        elif kept[item.pixel_sha256][0].label == item.label:
            left_out["equal pixels"] += 1
        else:
            conflicts[item.sha256] = (_conflict(item, kept.pop(item.pixel_sha256)[0].label), line.directory)
    return Merged(tuple(kept.values()), tuple(conflicts.values()), dict(left_out), added)


def in_scope(item: Item | Conflict, scope: Scope) -> bool:
    """Whether a row is of this line and SKU; of pictures that came with labels nobody may know."""
    asked = (
        (item.plant, scope.plant),
        (item.line, scope.line),
        (item.sku, None if scope.sku == ANY_SKU else scope.sku),
    )
    return all(came is None or want is None or came == want for came, want in asked)


def write_merged(
    directory: Path, rows: Merged, name: str, base: Part | None, line: Part, on_picture: Callable[[int, int], None]
) -> Info:
    """Writes them as a data set; the same rows are the same version. DatasetError where a picture is gone."""
    about = About(
        name=name,
        good=line.found.info.good,
        tool_version=version("lineside"),
        left_out={why: count for why, count in sorted(rows.left_out.items()) if count},
        sources=_sources(base, line),
        since=line.found.info.since,
        until=line.found.info.until,
    )
    pictures: list[tuple[Item | Conflict, Path]] = [*rows.items, *rows.conflicts]
    with labelled_set.scratch_beside(directory) as scratch:
        for done, (row, where) in enumerate(pictures, 1):
            if labelled_set.keep(scratch, labelled_set.image(where, row).data) != row.sha256:
                raise DatasetError(f"the picture {row.file} of {where} was changed: build that data set again")
            on_picture(done, len(pictures))
        known = base.found.info.classes if base else ()
        return labelled_set.write(directory, scratch, rows.its_items, rows.its_conflicts, about, *known)


def _conflicts(base: Part | None, line: Part, scope: Scope) -> dict[str, tuple[Conflict, Path]]:
    """By file; what the line says of one counts before what the base says."""
    found: dict[str, tuple[Conflict, Path]] = {}
    for part in filter(None, (base, line)):
        found |= {c.sha256: (c, part.directory) for c in part.found.conflicts if part is base or in_scope(c, scope)}
    return found


def _conflict(item: Item, other: str) -> Conflict:
    return Conflict(
        file=labelled_set.second_look_place(item.sha256, item.file.rpartition(".")[2]),
        why=CONTRADICTED,
        labels=tuple(sorted((item.label, other))),
        outcome_ids=(item.outcome_id,) if item.outcome_id else (),
        **{name: getattr(item, name) for name in ("sha256", "pixel_sha256", "part_id", "source_file", "sample_id")},
        **{name: getattr(item, name) for name in ("verdict_id", "plant", "line", "station", "sku", "inspected_at")},
    )


def _sources(base: Part | None, line: Part) -> dict[str, Any]:
    parts = {"base": base, "line": line}
    return {
        name: {"name": part.found.info.name, "version": part.found.info.version} for name, part in parts.items() if part
    }
