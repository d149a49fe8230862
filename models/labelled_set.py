"""A versioned data set on disk: pictures in a folder for each class, a manifest in Parquet, and what it came from.

Place in the flow: `lineside dataset build` writes one, `lineside train` and labelling tools read it. The same rows give
the same version: it is the digest of the content. All pictures of a part belong to one split for ever. Knows no topic:
where pictures and labels come from is its caller's affair.

    images/<class>/<sha256>.png …   manifest.parquet
    second_look/<sha256>.png …      conflicts.parquet   dataset.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.artifact_files import parse_json
from models.dataset import SPLITS, Example, Split, in_known_order, ordered, split_of
from models.dataset_rows import Conflict, Item, from_parquet, have_outlines, plain, to_parquet
from models.errors import DatasetError
from models.preprocess import EncodedImage

FORMAT = 2
OUTLINED = 3  # where boxes have outlines, which an earlier Lineside can't read
READABLE = (1, FORMAT, OUTLINED)  # 1 had fewer columns, and no class order
INFO, MANIFEST, CONFLICTS = "dataset.json", "manifest.parquet", "conflicts.parquet"
IMAGES, SECOND_LOOK = "images", "second_look"
VERSION_CHARS = 16  # of the digest of the content
_CLASS = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"  # as a model's artifact wants it, and never `.` or `..`
_FILE = r"[0-9a-f]{64}\.[a-z0-9]{1,8}"
_PLACE = re.compile(rf"{IMAGES}/({_CLASS})/{_FILE}|{SECOND_LOOK}/{_FILE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What `dataset.json` says. `good` is the class of good parts, `tool_version` the Lineside that built it.

    `classes` is the order of classes that every model of this data set has: the good one, then defects in natural order
    (2 before 10), new ones behind those of the data set that it grew from. `sources` are the offsets behind the last
    event read, by topic and partition, or the folder and the table of the pictures; `left_out` counts them by why.
    """

    version: str
    name: str
    good: str
    classes: tuple[str, ...] = ()
    tool_version: str
    content_sha256: str
    manifest_sha256: str
    conflicts_sha256: str
    counts: Mapping[str, Any]
    left_out: Mapping[str, int]
    sources: Mapping[str, Any]
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The part of `Info` that the builder says."""

    name: str
    good: str
    tool_version: str
    left_out: Mapping[str, int]
    sources: Mapping[str, Any]
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A data set as it was read."""

    info: Info
    items: tuple[Item, ...]
    conflicts: tuple[Conflict, ...]


def is_class(label: str) -> bool:
    """Whether a label can be a class: of a model, and a folder's name."""
    return re.fullmatch(_CLASS, label) is not None


def image_place(label: str, sha256: str, extension: str) -> str:
    """Where a labelled picture lies, from the data set's folder on. ValueError for what would lead elsewhere."""
    return _place(f"{IMAGES}/{label}/{sha256}.{extension}")


def second_look_place(sha256: str, extension: str) -> str:
    """Where a picture in conflict lies. ValueError for what would lead elsewhere."""
    return _place(f"{SECOND_LOOK}/{sha256}.{extension}")


def home_of(
    part_id: str | None, image_sha256: str, lot_id: str | None = None, day: str | None = None
) -> tuple[str, Split]:
    """What a picture belongs to, and its split: the part, else its lot, else its day, else the picture alone."""
    home = part_id or (f"lot {lot_id}" if lot_id else None) or (f"day {day}" if day else None) or image_sha256
    return home, split_of(home)


@contextlib.contextmanager
def scratch_beside(directory: Path) -> Iterator[Path]:
    """A folder for pictures on the way into a data set at `directory`; it is gone afterwards, whatever happens.

    DatasetError where `directory` holds anything but a data set, or nothing can be written beside it.
    """
    directory = directory.resolve()
    if directory.exists() and not is_dataset(directory) and (not directory.is_dir() or any(directory.iterdir())):
        raise DatasetError(f"{directory} holds something other than a data set; give a new or empty directory")
    with _writing(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.")
    with scratch:
        yield Path(scratch.name)


def keep(scratch: Path, data: bytes) -> str:
    """Puts a picture into a scratch folder; its sha256. DatasetError where it takes none."""
    sha256 = hashlib.sha256(data).hexdigest()
    with _writing(scratch.parent):
        (scratch / sha256).write_bytes(data)
    return sha256


def write(
    directory: Path, scratch: Path, items: Sequence[Item], conflicts: Sequence[Conflict], about: About, *known: str
) -> Info:
    """Writes a data set whole or not at all; writing the same again changes nothing.

    `scratch` is the `scratch_beside` of this directory and holds each row's picture (`keep`): pictures are moved.
    `known` classes keep their order.
    DatasetError where the directory holds another version, or pictures of a part are in different splits.
    """
    directory = directory.resolve()
    _refuse_torn(items)
    items = sorted(items, key=lambda item: item.sha256)
    conflicts = sorted(conflicts, key=lambda conflict: conflict.sha256)
    tables = {MANIFEST: to_parquet(Item, items), CONFLICTS: to_parquet(Conflict, conflicts)}
    content = content_sha256(items, conflicts)
    made = Info(
        version=content[:VERSION_CHARS],
        content_sha256=content,
        manifest_sha256=hashlib.sha256(tables[MANIFEST]).hexdigest(),
        conflicts_sha256=hashlib.sha256(tables[CONFLICTS]).hexdigest(),
        classes=in_known_order(ordered({i.label for i in items}, about.good), (about.good, *known)),
        counts=_counts(items) | {"conflicts": len(conflicts)},
        **{f.name: getattr(about, f.name) for f in fields(About)},
    )
    if is_dataset(directory):
        return _the_same(directory, made)
    format_ = OUTLINED if have_outlines(items) else FORMAT
    with _writing(directory):
        new = scratch / "new"
        new.mkdir()
        for file, sha256 in [(i.file, i.sha256) for i in items] + [(c.file, c.sha256) for c in conflicts]:
            place = new / _place(file)
            place.parent.mkdir(parents=True, exist_ok=True)
            (scratch / sha256).rename(place)
        for name, table in tables.items():
            (new / name).write_bytes(table)
        (new / INFO).write_bytes(_json({"format": format_} | asdict(made), indent=2))
        if directory.exists():
            directory.rmdir()
        new.rename(directory)
    return made


def _refuse_torn(items: Sequence[Item]) -> None:
    homes: dict[str, set[str]] = {}
    for item in items:
        homes.setdefault(item.part_id, set()).add(item.split)
    if torn := next((part for part, splits in homes.items() if len(splits) > 1), None):
        raise DatasetError(
            f"pictures of part {torn} are in the splits {', '.join(sorted(homes[torn]))}; all pictures of a part "
            "belong to one: leave the split column out, or split by part"
        )


def is_dataset(directory: Path) -> bool:
    return (directory / INFO).is_file() and (directory / MANIFEST).is_file()


def read(directory: Path) -> LabelledSet:
    """A data set's facts and rows; DatasetError where there is none, or it was changed."""
    if not is_dataset(directory):
        raise DatasetError(f"{directory} holds no data set: expected a directory as `lineside dataset build` makes it")
    try:
        facts: Any = parse_json(INFO, (directory / INFO).read_bytes())
        if facts.pop("format") not in READABLE:
            raise DatasetError(f"{directory / INFO} has another format than {FORMAT}; build the data set again")
        info = Info(**facts | {"classes": tuple(facts.get("classes", ()))})
        manifest = _unchanged(directory, MANIFEST, info.manifest_sha256)
        conflicts = _unchanged(directory, CONFLICTS, info.conflicts_sha256)
        found = LabelledSet(info, tuple(from_parquet(Item, manifest)), tuple(from_parquet(Conflict, conflicts)))
        for item in found.items:
            if (place := _PLACE.fullmatch(item.file)) is None or place[1] != item.label or item.split not in SPLITS:
                raise DatasetError(f"{MANIFEST} of {directory} has a row that can't be: {item.file!r:.100}")
        for conflict in found.conflicts:
            _place(conflict.file)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise DatasetError(f"{directory} can't be read as a data set: {type(error).__name__}: {error}") from error
    return found


def examples(directory: Path) -> list[Example]:
    """A data set as training takes it, with its splits; DatasetError where there is none or a picture is missing."""
    found, labelled = [], read(directory)
    for item in labelled.items:
        encoded = image(directory, item)
        split = next(name for name in SPLITS if name == item.split)
        line = f"{item.plant}/{item.line}" if item.plant and item.line else None
        about = {"line": line, "SKU": item.sku, "camera": item.camera, "why": item.strategy}
        known = {name: value for name, value in about.items() if value is not None}
        found.append(
            Example(
                image=encoded,
                label=item.label,
                part_id=item.part_id,
                split=split,
                known=known,
                probability=item.probability,
                boxes=item.boxes,
                also=() if item.label == labelled.info.good else item.also,
            )
        )
    return found


def image(directory: Path, row: Item | Conflict) -> EncodedImage:
    """The picture of a row that `read` gave. DatasetError where its file is gone; decoding finds it changed."""
    try:
        data = (directory / row.file).read_bytes()
    except OSError as error:
        raise DatasetError(f"the picture {row.file} of {directory} can't be read: {error.strerror}") from error
    size = (row.width, row.height) if isinstance(row, Item) else (0, 0)
    return EncodedImage(data, "UNKNOWN", *size, sha256=row.sha256)


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{directory} can't be written: {error.strerror or error}; choose another place") from error


def _place(file: str) -> str:
    if not _PLACE.fullmatch(file):
        raise ValueError(f"a picture's place is {IMAGES}/<class>/<sha256>.<ext> or {SECOND_LOOK}/…; came {file!r:.120}")
    return file


def _unchanged(directory: Path, name: str, sha256: str) -> bytes:
    data = (directory / name).read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise DatasetError(f"{name} of {directory} was changed: {INFO} says sha256 {sha256}, it has {found}")
    return data


def _counts(items: Sequence[Item]) -> dict[str, Any]:
    by = {name: Counter(getattr(item, name) or "unknown" for item in items) for name in ("label", "split", "strategy")}
    return {"pictures": len(items), **{f"by_{name}": dict(sorted(found.items())) for name, found in by.items()}}


def content_sha256(items: Sequence[Item], conflicts: Sequence[Conflict]) -> str:
    """Digest of what a data set says, independent of how Parquet writes it and of the order of its rows."""
    rows = {
        "items": [plain(item) for item in sorted(items, key=lambda item: item.sha256)],
        "conflicts": [plain(conflict) for conflict in sorted(conflicts, key=lambda conflict: conflict.sha256)],
    }
    return hashlib.sha256(_json(rows)).hexdigest()


def _the_same(directory: Path, made: Info) -> Info:
    there = read(directory).info
    if there.content_sha256 != made.content_sha256:
        raise DatasetError(
            f"{directory} holds version {there.version} of {there.counts.get('pictures')} pictures already, and what "
            f"was built now is {made.version}; give another directory, versions are never overwritten"
        )
    return there


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    raise TypeError(f"{type(value).__name__} has no place in a data set")


def _json(value: Any, indent: int | None = None) -> bytes:
    return (json.dumps(value, indent=indent, sort_keys=True, allow_nan=False, default=_plain) + "\n").encode()
