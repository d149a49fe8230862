"""Tables and live events over HTTP, on an event log in memory."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI, HTTPException

from schemas.records import Event, Outcome
from streams.bus.spans import PartitionUnknownError, Reading, Span, merged
from streams.bus.subscriber import Received
from streams.errors import BrokerUnreachableError
from streams.store import FrameStore
from streams.topics import Topic
from streams.web.access.routes import reader
from streams.web.api import live as live_module
from streams.web.api import tables as tables_module
from streams.web.api.query import to_ms
from streams.web.api.router import ApiSources, api_router
from tests.builders import CODEC, until
from tests.contracts.samples import PART, defect, verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITIONS = 3


@dataclass
class Record:
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class FakeLog:
    """Topics of PARTITIONS partitions. `gate` holds reading up; `error` makes it fail."""

    def __init__(self) -> None:
        self.topics: dict[str, list[list[Record]]] = defaultdict(lambda: [[] for _ in range(PARTITIONS)])
        self.gate = asyncio.Event()
        self.gate.set()
        self.added = asyncio.Condition()
        self.error: Exception | None = None
        self.reading = 0
        self.following = 0

    def put(self, topic: str, partition: int, at: datetime, value: Event | bytes | None) -> int:
        records = self.topics[topic][partition]
        data = value if value is None or isinstance(value, bytes) else CODEC.encode(value)
        records.append(Record(partition, len(records), to_ms(at), b"leipzig/L1/S2", data))
        return len(records) - 1

    async def ends(self, topic: Topic) -> dict[int, int]:
        if self.error:
            raise self.error
        return {p: len(records) for p, records in enumerate(self.topics[topic.name])}

    @asynccontextmanager
    async def read(self, topic: Topic, span: Span) -> AsyncIterator[Reading]:
        if self.error:
            raise self.error
        if span.position.keys() - set(range(PARTITIONS)):
            raise PartitionUnknownError("no such partition")
        self.reading += 1
        try:
            yield FakeReading(self, self.topics[topic.name], span)
        finally:
            self.reading -= 1

    async def follow(self, topic: Topic, position: Mapping[int, int]) -> AsyncGenerator[Received[Any]]:
        self.following += 1
        at = dict(position)
        try:
            while True:
                for p, records in enumerate(self.topics[topic.name]):
                    while at[p] < len(records):
                        r = records[at[p]]
                        at[p] += 1
                        when = datetime.fromtimestamp(r.timestamp / 1000, UTC)
                        yield Received(CODEC.decode(r.value or b"", topic.record), p, r.offset, when, r.key)
                async with self.added:  # what came while others were handed out is looked at again
                    await self.added.wait_for(
                        lambda: any(at[p] < len(r) for p, r in enumerate(self.topics[topic.name]))
                    )
        finally:
            self.following -= 1

    async def announce(self) -> None:
        async with self.added:
            self.added.notify_all()


@dataclass
class FakeReading:
    log: FakeLog
    topic: list[list[Record]]
    span: Span
    starts: Mapping[int, int] = field(init=False)
    ends: Mapping[int, int] = field(init=False)

    def __post_init__(self) -> None:
        def first(records: list[Record], ms: int | None) -> int:
            return sum(ms is None or r.timestamp < ms for r in records)

        since, until_ms = self.span.since_ms, self.span.until_ms
        self.ends = {p: first(records, until_ms) for p, records in enumerate(self.topic)}
        self.starts = {p: self.span.position.get(p, first(records, since)) for p, records in enumerate(self.topic)}

    async def chunks(self) -> AsyncGenerator[Any]:
        await self.log.gate.wait()
        queues: Any = {
            p: deque(records[: self.ends[p]]) for p, records in enumerate(self.topic)
        }  # all are looked back at
        while chunk := merged(queues, set(), 2):
            yield chunk


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


def web(log: FakeLog, folder: Path, admits: Any = lambda: None) -> FastAPI:
    app = FastAPI()
    app.include_router(api_router(ApiSources(log, CODEC, FrameStore(str(folder)), clock=lambda: NOW), admits))
    return app


@pytest.fixture
def app(log: FakeLog, tmp_path: Path) -> FastAPI:
    return web(log, tmp_path)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def fill(log: FakeLog, count: int = 10, topic: str = "defects") -> None:
    """One event a minute, the newest (trigger_seq 1) a minute ago, over all partitions."""
    make = defect if topic == "defects" else verdict
    for n in range(count, 0, -1):
        log.put(topic, n % PARTITIONS, minutes_ago(n), make(n))


def numbers(items: list[Any]) -> list[int]:
    return [item["record"]["verdict"]["trigger_seq"] for item in items]


def assert_problem(answer: httpx.Response, status: int, says: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


async def test_the_last_hour_is_told_oldest_first_across_partitions(log: FakeLog, client: httpx.AsyncClient) -> None:
    fill(log, 70)
    answer = await client.get("/api/defects")
    assert answer.status_code == 200
    assert numbers(answer.json()["items"]) == list(range(60, 0, -1))
    assert answer.json()["next"] is None
    assert "x-lineside-next-cursor" not in answer.headers
    assert answer.headers["x-lineside-rows"] == "60"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_since_is_inclusive_and_until_exclusive(log: FakeLog, client: httpx.AsyncClient) -> None:
    fill(log)
    answer = await client.get("/api/defects", params={"since": minutes_ago(8).isoformat(), "until": "3m"})
    assert numbers(answer.json()["items"]) == [8, 7, 6, 5, 4]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 10])
async def test_pages_put_together_are_the_whole(log: FakeLog, client: httpx.AsyncClient, limit: int) -> None:
    fill(log)
    seen: list[int] = []
    params: dict[str, Any] = {"limit": limit, "label": "scratch"}
    while True:
        answer = await client.get("/api/defects", params=params)
        assert len(answer.json()["items"]) <= limit
        seen += numbers(answer.json()["items"])
        assert answer.json()["next"] == answer.headers.get("x-lineside-next-cursor")
        if answer.json()["next"] is None:
            break
        params["cursor"] = answer.json()["next"]
    assert seen == list(range(10, 0, -1))


async def test_what_arrives_between_two_pages_shifts_nothing(log: FakeLog, client: httpx.AsyncClient) -> None:
    fill(log)
    until_now = {"since": "1h", "until": "0s", "limit": 6}
    first = (await client.get("/api/defects", params=until_now)).json()
    log.put("defects", 0, NOW + timedelta(seconds=1), defect(99))
    second = (await client.get("/api/defects", params=until_now | {"cursor": first["next"]})).json()
    assert numbers(first["items"] + second["items"]) == list(range(10, 0, -1))


async def test_a_copy_is_never_told_even_where_its_first_lies_on_an_earlier_page(
    log: FakeLog, client: httpx.AsyncClient
) -> None:
    for minute, number in ((5, 1), (4, 2), (3, 1), (2, 3), (1, 2)):
        log.put("defects", 0, minutes_ago(minute), defect(number))
    first = (await client.get("/api/defects", params={"limit": 2})).json()
    second = (await client.get("/api/defects", params={"limit": 9, "cursor": first["next"]})).json()
    assert (numbers(first["items"]), numbers(second["items"])) == ([1, 2], [3])
    assert numbers((await client.get("/api/defects", params={"since": "210s"})).json()["items"]) == [3]


async def test_what_is_no_event_is_passed_over(log: FakeLog, client: httpx.AsyncClient) -> None:
    for value in (b"no event", None, PART, defect(1)):
        log.put("defects", 0, minutes_ago(1), value)
    assert numbers((await client.get("/api/defects")).json()["items"]) == [1]


async def test_every_form_tells_the_same_rows(log: FakeLog, client: httpx.AsyncClient) -> None:
    fill(log)
    forms = {
        form: await client.get("/api/defects", params={"format": form}) for form in ("json", "csv", "parquet", "ndjson")
    }
    expected = list(range(10, 0, -1))
    assert numbers(forms["json"].json()["items"]) == expected
    assert numbers([json.loads(line) for line in forms["ndjson"].text.splitlines()]) == expected
    rows = csv.DictReader(io.StringIO(forms["csv"].content.decode(), newline=""))
    assert [int(r["trigger_seq"]) for r in rows] == expected
    assert pq.read_table(io.BytesIO(forms["parquet"].content))["trigger_seq"].to_pylist() == expected
    assert forms["csv"].headers["content-type"] == "text/csv; charset=utf-8"
    assert forms["csv"].headers["content-disposition"] == 'attachment; filename="defects.csv"'
    assert forms["parquet"].headers["content-type"] == "application/vnd.apache.parquet"


async def test_the_accept_header_chooses_the_form(log: FakeLog, client: httpx.AsyncClient) -> None:
    fill(log, 1)
    answer = await client.get("/api/defects", headers={"Accept": "text/csv"})
    assert answer.text.startswith("partition,offset,")
    assert_problem(await client.get("/api/defects", headers={"Accept": "image/png"}), 406, "text/csv")


async def test_filters_are_applied(log: FakeLog, client: httpx.AsyncClient) -> None:
    log.put("verdicts", 0, minutes_ago(3), verdict(1, outcome=Outcome.OK, findings=(), part_id="P-1"))
    log.put("verdicts", 0, minutes_ago(2), verdict(2, outcome=Outcome.NG, part_id="P-2"))
    log.put("verdicts", 1, minutes_ago(1), verdict(3, outcome=Outcome.NG, station="S9", part_id="P-2"))

    async def seqs(**params: str) -> list[int]:
        items = (await client.get("/api/verdicts", params=params)).json()["items"]
        return [item["record"]["trigger_seq"] for item in items]

    assert await seqs() == [1, 2, 3]
    assert await seqs(outcome="NG") == [2, 3]
    assert await seqs(outcome="NG", station="S9") == [3]
    assert await seqs(part_id="P-2", label="dent", plant="leipzig", line="L1") == [2, 3]
    assert await seqs(part_id="P-3") == []


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"since": "yesterday"}, "since: expected a time with its zone"),
        ({"until": "2026-03-01T12:00"}, "until: expected a time with its zone"),
        ({"since": "1m", "until": "2m"}, "until lies before since"),
        ({"limit": "0"}, "limit"),
        ({"limit": "100001"}, "limit"),
        ({"outcome": "BAD"}, "outcome is one of"),
        ({"format": "xml"}, "format"),
        ({"cursor": "nonsense"}, "not a cursor of this server"),
        ({"plant": "x" * 65}, "plant"),
    ],
)
async def test_what_cannot_be_meant_is_a_422_that_says_what_was_expected(
    client: httpx.AsyncClient, params: dict[str, str], says: str
) -> None:
    assert_problem(await client.get("/api/defects", params=params), 422, says)


async def test_a_cursor_of_other_filters_is_refused(log: FakeLog, client: httpx.AsyncClient) -> None:
    fill(log)
    cursor = (await client.get("/api/defects", params={"limit": 1})).json()["next"]
    answer = await client.get("/api/defects", params={"cursor": cursor, "plant": "leipzig"})
    assert_problem(answer, 422, "other filters")
    assert_problem(await client.get("/api/verdicts", params={"cursor": cursor}), 422, "other filters")


async def test_a_page_whose_time_is_over_ends_early_and_can_be_gone_on_with(
    log: FakeLog, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(log)
    monkeypatch.setattr(tables_module, "READ_LIMIT_S", -1.0)
    first = (await client.get("/api/defects")).json()
    monkeypatch.undo()
    second = (await client.get("/api/defects", params={"cursor": first["next"]})).json()
    assert 0 < first["count"] < 10
    assert numbers(first["items"] + second["items"]) == list(range(10, 0, -1))


async def test_more_tables_at_once_than_are_read_are_asked_to_wait(log: FakeLog, client: httpx.AsyncClient) -> None:
    log.gate.clear()
    running = [asyncio.create_task(client.get("/api/defects")) for _ in range(tables_module.REQUESTS_AT_ONCE)]
    await until(lambda: log.reading == tables_module.REQUESTS_AT_ONCE)
    answer = await client.get("/api/verdicts")
    assert_problem(answer, 429, "ask again")
    assert answer.headers["retry-after"] == "5"
    log.gate.set()
    assert {a.status_code for a in await asyncio.gather(*running)} == {200}
    assert (await client.get("/api/verdicts")).status_code == 200
    assert log.reading == 0


async def test_a_broker_that_does_not_answer_is_a_503_without_its_address(
    log: FakeLog, client: httpx.AsyncClient
) -> None:
    log.error = BrokerUnreachableError("Kafka at secret:9092 does not answer")
    for path in ("/api/defects", "/api/defects/events"):
        answer = await client.get(path)
        assert_problem(answer, 503, "does not answer")
        assert "secret" not in answer.text


async def test_who_may_not_read_reads_nothing(log: FakeLog, tmp_path: Path) -> None:
    def nobody() -> None:
        raise HTTPException(403, "may not read")

    app = web(log, tmp_path, nobody)
    paths = [route for route in app.openapi()["paths"] if "{" not in route]
    assert len(paths) == 12
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path in paths:
            assert_problem(await client.get(path), 403, "may not read")


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(v) for v in value.values()))
    return set().union(*(references(v) for v in value)) if isinstance(value, list) else set()


def test_the_documentation_is_whole(app: FastAPI) -> None:
    document = json.loads(json.dumps(app.openapi()))
    for reference in references(document):
        here = document
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({o["operationId"] for o in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        assert "application/problem+json" in operation["responses"]["422"]["content"]
    table = document["paths"]["/api/defects"]["get"]
    assert "| top_score | number | Score of the surest finding. |" in table["description"]
    assert set(table["responses"]["200"]["content"]) == {
        "application/json",
        "text/csv",
        "application/vnd.apache.parquet",
        "application/x-ndjson",
    }


def test_the_documentation_says_how_a_machine_signs_in(log: FakeLog, tmp_path: Path) -> None:
    document = web(log, tmp_path, reader).openapi()
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path in document["paths"].values():
        assert {"HTTPBearer": []} in path["get"]["security"]


# --- live events ------------------------------------------------------------------------------------------------------


class Stream:
    """One client of a stream, straight on ASGI: httpx would wait for the end."""

    def __init__(self, app: FastAPI, path: str, last_event_id: str | None = None) -> None:
        headers = [(b"last-event-id", last_event_id.encode())] if last_event_id is not None else []
        path, _, query = path.partition("?")
        self.scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"},
            **{"path": path, "raw_path": path.encode(), "query_string": query.encode(), "headers": headers},
            **{"client": ("test", 1), "server": ("test", 80), "root_path": ""},
        }
        self.app = app
        self.start: dict[str, Any] = {}
        self.body = b""
        self.ended = False
        self.leave = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()

    async def __aenter__(self) -> Stream:
        self.task = asyncio.create_task(self.app(self.scope, self._receive, self._send))  # type: ignore[arg-type]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.leave.set()
        self.takes.set()
        async with asyncio.timeout(5):
            await self.task

    async def _receive(self) -> dict[str, Any]:
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        await self.takes.wait()
        self.body += message["body"]
        self.ended = not message.get("more_body", False)

    @property
    def ids(self) -> list[str]:
        return [line[4:] for line in self.body.decode().splitlines() if line.startswith("id: ")]

    @property
    def seqs(self) -> list[int]:
        data = [json.loads(line[6:]) for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return numbers(data)


async def test_a_stream_begins_now_and_says_at_once_where_it_stands(log: FakeLog, app: FastAPI) -> None:
    fill(log, 4)  # 1 and 4 in partition 1, 2 in 2, 3 in 0
    async with Stream(app, "/api/defects/events") as stream:
        await until(lambda: stream.ids == ["0:1,1:2,2:1"])
        assert dict(stream.start["headers"])[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert b"content-length" not in dict(stream.start["headers"])
        assert stream.body.startswith(b"retry: 3000\n")
        log.put("defects", 2, NOW, defect(50))
        await log.announce()
        await until(lambda: stream.seqs == [50])
        assert stream.ids[-1] == "0:1,1:2,2:2"
    assert log.following == 0


async def test_a_stream_that_is_resumed_misses_nothing_and_repeats_nothing(log: FakeLog, app: FastAPI) -> None:
    # ids seen:   start . 1 . 2 . (lost) 3 . 4 . 5 (resumed) . 6
    async with Stream(app, "/api/defects/events") as stream:
        await until(lambda: len(stream.ids) == 1)
        for n in (1, 2):
            log.put("defects", n, NOW, defect(n))
        await log.announce()
        await until(lambda: stream.seqs == [1, 2])
    for n in (3, 4, 5):
        log.put("defects", n % PARTITIONS, NOW, defect(n))
    async with Stream(app, "/api/defects/events", stream.ids[-1]) as resumed:
        await until(lambda: sorted(resumed.seqs) == [3, 4, 5])
        log.put("defects", 0, NOW, defect(6))
        await log.announce()
        await until(lambda: sorted(resumed.seqs) == [3, 4, 5, 6])
    async with Stream(app, "/api/defects/events", stream.ids[0]) as from_start:
        await until(lambda: sorted(from_start.seqs) == [1, 2, 3, 4, 5, 6])


async def test_events_that_are_filtered_out_move_the_position_on(log: FakeLog, app: FastAPI) -> None:
    async with Stream(app, "/api/defects/events?outcome=UNSURE") as stream:
        await until(lambda: len(stream.ids) == 1)
        log.put("defects", 0, NOW, defect(1))
        log.put("defects", 0, NOW, defect(2, outcome=Outcome.UNSURE))
        await log.announce()
        await until(lambda: stream.seqs == [2])
        assert stream.ids == ["0:0,1:0,2:0", "0:2,1:0,2:0"]


async def test_a_partition_that_was_added_is_read_from_its_beginning(log: FakeLog, app: FastAPI) -> None:
    log.put("defects", 2, NOW, defect(1))
    async with Stream(app, "/api/defects/events", "0:0,1:0") as stream:
        await until(lambda: stream.seqs == [1])


async def test_silence_is_filled_with_heartbeats(log: FakeLog, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "HEARTBEAT_S", 0.01)
    async with Stream(app, "/api/defects/events") as stream:
        await until(lambda: stream.body.count(b": heartbeat\n\n") >= 3)
        log.put("defects", 0, NOW, defect(1))
        await log.announce()
        await until(lambda: stream.seqs == [1])


async def test_a_reader_that_takes_nothing_is_dropped(
    log: FakeLog, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SEND_LIMIT_S", 0.02)
    async with Stream(app, "/api/defects/events") as stream:
        await until(lambda: len(stream.ids) == 1)
        stream.takes.clear()
        log.put("defects", 0, NOW, defect(1))
        await log.announce()
        await until(stream.task.done)
        assert not stream.ended
    assert log.following == 0


async def test_a_stream_ends_after_its_life(log: FakeLog, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "LIFE_S", 0.05)
    async with Stream(app, "/api/defects/events") as stream:
        await until(stream.task.done)
        assert stream.ended
    assert log.following == 0


async def test_more_streams_than_are_allowed_are_asked_to_wait(
    log: FakeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.web.api.router.STREAMS_AT_ONCE", 1)
    app = web(log, tmp_path)
    async with Stream(app, "/api/defects/events") as first:
        await until(lambda: len(first.ids) == 1)
        async with Stream(app, "/api/parts/events") as second:
            await until(lambda: second.ended)
            assert second.start["status"] == 429
    async with Stream(app, "/api/parts/events") as third:
        await until(lambda: len(third.ids) == 1)


@pytest.mark.parametrize("position", ["nonsense", "0:-1", "9:1", "0:1,", "0:1" + ",0:1" * 6_000])
async def test_a_position_that_cannot_be_is_a_422(client: httpx.AsyncClient, position: str) -> None:
    answer = await client.get("/api/defects/events", headers={"Last-Event-ID": position})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
