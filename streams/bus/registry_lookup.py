"""What a read-only schema registry answers, without HTTP: look-ups in the Confluent REST format. Pure.

Place in the flow: `registry_server.py` maps paths to these methods. Bodies and error codes: the Confluent Schema
Registry API reference. Does not know where schemas come from, nor how answers travel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastavro.schema import to_parsing_canonical_form

COMPATIBILITY = "FULL_TRANSITIVE"
READ_ONLY = "this registry is read-only: its schemas come with Lineside"


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One version of a subject; several entries may share an id."""

    id: int
    subject: str
    version: int
    schema_json: str


class RegistryError(Exception):
    """An answer that is no success: the HTTP status, Confluent's error code, and a sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Registry:
    """The look-ups, without HTTP. Each returns what becomes the JSON body; each raises RegistryError."""

    def __init__(self, entries: Sequence[RegistryEntry]) -> None:
        self._entries = sorted(entries, key=lambda entry: (entry.subject, entry.version))
        self._canonical = {entry.schema_json: canonical_form(entry.schema_json) for entry in entries}

    def subjects(self) -> list[str]:
        return sorted({entry.subject for entry in self._entries})

    def types(self) -> list[str]:
        return ["AVRO"]

    def compatibility(self, subject: str = "") -> dict[str, str]:
        if subject:
            self._of(subject)
        return {"compatibilityLevel": COMPATIBILITY}

    def mode(self, subject: str = "") -> dict[str, str]:
        return {"mode": "READONLY"}

    def by_id(self, schema_id: str) -> dict[str, str]:
        return {"schema": self._with_id(schema_id)[0].schema_json}

    def raw_by_id(self, schema_id: str) -> Any:
        return json.loads(self._with_id(schema_id)[0].schema_json)

    def subjects_of_id(self, schema_id: str) -> list[str]:
        return [entry.subject for entry in self._with_id(schema_id)]

    def versions_of_id(self, schema_id: str) -> list[dict[str, Any]]:
        return [{"subject": entry.subject, "version": entry.version} for entry in self._with_id(schema_id)]

    def versions(self, subject: str) -> list[int]:
        return [entry.version for entry in self._of(subject)]

    def version(self, subject: str, version: str) -> dict[str, Any]:
        return _described(self._at(subject, version))

    def raw_version(self, subject: str, version: str) -> Any:
        return json.loads(self._at(subject, version).schema_json)

    def lookup(self, subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The version of a subject that has this schema, compared by Avro's parsing canonical form."""
        entries = self._of(subject)
        wanted = _canonical_of_body(body)
        for entry in entries:
            if self._canonical[entry.schema_json] == wanted:
                return _described(entry)
        raise RegistryError(404, 40403, "Schema not found")

    def register(self, subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The id of a schema that is there already."""
        try:
            return {"id": self.lookup(subject, body)["id"]}
        except RegistryError as error:
            if error.status != 404:
                raise
            raise RegistryError(422, 42205, f"Subject {subject} has no such schema, and {READ_ONLY}") from None

    def _of(self, subject: str) -> list[RegistryEntry]:
        if found := [entry for entry in self._entries if entry.subject == subject]:
            return found
        raise RegistryError(404, 40401, f"Subject '{subject}' not found.")

    def _at(self, subject: str, version: str) -> RegistryEntry:
        entries = self._of(subject)
        if version in ("latest", "-1"):
            return entries[-1]
        if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
            raise RegistryError(422, 42202, f"The specified version '{version}' is not a valid version id.")
        for entry in entries:
            if entry.version == int(version):
                return entry
        raise RegistryError(404, 40402, f"Version {version} not found.")

    def _with_id(self, schema_id: str) -> list[RegistryEntry]:
        found = [entry for entry in self._entries if str(entry.id) == schema_id]
        if not found:
            raise RegistryError(404, 40403, f"Schema {schema_id} not found")
        return found


def canonical_form(schema_json: str) -> str:
    """Avro's parsing canonical form of a schema's text; ValueError where it is no schema."""
    try:
        return str(to_parsing_canonical_form(json.loads(schema_json)))
    except Exception as error:  # fastavro raises all kinds on what is no schema
        raise ValueError(f"no Avro schema: {error}") from error


def _canonical_of_body(body: Mapping[str, Any]) -> str:
    try:
        return canonical_form(body["schema"])
    except (KeyError, TypeError, ValueError):
        raise RegistryError(422, 42201, 'expected {"schema": "<an Avro schema as text>"}') from None


def _described(entry: RegistryEntry) -> dict[str, Any]:
    return {"subject": entry.subject, "version": entry.version, "id": entry.id, "schema": entry.schema_json}
