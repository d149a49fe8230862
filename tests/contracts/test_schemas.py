"""The events' schemas as a contract with everyone: compatible with their past, stable to the byte, one fact once."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from schemas import records
from schemas.codec import Codec, CommittedSchema, CommittedSource, committed_schemas
from schemas.generate import EVENTS, expanded, named_types
from tests.contracts.samples import SAMPLES

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
COMMITTED = committed_schemas()


def incompatibilities(reader: Any, writer: Any) -> list[str]:
    """Why `reader` can't read everything that `writer` writes, by the reference implementation's rules."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    return [] if result.compatibility is SchemaCompatibilityType.compatible else sorted(result.messages)


@pytest.mark.parametrize("past", COMMITTED, ids=lambda s: f"{s.record}.{s.version}")
def test_each_schema_reads_and_is_read_by_all_of_its_past(past: CommittedSchema) -> None:
    present, earlier = expanded(past.record), json.loads(past.text)
    assert incompatibilities(reader=present, writer=earlier) == []
    assert incompatibilities(reader=earlier, writer=present) == []


def with_field(schema: dict[str, Any], **field: Any) -> dict[str, Any]:
    changed = copy.deepcopy(schema)
    changed["fields"].append(field)
    return changed


def test_the_check_tells_a_breaking_change_from_a_harmless_one() -> None:
    recipe = expanded("Recipe")
    assert incompatibilities(reader=with_field(recipe, name="new", type="string"), writer=recipe) == ["new"]
    assert incompatibilities(reader=with_field(recipe, name="new", type="string", default=""), writer=recipe) == []
    less = recipe | {"fields": recipe["fields"][1:]}
    assert incompatibilities(reader=recipe, writer=less) == ["plant"]


def test_the_generated_code_is_what_the_schemas_give() -> None:
    command = [sys.executable, "-m", "schemas.generate", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_named_type_is_the_same_in_every_event() -> None:
    seen: dict[str, Any] = {}
    for event in EVENTS:
        for named in named_types(expanded(event)):
            assert spelled_out(named) == seen.setdefault(named["name"], spelled_out(named)), (event, named["name"])
    assert set(seen) >= {"lineside.Outcome", "lineside.Reason", "lineside.VerdictIssued", "lineside.Box"}


def spelled_out(schema: Any) -> Any:
    """A schema with every nested named type replaced by its name, however it is written down."""
    if isinstance(schema, list):
        return [_reference(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {k: _reference(v) if k in ("items", "values") else v for k, v in schema.items()}
    if "fields" in schema:
        parts["fields"] = [f | {"type": _reference(f["type"])} for f in schema["fields"]]
    return parts


def _reference(schema: Any) -> Any:
    if isinstance(schema, dict) and "name" in schema:
        return schema["name"]
    return spelled_out(schema)


@pytest.mark.parametrize("event", EVENTS)
def test_every_enum_has_the_default_unknown_and_every_symbol_a_python_name(event: str) -> None:
    enums = [t for t in named_types(expanded(event)) if t["type"] == "enum"]
    for enum in enums:
        assert (enum["default"], enum["symbols"][0]) == ("UNKNOWN", "UNKNOWN"), enum["name"]
        python = getattr(records, enum["name"].removeprefix("lineside."))
        assert [member.value for member in python] == enum["symbols"]


def test_ids_are_unique_and_every_event_has_its_history_without_gaps() -> None:
    assert len({schema.id for schema in COMMITTED}) == len(COMMITTED)
    for event in EVENTS:
        versions = [schema.version for schema in COMMITTED if schema.record == event]
        assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_bytes_of_a_record_never_change(name: str) -> None:
    """`golden/{event}.{version}.hex` is what this version wrote; a new version adds a file and never edits one."""
    version = max(schema.version for schema in COMMITTED if schema.record == name)
    codec = Codec(CommittedSource())
    golden = bytes.fromhex((HERE / "golden" / f"{name}.{version}.hex").read_text())
    assert codec.encode(SAMPLES[name]) == golden
    assert codec.decode(golden, type(SAMPLES[name])) == SAMPLES[name]


@pytest.mark.parametrize("past", COMMITTED, ids=lambda s: f"{s.record}.{s.version}")
def test_the_bytes_of_every_past_version_can_be_read(past: CommittedSchema) -> None:
    golden = bytes.fromhex((HERE / "golden" / f"{past.record}.{past.version}.hex").read_text())
    Codec(CommittedSource()).decode(golden, getattr(records, past.record))
