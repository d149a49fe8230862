"""`lineside dataset split`: the same pictures in a new version, with splits that are even in every class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models import labelled_set
from models.dataset import SPLITS, Split
from models.dataset_rows import Conflict, Item
from models.errors import DatasetError
from models.labelled_set import About, Info
from models.splitting import assign
from streams.commands.ui import Ui
from streams.errors import CallerError


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """What `lineside dataset split` was asked for. `by` is one of `GROUPS`; `shares` add up to 1."""

    directory: Path
    out: Path
    by: str
    shares: Mapping[Split, float]
    seed: int


def parse_shares(text: str) -> dict[Split, float]:
    """`70:15:15` to shares of train, validation and test. CallerError for anything else."""
    try:
        train, validation, test = (float(share) for share in text.split(":"))
    except ValueError:
        raise CallerError(f"--shares must look like 70:15:15 (train, validation, test); came {text!r:.40}") from None
    total = train + validation + test
    if not (train > 0 and validation >= 0 and test >= 0 and total < float("inf")):
        raise CallerError(f"--shares must be numbers of 0 or more, and some to train on; came {text!r:.40}")
    return dict(zip(SPLITS, (train / total, validation / total, test / total), strict=True))


def split_dataset(options: SplitOptions) -> Info:
    """Write the new version. Not for a running event loop."""
    found, ui = labelled_set.read(options.directory), Ui()
    group_of = GROUPS[options.by]
    groups = [group_of(item) for item in found.items]
    homes = assign(
        zip(groups, [(item.label, item.sku or "") for item in found.items], strict=True), options.shares, options.seed
    )
    items = [replace(item, split=homes[group]) for item, group in zip(found.items, groups, strict=True)]
    about = {field: getattr(found.info, field) for field in About.__slots__}
    anew = {"of": found.info.version, "by": options.by, "shares": dict(options.shares), "seed": options.seed}
    about["sources"] = {**found.info.sources, "split": anew}
    with labelled_set.scratch_beside(options.out) as scratch, ui.bars() as make:
        rows: list[Item | Conflict] = [*items, *found.conflicts]
        bar = make("pictures", len(rows))
        for done, row in enumerate(rows, 1):
            if labelled_set.keep(scratch, labelled_set.image(options.directory, row).data) != row.sha256:
                raise DatasetError(
                    f"the picture {row.file} of {options.directory} was changed; build the data set again"
                )
            bar(done)
        return labelled_set.write(options.out, scratch, items, found.conflicts, About(**about))


def _of_lot(item: Item) -> str:
    if item.lot_id is None:
        raise CallerError(f"{item.source_file or item.file} has no lot; split by part, or build with lot ids")
    return item.lot_id


def _of_day(item: Item) -> str:
    at = item.captured_at or item.inspected_at
    if at is None:
        raise CallerError(f"{item.source_file or item.file} has no time; split by part, or build with captured_at")
    return at.date().isoformat()


GROUPS: Mapping[str, Callable[[Item], str]] = {"part": lambda item: item.part_id, "lot": _of_lot, "day": _of_day}
"""What is never torn."""
