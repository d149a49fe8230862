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
CHANGEOVERS = "changeovers"
VIEWS = (*TABLES, PICTURES, CHANGEOVERS)
MADE_OF = {CHANGEOVERS: frozenset({"verdicts"})}
"""Views that are questions to others."""
_CHANGEOVERS = (
    "CREATE VIEW changeovers AS SELECT plant, line, sku, recipe_version, model_id, model_sha256, "
    "min(source_timestamp) AS first_at, max(source_timestamp) AS last_at, "
    "arg_min(verdict_id, source_timestamp) AS first_verdict_id, count(*) AS frames, min(day) AS day "
    "FROM verdicts WHERE recipe_version IS NOT NULL AND model_sha256 IS NOT NULL GROUP BY ALL"
)
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
    """A connection with the views verdicts, defects, parts, outcomes, frames, pictures and changeovers. Close it.

    `changeovers` tells when each line and SKU was first and last judged by a recipe's version and a model.

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
    db.execute(_CHANGEOVERS)
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
    columns = ", ".join(f'"{field.name}"' for field in schema)
    day = "appended_at::DATE" if "appended_at" in schema.names else "NULL::DATE"
    source = f"SELECT *, {day} AS day FROM recent_{name}"
    if archive is not None and (paths := _paths(archive, name, narrow)):
        listed = ", ".join(quoted(str(path)) for path in paths)
        # Both typed: a line named 1 stays text, and filters by plant, line and day skip files.
        types = "hive_types = {'plant': VARCHAR, 'line': VARCHAR, 'day': DATE}"
        options = f"hive_partitioning = true, union_by_name = true, {types}"
        # By name: files of an earlier version lack the columns that came later, which are empty then.
        source = f"SELECT * FROM read_parquet([{listed}], {options}) UNION ALL BY NAME {source}"
    db.register(f"recent_{name}", recent if recent is not None else schema.empty_table())
    where = " WHERE is_copy IS NOT TRUE" if "is_copy" in schema.names else ""
    view = "frames_alone" if name == "frames" else name
    db.execute(f"CREATE VIEW {view} AS SELECT {columns}, day FROM ({source}){where}")  # ours


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
