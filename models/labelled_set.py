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
from models.dataset import SPLITS, Example, Split, split_of
from models.dataset_rows import Conflict, Item, from_parquet, to_parquet
from models.errors import DatasetError
from models.preprocess import EncodedImage

FORMAT = 1
INFO, MANIFEST, CONFLICTS = "dataset.json", "manifest.parquet", "conflicts.parquet"
IMAGES, SECOND_LOOK = "images", "second_look"
_CLASS = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"  # as a model's artifact wants it, and never `.` or `..`
_FILE = r"[0-9a-f]{64}\.[a-z0-9]{1,8}"
_PLACE = re.compile(rf"{IMAGES}/({_CLASS})/{_FILE}|{SECOND_LOOK}/{_FILE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What `dataset.json` says. `good` is the class of good parts, `tool_version` the Lineside that built it.

    `sources` are the offsets behind the last event read, by topic and partition; `left_out` counts samples by why.
    """

    version: str
    name: str
    good: str
    tool_version: str
    content_sha256: str
    manifest_sha256: str
    conflicts_sha256: str
    counts: Mapping[str, Any]
    left_out: Mapping[str, int]
    sources: Mapping[str, Mapping[str, int]]
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The part of `Info` that the builder says."""

    name: str
    good: str
    tool_version: str
    left_out: Mapping[str, int]
    sources: Mapping[str, Mapping[str, int]]
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


def home_of(part_id: str | None, image_sha256: str) -> tuple[str, Split]:
    """The part that a picture counts for and its split, as training does it."""
    part = part_id or image_sha256
    return part, split_of(part)


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


def write(directory: Path, scratch: Path, items: Sequence[Item], conflicts: Sequence[Conflict], about: About) -> Info:
    """Writes a data set whole or not at all; writing the same again changes nothing.

    `scratch` is the `scratch_beside` of this directory and holds each row's picture (`keep`): pictures are moved.
    DatasetError where the directory holds another version.
    """
    directory = directory.resolve()
    items = sorted(items, key=lambda item: item.sha256)
    conflicts = sorted(conflicts, key=lambda conflict: conflict.sha256)
    tables = {MANIFEST: to_parquet(Item, items), CONFLICTS: to_parquet(Conflict, conflicts)}
    content = _content_sha256(items, conflicts)
    made = Info(
        version=content[:16],
        content_sha256=content,
        manifest_sha256=hashlib.sha256(tables[MANIFEST]).hexdigest(),
        conflicts_sha256=hashlib.sha256(tables[CONFLICTS]).hexdigest(),
        counts=_counts(items) | {"conflicts": len(conflicts)},
        **{f.name: getattr(about, f.name) for f in fields(About)},
    )
    if is_dataset(directory):
        return _the_same(directory, made)
    with _writing(directory):
        new = scratch / "new"
        new.mkdir()
        for file, sha256 in [(i.file, i.sha256) for i in items] + [(c.file, c.sha256) for c in conflicts]:
            place = new / _place(file)
            place.parent.mkdir(parents=True, exist_ok=True)
            (scratch / sha256).rename(place)
        for name, table in tables.items():
            (new / name).write_bytes(table)
        (new / INFO).write_bytes(_json({"format": FORMAT} | asdict(made), indent=2))
        if directory.exists():
            directory.rmdir()
        new.rename(directory)
    return made


def is_dataset(directory: Path) -> bool:
    return (directory / INFO).is_file() and (directory / MANIFEST).is_file()


def read(directory: Path) -> LabelledSet:
    """A data set's facts and rows; DatasetError where there is none, or it was changed."""
    if not is_dataset(directory):
        raise DatasetError(f"{directory} holds no data set: expected a directory as `lineside dataset build` makes it")
    try:
        facts: Any = parse_json(INFO, (directory / INFO).read_bytes())
        if facts.pop("format") != FORMAT:
            raise DatasetError(f"{directory / INFO} has another format than {FORMAT}; build the data set again")
        info = Info(**facts)
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
    found = []
    for item in read(directory).items:
        try:
            data = (directory / item.file).read_bytes()
        except OSError as error:
            raise DatasetError(f"the picture {item.file} of {directory} can't be read: {error.strerror}") from error
        image = EncodedImage(data, "UNKNOWN", item.width, item.height, sha256=item.sha256)
        split = next(name for name in SPLITS if name == item.split)
        known = {"line": f"{item.plant}/{item.line}", "SKU": item.sku, "camera": item.camera, "why": item.strategy}
        found.append(Example(image=image, label=item.label, part_id=item.part_id, split=split, known=known))
    return found


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
    by = {name: Counter(getattr(item, name) for item in items) for name in ("label", "split", "strategy")}
    return {"pictures": len(items), **{f"by_{name}": dict(sorted(found.items())) for name, found in by.items()}}


def _content_sha256(items: Sequence[Item], conflicts: Sequence[Conflict]) -> str:
    """Digest of what a data set says, independent of how Parquet writes it."""
    rows = {"items": [asdict(item) for item in items], "conflicts": [asdict(conflict) for conflict in conflicts]}
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
