"""Questions to the archive in SQL: one DuckDB connection with a view for every table.

Place in the flow: `lineside query` and `lineside part` ask people's questions through it, the replay its own. A view
names the committed files alone, so a session sees one state of the archive. What is not archived yet can be joined to a
view as an Arrow table. Nothing but the archive can be read, and no extension is fetched; `ask` writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from streams.archive.catalogue import Catalogue
from streams.archive.tables import PICTURE_SCHEMA, PICTURES, TABLES
from streams.errors import CallerError

NO_DOWNLOADS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
VIEWS = (*TABLES, PICTURES)
_PICTURE_COLUMNS = "kept_for, inclusion_probability, picture_ref, picture_sha256, picture_bytes"


@dataclass(frozen=True, slots=True)
class Narrow:
    """Which files a session sees at all: of a plant, a line, and days (inclusive, as 2026-03-01), or about a part."""

    plant: str | None = None
    line: str | None = None
    since: str | None = None
    until: str | None = None
    part_id: str | None = None


def connect(
    archive: Catalogue | None,
    recent: Mapping[str, pa.Table] | None = None,
    narrow: Narrow = Narrow(),
) -> duckdb.DuckDBPyConnection:
    """A connection with the views verdicts, defects, parts, outcomes, frames and pictures. Close it.

    Copies of events are left out. `frames` tells also what is kept of a frame's picture: where both a share and a
    correction keep it, the share's row, whose probability is known.
    """
    db = duckdb.connect(config=NO_DOWNLOADS)
    db.execute("SET TimeZone = 'UTC'")
    for name, table in TABLES.items():
        _view(db, archive, name, table.schema, (recent or {}).get(name), narrow)
    _view(db, archive, PICTURES, PICTURE_SCHEMA, (recent or {}).get(PICTURES), narrow)
    db.execute(
        f"CREATE VIEW frames AS SELECT f.*, {_PICTURE_COLUMNS} FROM frames_alone f LEFT JOIN ("
        f'SELECT plant, line, partition, "offset", {_PICTURE_COLUMNS} FROM pictures QUALIFY row_number() OVER ('
        'PARTITION BY partition, "offset" ORDER BY inclusion_probability IS NULL) = 1) p '
        'ON f.plant = p.plant AND f.line = p.line AND f.partition = p.partition AND f."offset" = p."offset"'
    )
    if archive is not None:
        folder = str(archive.folder.resolve())
        db.execute(f"SET allowed_directories = [{quoted(folder)}]")
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")
    return db


def _view(
    db: duckdb.DuckDBPyConnection,
    archive: Catalogue | None,
    name: str,
    schema: pa.Schema,
    recent: pa.Table | None,
    narrow: Narrow,
) -> None:
    parts, columns = [], ", ".join(f'"{field.name}"' for field in schema)
    if archive is not None and (paths := _paths(archive, name, narrow)):
        listed = ", ".join(quoted(str(path)) for path in paths)
        # Both typed: a line named 1 stays text, and filters by plant, line and day skip files.
        types = "hive_types = {'plant': VARCHAR, 'line': VARCHAR, 'day': DATE}"
        parts.append(f"SELECT {columns}, day FROM read_parquet([{listed}], hive_partitioning = true, {types})")
    db.register(f"recent_{name}", recent if recent is not None else schema.empty_table())
    day = "appended_at::DATE" if "appended_at" in schema.names else "NULL::DATE"
    parts.append(f"SELECT {columns}, {day} AS day FROM recent_{name}")
    where = " WHERE is_copy IS NOT TRUE" if "is_copy" in schema.names else ""
    view = "frames_alone" if name == "frames" else name
    db.execute(f"CREATE VIEW {view} AS SELECT * FROM ({' UNION ALL '.join(parts)}){where}")  # ours


def _paths(archive: Catalogue, name: str, narrow: Narrow) -> list[Path]:
    files = archive.files(name, **asdict(narrow))
    return [archive.folder.resolve() / file.path for file in files]


def quoted(text: str) -> str:
    """Text as a literal in SQL."""
    return "'" + text.replace("'", "''") + "'"


def ask(db: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """The answer to one SELECT; CallerError for anything else, and for SQL that DuckDB can't run."""
    try:
        statements = db.extract_statements(sql)
        if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
            raise CallerError("one SELECT can be asked, nothing that writes; the views are " + ", ".join(VIEWS))
        return db.sql(sql)
    except duckdb.Error as error:
        raise CallerError(f"DuckDB can't answer that: {error}") from error
