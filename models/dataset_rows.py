"""The rows of a data set, and how Parquet holds them: one row group, no wall clock, so that the same rows give the same
bytes. Pure. Knows no file; columns are the fields of the rows, in their order. Where no box has an outline there is no
column for them, as before there were any.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "source"
"""Of a picture that came with its labels: people drew its boxes."""


Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y) in turn, the first not repeated."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a model found a defect, or a person drew one (score 1), in pixels of the upright picture, within it.

    `outlines` are the polygons of its mask together, each of corners (x, y) in the same pixels; empty: not known.
    """

    label: str
    score: float
    x: int
    y: int
    width: int
    height: int
    outlines: tuple[Polygon, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One labelled picture: a row of the manifest. What is None was not known.

    `part_id` is what keeps pictures together in one split: the part, else its lot, else its day, else the picture's own
    digest. `label_from` says how the label came about: `source` (pictures came with it), `found good`, `confirmed` (the
    model's own) or `corrected`. `probability` is what experts say of a defect, 0 to 1, `source_file` the name that the
    picture had where it came from.
    """

    file: str
    sha256: str
    pixel_sha256: str
    width: int
    height: int
    label: str
    split: str
    part_id: str
    label_from: str
    near_hash: str | None
    boxes: tuple[Box, ...]
    source_file: str | None = None
    probability: float | None = None
    lot_id: str | None = None
    captured_at: datetime | None = None
    plant: str | None = None
    line: str | None = None
    station: str | None = None
    camera: str | None = None
    sku: str | None = None
    pass_no: int = 1
    outcome_id: str | None = None
    labelled_at: datetime | None = None
    reviews: int = 0
    sample_id: str | None = None
    verdict_id: str | None = None
    frame_id: str | None = None
    strategy: str | None = None
    inclusion_probability: float | None = None
    why: str | None = None
    predicted_label: str | None = None
    score: float | None = None
    model_id: str | None = None
    recipe_version: int | None = None
    inspected_at: datetime | None = None
    selected_at: datetime | None = None

    @property
    def also(self) -> tuple[str, ...]:
        """What a picture that came with its labels shows beside its own, by the boxes that people drew.

        A model's boxes say nothing: people named one label.
        """
        drawn = {box.label for box in self.boxes} if self.label_from == SOURCE else set[str]()
        return tuple(sorted(drawn - {self.label}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One picture that people disagree about: left out of training. `labels` are all that it was given."""

    file: str
    sha256: str
    pixel_sha256: str
    why: str
    labels: tuple[str, ...]
    part_id: str
    outcome_ids: tuple[str, ...] = ()
    source_file: str | None = None
    sample_id: str | None = None
    verdict_id: str | None = None
    plant: str | None = None
    line: str | None = None
    station: str | None = None
    sku: str | None = None
    inspected_at: datetime | None = None


Row = TypeVar("Row", Item, Conflict)


def to_parquet(kind: type[Row], rows: Sequence[Row]) -> bytes:
    """Rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, file = _schema(kind, have_outlines(rows)), io.BytesIO()
    table = pa.Table.from_pylist([plain(row) for row in rows], schema=schema)
    pq.write_table(table, file, compression="zstd", row_group_size=len(rows) or 1)
    return file.getvalue()


def have_outlines(rows: Sequence[Item] | Sequence[Conflict]) -> bool:
    """Whether any box of the rows has an outline."""
    return any(box.outlines for row in rows if isinstance(row, Item) for box in row.boxes)


def plain(row: Item | Conflict) -> dict[str, Any]:
    """A row as a mapping; a box without an outline doesn't mention it, so that its digest is what it always was."""
    found = asdict(row)
    for box in found.get("boxes", ()):
        if not box["outlines"]:
            del box["outlines"]
    return found


def from_parquet(kind: type[Row], data: bytes) -> list[Row]:
    """Rows of a file as `to_parquet` makes it. ValueError or TypeError where it is none."""
    import pyarrow.parquet as pq

    found = pq.read_table(io.BytesIO(data)).to_pylist()
    return [kind(**{name: _from_arrow(name, value) for name, value in row.items()}) for row in found]


def _schema(kind: type[Any], outlined: bool) -> pa.Schema:
    """Columns by the fields' types as they are written above; outlines of boxes where there are any."""
    import pyarrow as pa

    kinds = {
        "str": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "datetime": pa.timestamp("ms", "UTC"),
        "tuple[str, ...]": pa.list_(pa.string()),
    }
    if kind is Box:
        kinds["tuple[Polygon, ...]"] = pa.list_(pa.list_(pa.list_(pa.float64(), 2)))
    else:
        kinds["tuple[Box, ...]"] = pa.list_(pa.struct(list(_schema(Box, outlined))))
    wanted = [f for f in fields(kind) if outlined or f.name != "outlines"]
    columns = [(f.name, str(f.type).partition(" | ")) for f in wanted]
    return pa.schema([pa.field(name, kinds[type_], nullable=bool(null)) for name, (type_, null, _) in columns])


def _from_arrow(name: str, value: Any) -> Any:
    if name == "boxes":
        return tuple(Box(**box | {"outlines": _polygons(box.get("outlines") or ())}) for box in value)
    return tuple(value) if isinstance(value, list) else value


def _polygons(value: Any) -> tuple[Polygon, ...]:
    return tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in value)
