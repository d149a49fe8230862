"""An external schema registry as the source of ids: asked once, kept on disk, never a reason for a dead letter."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from schemas import records
from schemas.codec import Codec, SchemaUnknownError, committed_schemas
from streams.bus.registry_client import RegistryHttp, RegistrySource, codec_for, registry_entries, registry_source
from streams.bus.registry_server import RegistryServer
from streams.errors import CallerError, OperatorError
from streams.settings import Settings
from streams.topics import TOPICS
from tests.contracts.samples import FRAME, RECIPE, SAMPLES

RECIPE_TEXT = next(schema.text for schema in reversed(committed_schemas()) if schema.record == "Recipe")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeRegistry:
    """Any answer at all: `answer(method, path, body)` gives (status, bytes). Remembers what it was asked."""

    def __init__(self, answer: Callable[[str, str, Any], tuple[int, bytes]]) -> None:
        self.asked: list[str] = []
        self.authorization: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                outer.asked.append(f"{self.command} {self.path}")
                outer.authorization = self.headers.get("Authorization")
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, text = answer(self.command, self.path, json.loads(body) if body else None)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fake() -> Iterator[Callable[..., FakeRegistry]]:
    running: list[FakeRegistry] = []

    def start(answer: Callable[[str, str, Any], tuple[int, bytes]]) -> FakeRegistry:
        running.append(FakeRegistry(answer))
        return running[-1]

    yield start
    for registry in running:
        registry.stop()


def schema_answer(text: str = RECIPE_TEXT) -> Callable[[str, str, Any], tuple[int, bytes]]:
    return lambda method, path, body: (200, json.dumps({"schema": text, "id": 77}).encode())


def source(url: str, cache: Path, clock: Clock | None = None) -> RegistrySource:
    return RegistrySource(RegistryHttp(url, timeout_s=2.0), "lineside.", cache, clock or Clock())


def test_all_events_go_through_the_read_only_registry(tmp_path: Path) -> None:
    with RegistryServer(registry_entries("lineside.")) as server:
        codec = codec_for(Settings(schema_registry_url=server.url, data_dir=tmp_path))
        for sample in SAMPLES.values():
            assert codec.decode(codec.encode(sample), type(sample)) == sample


def test_every_topic_has_its_subject() -> None:
    entries = {entry.subject: json.loads(entry.schema_json)["name"] for entry in registry_entries("p.")}
    assert entries == {f"p.{t.name}-value": f"lineside.{t.record.__name__}" for t in TOPICS.values()}


def test_the_ids_of_the_registry_alone_count(fake: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    registry = fake(schema_answer())
    codec = Codec(source(registry.url, tmp_path))
    assert codec.encode(RECIPE)[:5] == b"\0\0\0\0\x4d"
    assert codec.decode(codec.encode(RECIPE), records.Recipe) == RECIPE
    assert registry.asked == ["POST /subjects/lineside.recipes-value", "GET /schemas/ids/77"]


def test_what_is_known_survives_an_outage_and_a_restart(fake: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    registry = fake(schema_answer())
    data = Codec(source(registry.url, tmp_path)).encode(RECIPE)
    Codec(source(registry.url, tmp_path)).decode(data, records.Recipe)
    registry.stop()
    again = Codec(source(registry.url, tmp_path))
    assert again.encode(RECIPE) == data
    assert again.decode(data, records.Recipe) == RECIPE


def test_a_gateway_that_knows_its_id_starts_and_encodes_during_an_outage(tmp_path: Path) -> None:
    with RegistryServer(registry_entries("p.")) as server:
        settings = Settings(schema_registry_url=server.url, topic_prefix="p.", data_dir=tmp_path)
        known = codec_for(settings)
        known.prepare(records.FrameCaptured)
    assert known.encode(FRAME) == codec_for(settings).encode(FRAME)  # the second is a restart
    with pytest.raises(OperatorError, match="gave no proper answer"):
        codec_for(settings).prepare(records.AlarmRaised)


def test_what_is_kept_of_one_registry_says_nothing_about_another(
    fake: Callable[..., FakeRegistry], tmp_path: Path
) -> None:
    here, there = fake(schema_answer()), fake(lambda *_: (404, b"{}"))
    source(here.url, tmp_path).writer_schema(77)
    with pytest.raises(SchemaUnknownError):
        source(there.url, tmp_path).writer_schema(77)


def test_an_unreachable_registry_is_the_operators_affair_and_no_dead_letter(
    unused_tcp_port: int, tmp_path: Path
) -> None:
    codec = Codec(source(f"http://127.0.0.1:{unused_tcp_port}", tmp_path))
    with pytest.raises(OperatorError, match=r"schema registry .* gave no proper answer.*see that it runs"):
        codec.decode(b"\0\0\0\0\x07abc", records.Recipe)


def test_a_flood_of_one_unknown_id_asks_once_in_30_seconds(fake: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    registry, clock = fake(lambda *_: (404, b'{"error_code": 40403}')), Clock()
    asking = source(registry.url, tmp_path, clock)
    for now, asked in ((1000.0, 1), (1029.9, 1), (1030.1, 2)):
        clock.now = now
        with pytest.raises(SchemaUnknownError, match="schema id 9 is not in the registry"):
            asking.writer_schema(9)
        assert len(registry.asked) == asked


@pytest.mark.parametrize(
    "text",
    [
        '"string"',
        "[]",
        "{",
        'syntax = "proto3";',
        '{"type": "record", "name": "A", "fields": [{"name": "without a type"}]}',
        '{"type": "record", "name": "A", "fields": [{"name": "b", "type": "ReferenceToAnotherSubject"}]}',
    ],
)
def test_a_schema_that_is_no_avro_record_is_an_unknown_schema(
    fake: Callable[..., FakeRegistry], tmp_path: Path, text: str
) -> None:
    asking = source(fake(schema_answer(text)).url, tmp_path)
    with pytest.raises(SchemaUnknownError):
        asking.writer_schema(77)
    assert not list(tmp_path.rglob("*.avsc"))


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [
        (200, b"<html>", "no JSON"),
        (200, b"[1]", "no JSON object"),
        (200, b'{"schema": "' + b"x" * (1 << 20) + b'"}', "above 1048576 bytes"),
        (200, b"{}", "answered 200 where schema was expected"),
        (302, b"{}", "answered 302"),  # not followed: only the configured address is asked
        (500, b'{"message": "broken"}', "answered 500 broken"),
    ],
)
def test_an_improper_answer_ends_the_reading_and_accuses_no_event(
    fake: Callable[..., FakeRegistry], tmp_path: Path, status: int, answer: bytes, why: str
) -> None:
    registry = fake(lambda *_: (status, answer))
    with pytest.raises(OperatorError, match=why):
        source(registry.url, tmp_path).writer_schema(77)
    assert len(registry.asked) == 1


def test_a_schema_that_is_not_registered_says_what_to_do(tmp_path: Path) -> None:
    with RegistryServer([]) as server:
        codec = Codec(source(server.url, tmp_path))
        with pytest.raises(CallerError, match=r"does not have the present FrameCaptured.*`lineside topics --create`"):
            codec.encode(FRAME)


def test_registering_registers_the_newest_schema_of_every_topic(
    fake: Callable[..., FakeRegistry], tmp_path: Path
) -> None:
    registry = fake(schema_answer())
    settings = Settings(schema_registry_url=registry.url, data_dir=tmp_path, topic_prefix="p.")
    ids = registry_source(settings).register_schemas()
    assert ids == dict.fromkeys((entry.subject for entry in registry_entries("p.")), 77)
    assert registry.asked[0] == "POST /subjects/p.frames-value/versions"


def test_a_refused_registration_says_why(fake: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    registry = fake(lambda *_: (409, b'{"message": "incompatible with an earlier schema"}'))
    with pytest.raises(CallerError, match="refused: 409 incompatible with an earlier schema"):
        source(registry.url, tmp_path).register_schemas()


def test_credentials_of_the_url_are_sent_and_never_shown(fake: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    registry = fake(lambda *_: (401, b'{"message": "who are you"}'))
    url = registry.url.replace("http://", "http://user:sesame@")
    with pytest.raises(CallerError) as caught:
        source(url, tmp_path).writer_schema(1)
    assert registry.authorization == "Basic dXNlcjpzZXNhbWU="
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "registry:8081", "http://"])
def test_an_address_that_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(CallerError, match=r"must be http\(s\)://host"):
        RegistryHttp(url)


def test_a_damaged_cache_file_is_asked_for_again(fake: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    registry = fake(schema_answer())
    source(registry.url, tmp_path).writer_schema(77)
    (kept,) = tmp_path.rglob("*.avsc")
    kept.write_bytes(b"\xff{")
    source(registry.url, tmp_path).writer_schema(77)
    assert kept.read_text() == RECIPE_TEXT


def test_a_cache_that_cannot_be_written_stops_nothing(fake: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    source(fake(schema_answer()).url, tmp_path / "taken").writer_schema(77)
