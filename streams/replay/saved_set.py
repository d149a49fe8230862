"""A saved set of frames or parts: a Parquet or CSV file with a column frame_id or part_id, or text of ids."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from streams.errors import CallerError

MOST = 1_000_000


def read_set(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Frame ids and part ids of a set, one of them empty. CallerError for a file that is none."""
    try:
        if path.suffix == ".parquet":
            return _of_table(path, pq.read_table(path))
        if path.suffix == ".csv":
            text = pc.ConvertOptions(column_types={"frame_id": pa.string(), "part_id": pa.string()})
            return _of_table(path, pc.read_csv(path, convert_options=text))
        lines = frozenset(line.strip() for line in path.read_text().splitlines() if line.strip())
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise CallerError(f"the set {path} can't be read: {error}") from error
    _check(path, lines)
    return (lines, frozenset()) if all(map(_is_uuid, lines)) else (frozenset(), lines)


def _of_table(path: Path, table: pa.Table) -> tuple[frozenset[str], frozenset[str]]:
    for name in ("frame_id", "part_id"):
        if name in table.column_names:
            ids = frozenset(str(value) for value in table.column(name).to_pylist() if value is not None)
            _check(path, ids)
            return (ids, frozenset()) if name == "frame_id" else (frozenset(), ids)
    raise CallerError(f"the set {path} needs a column frame_id or part_id; it has {', '.join(table.column_names)}")


def _check(path: Path, ids: frozenset[str]) -> None:
    if not 0 < len(ids) <= MOST:
        raise CallerError(f"the set {path} must hold 1 to {MOST:,} ids; it holds {len(ids):,}")


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
