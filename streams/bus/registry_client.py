"""An external schema registry (Confluent's REST interface) as the source of schema ids.

With LINESIDE_SCHEMA_REGISTRY_URL the ids of that registry alone count. What was once looked up is kept on disk, so that
an outage stops nothing that is known. Calls block, with timeouts: a schema id is asked for once, at its first sight.
Knows nothing of Kafka but the names of subjects.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, Request

from fastavro import parse_schema

from schemas.codec import Codec, CommittedSchema, CommittedSource, Schema, SchemaUnknownError, committed_schemas
from streams.bus.registry_lookup import RegistryEntry
from streams.errors import CallerError, OperatorError
from streams.settings import Settings
from streams.topics import TOPICS, Topic

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
ANSWER_MAX_BYTES = 1 << 20
UNKNOWN_FOR_S = 30.0
UNKNOWN_MAX_IDS = 4096
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


def subject_of(topic: Topic, prefix: str) -> str:
    """The registry's name for what a topic's values are, by Confluent's default TopicNameStrategy."""
    return f"{prefix}{topic.name}-value"


def registry_entries(prefix: str) -> tuple[RegistryEntry, ...]:
    """The committed schemas under the subject of every topic that carries them, for `registry_server`."""
    return tuple(
        RegistryEntry(schema.id, subject_of(topic, prefix), schema.version, schema.text)
        for topic in TOPICS.values()
        for schema in committed_schemas()
        if schema.record == topic.record.__name__
    )


def codec_for(settings: Settings) -> Codec:
    """The codec of an installation: by the configured registry's ids, else by the committed ones."""
    if not settings.schema_registry_url:
        return Codec(CommittedSource())
    return Codec(registry_source(settings))


def registry_source(settings: Settings) -> RegistrySource:
    """The configured registry, with its cache in the data directory."""
    url = settings.schema_registry_url
    return RegistrySource(RegistryHttp(url), settings.topic_prefix, settings.data_dir / "registry-cache")


class RegistryHttp:
    """Plain requests to a registry: no proxies, no redirects, bounded in time and size. Credentials in the URL work."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CallerError(
                f"schema_registry_url must be http(s)://host[:port]; came {parts.scheme}://{parts.hostname}"
            )
        self.address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        if parts.username is not None:
            pair = f"{parts.username}:{parts.password or ''}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._opener = OpenerDirector()  # without urllib's usual handlers of proxies, redirects, files and FTP
        for handler in (HTTPHandler(), HTTPSHandler()):
            self._opener.add_handler(handler)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of GET, or of POST with `body`; OperatorError where no proper answer comes."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.address + path, data, self._headers)  # noqa: S310  # the scheme is checked above
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return int(answer.status), self._object(answer.read(ANSWER_MAX_BYTES + 1))
        except (URLError, HTTPException, OSError) as error:
            raise self._failed(str(error)) from error

    def _object(self, text: bytes) -> dict[str, Any]:
        if len(text) > ANSWER_MAX_BYTES:
            raise self._failed(f"its answer is above {ANSWER_MAX_BYTES} bytes")
        try:
            value = json.loads(text)
        except ValueError:
            raise self._failed("its answer is no JSON") from None
        if not isinstance(value, dict):
            raise self._failed("its answer is no JSON object")
        return value

    def _failed(self, why: str) -> OperatorError:
        return OperatorError(
            f"the schema registry {self.address} gave no proper answer: {why}; see that it runs and that "
            "LINESIDE_SCHEMA_REGISTRY_URL names it"
        )


class RegistrySource:
    """Implements `schemas.codec.SchemaSource` by a registry."""

    def __init__(
        self, http: RegistryHttp, prefix: str, cache_dir: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._prefix = prefix
        self._cache = cache_dir / _digest(http.address)  # another registry, other ids
        self._clock = clock
        self._parsed: dict[int, Schema] = {}
        self._unknown_until: OrderedDict[int, float] = OrderedDict()

    def writer_schema(self, schema_id: int) -> Schema:
        """The parsed schema; SchemaUnknownError where the registry has none, OperatorError where it can't be asked."""
        if schema_id not in self._parsed:
            if self._clock() < self._unknown_until.get(schema_id, 0.0):
                raise self._unknown(schema_id)
            self._parsed[schema_id] = self._look_up(schema_id)
        return self._parsed[schema_id]

    def _look_up(self, schema_id: int) -> Schema:
        kept = self._cache / f"{schema_id}.avsc"
        if (text := _read(kept)) is not None and (parsed := self._parse(schema_id, text)) is not None:
            return parsed
        status, answer = self._http.ask(f"/schemas/ids/{schema_id}")
        if status == 404:
            raise self._remember_unknown(schema_id)
        text = str(self._expected(status, answer, "schema"))
        if (parsed := self._parse(schema_id, text)) is None:
            raise self._remember_unknown(schema_id)
        _keep(kept, text)
        return parsed

    def _parse(self, schema_id: int, text: str) -> Schema | None:
        """The parsed record schema, None for anything else (Protobuf, references, nonsense): it can decode nothing."""
        try:
            value = json.loads(text)
            if not isinstance(value, dict) or value.get("type") != "record":
                raise ValueError("not an Avro record")
            return parse_schema(value)
        except Exception as error:  # fastavro raises whatever the nonsense trips over
            log.warning("schema %d of %s can't be used: %s", schema_id, self._http.address, error)
            return None

    def id_of(self, record: str) -> int:
        """The registry's id of our newest schema of an event; CallerError where it isn't registered."""
        schema, subject = self._newest(record)
        kept = self._cache / f"{_digest(subject + schema.text)}.id"
        if (text := _read(kept)) is not None and text.isdigit():
            return int(text)
        status, answer = self._http.ask(f"/subjects/{quote(subject, safe='')}", {"schema": schema.text})
        if status == 404:
            raise CallerError(
                f"the schema registry {self._http.address} does not have the present {record} as {subject}; "
                "register the schemas with `lineside topics --create`"
            )
        schema_id = int(self._expected(status, answer, "id"))
        _keep(kept, str(schema_id))
        return schema_id

    def register_schemas(self) -> dict[str, int]:
        """Registers our newest schema of every topic; ids by subject. CallerError where the registry refuses one."""
        ids = {}
        for topic in TOPICS.values():
            schema, _ = self._newest(topic.record.__name__)
            subject = subject_of(topic, self._prefix)
            path = f"/subjects/{quote(subject, safe='')}/versions"
            ids[subject] = int(self._expected(*self._http.ask(path, {"schema": schema.text}), "id"))
        return ids

    def _newest(self, record: str) -> tuple[CommittedSchema, str]:
        schema = [schema for schema in committed_schemas() if schema.record == record][-1]
        topic = next(topic for topic in TOPICS.values() if topic.record.__name__ == record)
        return schema, subject_of(topic, self._prefix)

    def _expected(self, status: int, answer: dict[str, Any], field: str) -> Any:
        if status == 200 and field in answer:
            return answer[field]
        what = f"{status} {answer.get('message', '')}".strip()
        if status in (401, 403, 409, 422):
            raise CallerError(f"the schema registry {self._http.address} refused: {what}")
        raise OperatorError(f"the schema registry {self._http.address} answered {what} where {field} was expected")

    def _remember_unknown(self, schema_id: int) -> SchemaUnknownError:
        self._unknown_until[schema_id] = self._clock() + UNKNOWN_FOR_S
        self._unknown_until.move_to_end(schema_id)
        if len(self._unknown_until) > UNKNOWN_MAX_IDS:
            self._unknown_until.popitem(last=False)
        return self._unknown(schema_id)

    def _unknown(self, schema_id: int) -> SchemaUnknownError:
        return SchemaUnknownError(f"schema id {schema_id} is not in the registry {self._http.address}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return None


def _keep(path: Path, text: str) -> None:
    """Writes a cache file as a whole or not at all; a cache that can't be written costs only later questions."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        log.warning("the schema cache %s can't be written: %s", path, error)
