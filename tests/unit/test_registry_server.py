"""The read-only registry, asked over real HTTP as a Confluent client asks."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streams.bus.registry_server import CONTENT_TYPE, RegistryEntry, RegistryServer
from streams.errors import CallerError

V1 = '{"type": "record", "name": "Frame", "fields": [{"name": "a", "type": "int"}]}'
V2 = '{"type":"record","name":"Frame","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}'
OTHER = '{"type": "record", "name": "Verdict", "fields": []}'
ENTRIES = [
    RegistryEntry(2, "lineside.frames-value", 2, V2),
    RegistryEntry(1, "lineside.frames-value", 1, V1),
    RegistryEntry(7, "lineside.verdicts-value", 1, OTHER),
    RegistryEntry(7, "replay/1-value", 1, OTHER),
]

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer(ENTRIES) as server:
        yield server


@pytest.fixture
def ask(server: RegistryServer) -> Ask:
    def ask(path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(server.url + path, data, method=method, headers={"Content-Type": CONTENT_TYPE})
        try:
            answer = urllib.request.urlopen(request, timeout=5)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            return answer.status, json.loads(answer.read())

    return ask


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", {}),
        ("/subjects", ["lineside.frames-value", "lineside.verdicts-value", "replay/1-value"]),
        ("/subjects/", ["lineside.frames-value", "lineside.verdicts-value", "replay/1-value"]),
        ("/subjects?deleted=false", ["lineside.frames-value", "lineside.verdicts-value", "replay/1-value"]),
        ("/subjects/lineside.frames-value/versions", [1, 2]),
        ("/subjects/replay%2F1-value/versions", [1]),
        ("/schemas/ids/1", {"schema": V1}),
        ("/schemas/ids/2?fetchMaxId=false", {"schema": V2}),
        ("/schemas/ids/2/schema", json.loads(V2)),
        ("/schemas/ids/7/subjects", ["lineside.verdicts-value", "replay/1-value"]),
        ("/schemas/ids/1/versions", [{"subject": "lineside.frames-value", "version": 1}]),
        ("/schemas/types", ["AVRO"]),
        ("/config", {"compatibilityLevel": "FULL_TRANSITIVE"}),
        ("/config/lineside.frames-value?defaultToGlobal=true", {"compatibilityLevel": "FULL_TRANSITIVE"}),
        ("/mode", {"mode": "READONLY"}),
        ("/subjects/lineside.frames-value/versions/1/schema", json.loads(V1)),
    ],
)
def test_lookups_answer_as_confluent_does(ask: Ask, path: str, expected: Any) -> None:
    assert ask(path) == (200, expected)


@pytest.mark.parametrize(("version", "number"), [("1", 1), ("2", 2), ("latest", 2), ("-1", 2)])
def test_a_version_comes_with_its_id_and_schema(ask: Ask, version: str, number: int) -> None:
    status, answer = ask(f"/subjects/lineside.frames-value/versions/{version}")
    schema = {1: V1, 2: V2}[number]
    assert (status, answer) == (
        200,
        {"subject": "lineside.frames-value", "version": number, "id": number, "schema": schema},
    )


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/subjects/nobody/versions", 404, 40401),
        ("/subjects/nobody/versions/latest", 404, 40401),
        ("/subjects/lineside.frames-value/versions/3", 404, 40402),
        ("/subjects/lineside.frames-value/versions/0", 422, 42202),
        ("/subjects/lineside.frames-value/versions/first", 422, 42202),
        ("/schemas/ids/3", 404, 40403),
        ("/config/nobody", 404, 40401),
        ("/nowhere", 404, 404),
        ("/schemas/ids/one", 404, 404),
    ],
)
def test_what_is_not_there_has_its_own_error_code(ask: Ask, path: str, status: int, code: int) -> None:
    came_status, answer = ask(path)
    assert (came_status, answer["error_code"]) == (status, code)
    assert answer["message"]


def test_a_schema_is_found_whatever_its_spacing(ask: Ask) -> None:
    spaced = json.dumps(json.loads(V2), indent=4)
    status, answer = ask("/subjects/lineside.frames-value", "POST", {"schema": spaced})
    assert (status, answer["id"], answer["version"]) == (200, 2, 2)


@pytest.mark.parametrize(
    ("subject", "body", "status", "code"),
    [
        ("nobody", {"schema": V1}, 404, 40401),
        ("lineside.frames-value", {"schema": OTHER}, 404, 40403),
        ("lineside.frames-value", {"schema": "no schema"}, 422, 42201),
        ("lineside.frames-value", {"schema": 3}, 422, 42201),
        ("lineside.frames-value", {"schema": '{"type": "record"}'}, 422, 42201),
        ("lineside.frames-value", {}, 422, 42201),
        ("lineside.frames-value", [], 422, 42201),
        ("lineside.frames-value", b"{", 422, 42201),
        ("lineside.frames-value", b"[" * 100_000, 422, 42201),
    ],
)
def test_a_lookup_of_another_schema_is_refused(ask: Ask, subject: str, body: Any, status: int, code: int) -> None:
    came_status, answer = ask(f"/subjects/{subject}", "POST", body)
    assert (came_status, answer["error_code"]) == (status, code)


def test_registering_what_is_there_returns_its_id(ask: Ask) -> None:
    assert ask("/subjects/lineside.frames-value/versions", "POST", {"schema": V1}) == (200, {"id": 1})


@pytest.mark.parametrize(("subject", "schema"), [("lineside.frames-value", OTHER), ("new-value", V1)])
def test_registering_a_new_schema_is_refused(ask: Ask, subject: str, schema: str) -> None:
    status, answer = ask(f"/subjects/{subject}/versions", "POST", {"schema": schema})
    assert (status, answer["error_code"]) == (422, 42205)
    assert "read-only" in answer["message"]
    assert ask("/schemas/ids/8")[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/subjects/lineside.frames-value"),
        ("DELETE", "/subjects/lineside.frames-value/versions/1"),
        ("PUT", "/config"),
        ("PUT", "/mode"),
        ("PATCH", "/subjects"),
        ("POST", "/compatibility/subjects/x/versions/latest"),
    ],
)
def test_whatever_would_change_something_is_not_allowed(ask: Ask, method: str, path: str) -> None:
    status, answer = ask(path, method, {} if method != "DELETE" else None)
    assert (status, answer["error_code"]) == (405, 405)
    assert "read-only" in answer["message"]


def test_a_huge_body_is_refused_unread(server: RegistryServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST /subjects/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_several_questions_travel_over_one_connection(server: RegistryServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for _ in range(2):
            connection.sendall(b"GET /schemas/types HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b'["AVRO"]'):
                answer += connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_it_listens_on_loopback_alone(server: RegistryServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", int(server.url.rpartition(":")[2])), timeout=1):
        pass


def test_a_taken_port_is_one_clear_sentence(server: RegistryServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(CallerError, match=rf"can't listen at 127.0.0.1:{port}: Address already in use; name another"):
        RegistryServer([], port).start()


def test_it_starts_again_at_the_same_address_after_a_stop(server: RegistryServer) -> None:
    url = server.url
    server.stop()
    server.stop()
    assert server.start() == url
