"""What a file's name and folder tell of its picture: `--name-pattern` and the labels. Pure but for reading the CSV.

A pattern such as `{sku}_{part_id}_{view}.{ext}` is matched against the end of a file's path, as many folders deep as
the pattern has slashes. A placeholder ends at the first character that follows it in the pattern, so matching takes
one pass, whatever the names. Knows nothing of pictures or events.
"""

from __future__ import annotations

import csv
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from streams.errors import CallerError

_NAME: Final = "A-Za-z0-9._-"
_NAMES: Final = ("plant", "line", "station", "camera", "sku")  # parts of Kafka keys
_NUMBERS: Final = ("pass_no", "view", "views")
_TEXTS: Final = ("part_id", "lot_id", "order_id", "label")
PLACEHOLDERS: Final = (*_NAMES, *_NUMBERS, *_TEXTS, "ext", "_")
TELLING: Final = (*_NAMES, *_NUMBERS, "part_id", "lot_id", "order_id")
"""What a table may say of a picture, and its name."""
FOR_SETS: Final = ("split", "probability", "captured_at")
"""What a table may say for data sets alone: the split, experts' probability of a defect, and an ISO 8601 time."""


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A checked pattern; make it by `NamePattern.parse`."""

    text: str
    regex: re.Pattern[str]
    depth: int  # names of a path that it covers

    @classmethod
    def parse(cls, text: str) -> NamePattern:
        """CallerError for a pattern with unknown, repeated or adjoining placeholders. `{_}` skips what nobody needs."""
        try:
            pieces = [(literal, field, spec, conv) for literal, field, spec, conv in string.Formatter().parse(text)]
        except ValueError as error:
            raise _bad(text, f"{error}; a brace itself is written {{{{ or }}}}") from None
        seen: set[str] = set()
        regex = ""
        for index, (literal, field, spec, conversion) in enumerate(pieces):
            regex += re.escape(literal)
            if field is None:
                continue
            if field not in PLACEHOLDERS or spec or conversion:
                raise _bad(text, f"{{{field}}} is no placeholder; there are {', '.join(PLACEHOLDERS)}")
            if field in seen:
                raise _bad(text, f"{{{field}}} comes twice")
            seen |= {field} - {"_"}
            following = pieces[index + 1] if index + 1 < len(pieces) else ("", None, None, None)
            if not following[0] and following[1] is not None:
                raise _bad(text, f"nothing parts {{{field}}} from {{{following[1]}}}")
            regex += _group(field, following[0][:1])
        if not seen:
            raise _bad(text, "it has no placeholder")
        return cls(text, re.compile(regex), text.count("/") + 1)

    def match(self, path: PurePosixPath) -> Mapping[str, str] | None:
        """The placeholders' values in a relative path, `ext` and `_` aside; None where the path does not match."""
        found = self.regex.fullmatch("/".join(path.parts[-self.depth :]))
        return None if found is None else {k: v for k, v in found.groupdict().items() if k != "ext"}


def _group(field: str, end: str) -> str:
    """A group that stops before the character `end`."""
    stop = f"(?!{re.escape(end)})" if end else ""
    if field in _NUMBERS:
        kind, most = "[0-9]", 6
    elif field == "ext":
        kind, most = "[A-Za-z0-9]", 8
    else:
        kind, most = (f"[{_NAME}]", 64) if field in _NAMES else ("[^/]", 200)
    return f"{'' if field == '_' else f'?P<{field}>'}".join(("(", f"(?:{stop}{kind}){{1,{most}}})"))


def _bad(text: str, why: str) -> CallerError:
    return CallerError(
        f"the name pattern {text!r} can't be used: {why}; a good one is '{{sku}}_{{part_id}}_{{view}}.{{ext}}'"
    )


class FolderLabels:
    """The label of a picture is the name of the folder it lies in; none directly in the source's folder."""

    def of(self, path: PurePosixPath) -> str | None:
        return path.parts[-2] if len(path.parts) > 1 else None

    def told(self, path: PurePosixPath) -> Mapping[str, str]:
        """What else is known of a picture, by placeholder: nothing."""
        return {}


class CsvLabels:
    """Labels from a CSV with the columns `file` (path relative to the source's folder, or a bare name) and `label`.

    Columns named as placeholders, such as part_id, lot_id and sku, tell more of a picture; so do those of `FOR_SETS`.
    """

    def __init__(self, file: Path) -> None:
        """Reads all of it; CallerError for a table that can't be read, lacks a column or names a file twice."""
        self._labels: dict[str, str] = {}
        self._told: dict[str, dict[str, str]] = {}
        try:
            with file.open(newline="", encoding="utf-8-sig") as text:
                table = csv.DictReader(text)
                if not {"file", "label"} <= set(table.fieldnames or ()):
                    raise CallerError(f"{file} needs the columns file and label; it has {table.fieldnames}")
                for row in table:
                    self._add(file, table.line_num, row)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise CallerError(f"the labels {file} can't be read: {error}") from error

    def _add(self, file: Path, line: int, row: Mapping[str, str | None]) -> None:
        name, label = row["file"], row["label"]
        if not name or not label:
            raise CallerError(f"{file}, line {line}: expected a file and its label; came {name!r} and {label!r}")
        name = PurePosixPath(name).as_posix()
        if self._labels.setdefault(name, label) != label:
            raise CallerError(f"{file}, line {line}: {name} has two labels, {self._labels[name]!r} and {label!r}")
        self._told[name] = {key: row[key] or "" for key in (*TELLING, *FOR_SETS) if row.get(key)}

    def of(self, path: PurePosixPath) -> str | None:
        return self._labels.get(path.as_posix()) or self._labels.get(path.name)

    def told(self, path: PurePosixPath) -> Mapping[str, str]:
        """What else the table says of a picture, by column."""
        return self._told.get(path.as_posix()) or self._told.get(path.name) or {}


class NoLabels:
    """Nobody knows the truth."""

    def of(self, path: PurePosixPath) -> str | None:
        return None

    def told(self, path: PurePosixPath) -> Mapping[str, str]:
        """Nothing."""
        return {}


class Labels(Protocol):
    """What is known of the pictures of a folder, by their paths in it."""

    def of(self, path: PurePosixPath) -> str | None:
        """The label; None where there is none."""

    def told(self, path: PurePosixPath) -> Mapping[str, str]:
        """More, by the names of `TELLING` and `FOR_SETS`."""
