"""Generates `records.py` and the schema history from the `.avsc` files, the one source of truth of every event.

    python -m schemas.generate                 write records.py; stop if a schema differs from its newest version
    python -m schemas.generate --new-version   the same, and keep each changed schema as a new version with a new id
    python -m schemas.generate --check         write nothing; exit 1 if anything would change

Small `.avsc` files name each other (`"type": "Outcome"`); the versions in `history/` are the expanded, self-contained
schemas that a registry serves. Ids in `ids.json` are never reused. Knows nothing of Kafka.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastavro.schema import load_schema

HERE = Path(__file__).resolve().parent
EVENTS = (
    "FrameCaptured", "VerdictIssued", "DefectDetected", "DeadLetter", "Recipe", "PartDecided", "ReworkOutcome",
    "SampleSelected", "LineWindow", "StationClaim", "AlarmRaised", "AuditEntry",
    "GateSignal", "ModelReleased", "DefectLocated", "ShadowCompared", "CameraReference", "ModelProposed",
)  # fmt: skip
KEY_ORDER = (
    "type", "name", "namespace", "doc", "items", "values", "symbols", "fields", "logicalType", "default",
)  # fmt: skip
HEAD = '''"""Records of every event, generated from the `.avsc` files by `python -m schemas.generate`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID
'''
PYTHON_TYPES = {
    "string": "str", "bytes": "bytes", "int": "int", "long": "int", "double": "float", "boolean": "bool",
    "uuid": "UUID", "timestamp-millis": "datetime",
}  # fmt: skip


def expanded(name: str) -> dict[str, Any]:
    """The self-contained schema of one event: every named type is spelled out where it is first used."""
    schema: dict[str, Any] = ordered(load_schema(str(HERE / f"lineside.{name}.avsc"), _write_hint=False))
    return schema


def ordered(schema: Any) -> Any:
    """The same schema with keys in one order (fastavro's changes from run to run) and without fastavro's own marks."""
    if isinstance(schema, list):
        return [ordered(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value if key == "default" else ordered(value) for key, value in schema.items() if key[:2] != "__"}
    return {key: kept[key] for key in sorted(kept, key=KEY_ORDER.index)}


def named_types(schema: Any) -> Iterator[dict[str, Any]]:
    """Records and enums inside a schema, dependencies first."""
    if isinstance(schema, list):
        for branch in schema:
            yield from named_types(branch)
    elif isinstance(schema, dict):
        for inner in (schema.get("items"), schema.get("values"), *(f["type"] for f in schema.get("fields", ()))):
            yield from named_types(inner)
        if isinstance(schema.get("type"), dict | list):
            yield from named_types(schema["type"])
        if schema.get("type") in ("record", "enum"):
            yield schema


class Shape:
    """How one Avro type looks in Python: its annotation, and the code that turns a value to and from Avro."""

    def __init__(self, schema: Any, kinds: dict[str, str]) -> None:
        self.nullable = isinstance(schema, list)
        inner = next(b for b in schema if b != "null") if self.nullable else schema
        if isinstance(inner, dict) and inner["type"] in ("array", "map"):
            self.container = inner["type"]
            inner = inner["items" if self.container == "array" else "values"]
        else:
            self.container = ""
        named = inner.get("logicalType") or inner.get("name") or inner["type"] if isinstance(inner, dict) else inner
        self.name = named.rsplit(".", 1)[-1]
        self.kind = kinds.get(self.name, "plain")
        base = PYTHON_TYPES.get(self.name, self.name)
        of = {"array": f"tuple[{base}, ...]", "map": f"Mapping[str, {base}]", "": base}[self.container]
        self.annotation = f"{of} | None" if self.nullable else of

    def to_avro(self, value: str) -> str:
        if self.kind != "record":
            return f"dict({value})" if self.container == "map" else value
        if self.container == "array":
            return f"[item.to_avro() for item in {value}]"
        return f"None if {value} is None else {value}.to_avro()" if self.nullable else f"{value}.to_avro()"

    def from_avro(self, value: str) -> str:
        build = {"enum": f"{self.name}(%s)", "record": f"{self.name}.from_avro(%s)", "plain": "%s"}[self.kind]
        if self.container == "array":
            return f"tuple({build % 'item'} for item in {value})" if self.kind != "plain" else f"tuple({value})"
        return (
            f"None if {value} is None else {build % value}" if self.nullable and self.kind != "plain" else build % value
        )


def default_code(shape: Shape, default: Any) -> str:
    if shape.container:
        return "field(default_factory=dict)" if shape.container == "map" else "()"
    return f"{shape.name}.{default}" if shape.kind == "enum" else repr(default)


def enum_code(schema: dict[str, Any]) -> Iterator[str]:
    yield f"\n\nclass {schema['name'].rsplit('.', 1)[-1]}(StrEnum):"
    yield f'    """{schema["doc"]}"""\n'
    yield from (f'    {symbol} = "{symbol}"' for symbol in schema["symbols"])


def record_code(schema: dict[str, Any], kinds: dict[str, str]) -> Iterator[str]:
    name = schema["name"].rsplit(".", 1)[-1]
    shapes = [(f, Shape(f["type"], kinds)) for f in schema["fields"]]
    yield f"\n\n@dataclass(frozen=True, slots=True, kw_only=True)\nclass {name}:"
    yield f'    """{schema["doc"]}"""\n'
    for f, shape in shapes:
        default = f" = {default_code(shape, f['default'])}" if "default" in f else ""
        yield f"    {f['name']}: {shape.annotation}{default}"
        if "doc" in f:
            yield f'    """{f["doc"]}"""'
    yield "\n    def to_avro(self) -> dict[str, Any]:"
    yield '        """The record as fastavro writes it."""'
    yield "        return {" + ", ".join(f'"{f["name"]}": {s.to_avro("self." + f["name"])}' for f, s in shapes) + "}"
    yield "\n    @classmethod"
    yield f"    def from_avro(cls, value: Mapping[str, Any]) -> {name}:"
    yield '        """The record from what fastavro read."""'
    yield (
        "        return cls("
        + ", ".join(f'{f["name"]}={s.from_avro(f"""value["{f["name"]}"]""")}' for f, s in shapes)
        + ")"
    )


def records_code(schemas: dict[str, dict[str, Any]]) -> str:
    """The whole text of records.py, formatted."""
    types = {t["name"].rsplit(".", 1)[-1]: t for s in schemas.values() for t in named_types(s)}
    kinds = {name: t["type"] for name, t in types.items()}
    lines = [HEAD]
    for schema in types.values():
        lines += enum_code(schema) if schema["type"] == "enum" else record_code(schema, kinds)
    lines.append("\n\nEvent = " + " | ".join(schemas))
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(HERE / "records.py"), "-"]
    return subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout


def new_versions(schemas: dict[str, dict[str, Any]], ids: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    """(row of ids.json, text of the history file) for every event that differs from its newest version."""
    changed: list[tuple[dict[str, Any], str]] = []
    for name, schema in schemas.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        versions = [row["version"] for row in ids if row["record"] == name]
        newest = HERE / "history" / f"{name}.{max(versions, default=0)}.avsc"
        if not newest.exists() or newest.read_text() != text:
            next_id = max((row["id"] for row in ids), default=0) + len(changed) + 1
            changed.append(({"id": next_id, "record": name, "version": max(versions, default=0) + 1}, text))
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--new-version", action="store_true")
    options = parser.parse_args()
    schemas = {name: expanded(name) for name in EVENTS}
    ids_file, records_file = HERE / "ids.json", HERE / "records.py"
    ids = json.loads(ids_file.read_text()) if ids_file.exists() else []
    changed, code = new_versions(schemas, ids), records_code(schemas)
    if changed and not options.new_version:
        names = ", ".join(row["record"] for row, _ in changed)
        print(f"{names}: differs from the newest version in history/; keep it with --new-version", file=sys.stderr)
        return 1
    if options.check:
        if records_file.read_text() != code:
            print("records.py is not what the schemas give; run python -m schemas.generate", file=sys.stderr)
            return 1
        return 0
    for row, text in changed:
        (HERE / "history" / f"{row['record']}.{row['version']}.avsc").write_text(text)
        ids.append(row)
    ids_file.write_text("[\n" + ",\n".join(json.dumps(row) for row in ids) + "\n]\n")
    records_file.write_text(code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
