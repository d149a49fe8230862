"""The reading interface on the embedded Kafka, over a real HTTP server."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from schemas.records import DefectDetected, Encoding
from streams.bus.admin import ensure_topics
from streams.bus.publisher import Delivery, Publisher
from streams.errors import CallerError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import DEFECTS, FRAMES, VERDICTS, station_key, topic_specs
from streams.web.api.cursor import Cursor
from streams.web.api.query import Filters
from streams.web.api.router import api_router, kafka_sources
from tests.builders import CODEC, frame, picture, until
from tests.contracts.samples import defect, verdict

STATIONS = [f"S{n}" for n in range(8)]


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=4)
    await ensure_topics(bootstrap, topic_specs(settings))
    return settings


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        yield publisher


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    async with kafka_sources(settings) as sources:
        app.include_router(api_router(sources, lambda: None))
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1, ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve())  # without its signal handlers
        await until(lambda: server.started, 20)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            await serving


def at_station(n: int, **changes: Any) -> DefectDetected:
    return defect(n, station=STATIONS[n % len(STATIONS)], **changes)


async def publish(publisher: Publisher, *defects: DefectDetected, one_by_one: bool = False) -> list[Delivery]:
    sent = []
    for d in defects:
        key = station_key(d.verdict.plant, d.verdict.line, d.verdict.station)
        sent.append(await publisher.send(DEFECTS, d, key=key))
        if one_by_one:
            await sent[-1]
            await asyncio.sleep(0.002)  # so that append times differ
    return list(await asyncio.gather(*sent))


def iso(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat()


async def test_pages_in_every_form_agree_with_what_was_published_and_copies_count_once(
    settings: Settings, publisher: Publisher
) -> None:
    count = 3_000
    await publish(publisher, *(at_station(n) for n in range(count)))
    await publish(publisher, *(at_station(n) for n in range(count - 50, count)))  # copies, as after a fault
    async with served(settings) as client:
        whole = (await client.get("/api/defects", params={"limit": 100_000})).json()
        assert (whole["count"], whole["next"]) == (count, None)
        places = [(item["timestamp"], item["partition"], item["offset"]) for item in whole["items"]]
        assert places == sorted(places)
        seqs = [item["record"]["verdict"]["trigger_seq"] for item in whole["items"]]
        assert sorted(seqs) == list(range(count))
        assert len({p for _, p, _ in places}) > 1

        rows = (await client.get("/api/defects", params={"limit": 100_000, "format": "csv"})).content.decode()
        assert [int(r["trigger_seq"]) for r in csv.DictReader(io.StringIO(rows, newline=""))] == seqs
        parquet = (await client.get("/api/defects", params={"limit": 100_000, "format": "parquet"})).content
        table = pq.read_table(io.BytesIO(parquet))
        assert table["trigger_seq"].to_pylist() == seqs
        stamps = [
            at.isoformat(timespec="milliseconds").replace("+00:00", "Z") for at in table["appended_at"].to_pylist()
        ]
        assert stamps == [stamp for stamp, _, _ in places]

        paged: list[int] = []
        params: dict[str, Any] = {"limit": 700, "format": "ndjson"}
        while True:
            answer = await client.get("/api/defects", params=params)
            paged += [json.loads(line)["record"]["verdict"]["trigger_seq"] for line in answer.text.splitlines()]
            if "x-lineside-next-cursor" not in answer.headers:
                break
            params["cursor"] = answer.headers["x-lineside-next-cursor"]
        assert paged == seqs


async def test_since_and_until_are_exact_to_the_millisecond(settings: Settings, publisher: Publisher) -> None:
    delivered = await publish(publisher, *(at_station(n) for n in range(40)), one_by_one=True)
    stamps = [d.timestamp_ms for d in delivered]
    async with served(settings) as client:
        for low, high in ((10, 30), (0, 1), (39, 39), (5, 40)):
            since, end = stamps[low], stamps[high] if high < 40 else stamps[-1] + 1
            answer = await client.get("/api/defects", params={"since": iso(since), "until": iso(end)})
            found = [item["record"]["verdict"]["trigger_seq"] for item in answer.json()["items"]]
            assert found == [n for n, stamp in enumerate(stamps) if since <= stamp < end]
        station = (await client.get("/api/defects", params={"station": "S3"})).json()
        assert [item["record"]["verdict"]["trigger_seq"] for item in station["items"]] == [3, 11, 19, 27, 35]
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        assert (await client.get("/api/defects", params={"since": tomorrow})).json()["count"] == 0
        assert (await client.get("/api/verdicts")).json() == {"items": [], "count": 0, "next": None}


async def test_a_cursor_of_another_installation_is_refused(settings: Settings, publisher: Publisher) -> None:
    cursor = Cursor({77: 0}, 0, None, Filters().digest("defects")).text()
    async with served(settings) as client:
        answer = await client.get("/api/defects", params={"cursor": cursor})
        assert answer.status_code == 422
        assert "no partition 77" in answer.json()["detail"]


class Listener:
    """A client of server-sent events in a task; `stop` breaks the connection."""

    def __init__(self, client: httpx.AsyncClient, last_event_id: str | None = None) -> None:
        self.client = client
        self.ids: list[str] = []
        self.seqs: list[int] = []
        self.headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.client.stream("GET", "/api/defects/events", headers=self.headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    self.ids.append(line[4:])
                elif line.startswith("data: "):
                    self.seqs.append(json.loads(line[6:])["record"]["verdict"]["trigger_seq"])

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_a_broken_stream_is_resumed_without_gap_or_repetition(settings: Settings, publisher: Publisher) -> None:
    await publish(publisher, *(at_station(n) for n in range(20)))
    seen: list[int] = []
    async with served(settings) as client:
        listener = Listener(client)
        await until(lambda: listener.ids, 20)
        for start in range(100, 400, 100):
            await publish(publisher, *(at_station(n) for n in range(start, start + 50)))
            await until(lambda: len(listener.seqs) >= 50, 20)  # noqa: B023
            await listener.stop()
            cut = len(listener.seqs) - 7  # the client was told more than it kept
            seen += listener.seqs[:cut]
            # while nobody listens: copies of what was told, and new ones
            await publish(publisher, *(at_station(n) for n in range(start + 30, start + 100)))
            listener = Listener(client, listener.ids[cut])
            expected = 57
            await until(lambda: len(listener.seqs) >= expected, 20)  # noqa: B023
            seen += listener.seqs
            last = listener.ids[-1]
            await listener.stop()
            listener = Listener(client, last)
            await until(lambda: listener.ids, 20)  # noqa: B023
        await listener.stop()
    assert sorted(seen) == list(range(100, 400))


async def test_pictures_are_shown_by_digest_and_by_the_place_of_their_frame(
    settings: Settings, publisher: Publisher
) -> None:
    store = FrameStore(settings.frame_store_url)
    raw = np.arange(32 * 32, dtype=np.uint8).tobytes()
    digest = hashlib.sha256(raw).hexdigest()
    claim = store.put(raw, digest, "raw")
    frames = [
        frame(1),
        frame(2, image=None, image_ref=claim, image_sha256=digest, encoding=Encoding.BAYER_RG8, width=32, height=32),
    ]
    sent = [await publisher.send(FRAMES, f, key=b"p1/l1/s1") for f in frames]
    inline, claimed = await asyncio.gather(*sent)
    async with served(settings) as client:
        shown = await client.get(f"/frames/{inline.partition}/{inline.offset}/picture")
        assert (shown.status_code, shown.content) == (200, picture())
        shown = await client.get(f"/frames/{claimed.partition}/{claimed.offset}/picture")
        with Image.open(io.BytesIO(shown.content)) as image:
            assert (image.format, image.size) == ("PNG", (32, 32))
        by_digest = await client.get(f"/pictures/{digest}", params={"encoding": "BAYER_RG8", "width": 32, "height": 32})
        assert by_digest.content == shown.content
        started = time.monotonic()
        for gone in (f"/frames/{inline.partition}/99/picture", "/frames/4/0/picture", "/frames/2147483647/0/picture"):
            assert (await client.get(gone)).status_code == 404
        assert time.monotonic() - started < 10  # a partition that isn't there is not waited for


async def test_a_topic_that_is_missing_is_told_as_unavailable(settings: Settings, publisher: Publisher) -> None:
    await (await publisher.send(VERDICTS, verdict(1), key=b"leipzig/L1/S2"))
    async with served(settings) as client:
        other = dataclasses.replace(settings, topic_prefix=settings.topic_prefix + "other.")
        assert (await client.get("/api/verdicts")).json()["count"] == 1
        with pytest.raises(CallerError, match="create the topics"):
            async with kafka_sources(other):
                pass
