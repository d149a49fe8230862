"""What the browser tests of the rework station share: a line that publishes, a station, and an operator's hands."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from fastapi import FastAPI
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from schemas.records import (
    Box,
    DefectDetected,
    Encoding,
    Event,
    Finding,
    FrameCaptured,
    Outcome,
    PartDecided,
    PartOutcome,
    PartReason,
    Reason,
    ReworkOutcome,
    SampleSelected,
    Strategy,
    VerdictIssued,
)
from streams.bus.admin import ensure_topics
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.capture.surface import Part
from streams.capture.synthetic import SyntheticOptions, take
from streams.downstream.sampling.estimates import effective
from streams.inspection.decide import Judgement, Provenance
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import DEFECTS, FRAMES, OUTCOMES, PARTS, SAMPLES, VERDICTS, Topic, station_key, topic_specs
from streams.web.station.app import StationOptions, open_station
from tests.builders import frame, verdict
from tests.web.signing_in import SLOW_MS, go

if TYPE_CHECKING:
    from models.artifact import Artifact

RunWeb = Callable[[FastAPI], AbstractAsyncContextManager[str]]
KEY = station_key("p1", "l1", "s1")
SCANNER = """(keys) => {
  for (const key of keys) {
    const focus = document.activeElement;
    const may = focus.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    if (may && key === "Enter") focus.click();
  }
}"""
RING = Box(x=200, y=160, width=120, height=90)


@cache
def drawn(number: int, defect: str | None = "scratch") -> bytes:
    """A JPEG of a part."""
    return take(SyntheticOptions(), Part("A", number, 1, defect, 0.9))


@dataclasses.dataclass
class Line:
    """What the line has published, by hand."""

    settings: Settings

    def __post_init__(self) -> None:
        self.store = FrameStore(self.settings.frame_store_url)

    async def reject(self, *part_ids: str | None, box: Box | None = None, model: str | None = None) -> list[UUID]:
        """Publish a defect a part, the first the oldest; their verdicts' ids. `model` is the sha256 of what judged."""
        defects = []
        for number, part_id in enumerate(part_ids):
            made = _judged(number, part_id, box, model)
            ref = self.store.put(drawn(number % 5), made.image_sha256, "jpg")
            defects.append(DefectDetected(verdict=made, image_ref=ref, encoding=Encoding.JPEG, width=640, height=480))
        await self.publish(DEFECTS, *defects)
        return [defect.verdict.verdict_id for defect in defects]

    async def pass_one(self) -> None:
        """A good part: its frame, and its verdict."""
        shot = _shot(900, drawn(77, None), "P-good")
        async with self._publisher() as publisher:
            at = await (await publisher.send(FRAMES, shot, key=KEY, partition=0))
            good = verdict(shot, Judgement(Outcome.OK, Reason.SCORE), at.offset)
            await (await publisher.send(VERDICTS, good, key=KEY, partition=0))

    async def miss(self, *part_ids: str) -> None:
        """Parts that nobody took a picture of."""
        at = datetime.now(UTC) - timedelta(minutes=2)
        fields: dict[str, Any] = {"plant": "p1", "line": "l1", "station": "s1", "sku": "A", "views_expected": 2}
        fields |= {"outcome": PartOutcome.NOT_INSPECTED, "reason": PartReason.MISSING_VIEW}
        fields |= dict.fromkeys(("first_at", "through_at", "decided_at"), at)
        await self.publish(PARTS, *(PartDecided(decision_id=uuid4(), part_id=part, **fields) for part in part_ids))

    async def audit_one(self) -> None:
        await self.publish(SAMPLES, _audited(self.store))

    async def publish(self, topic: Topic, *records: Event) -> None:
        async with self._publisher() as publisher:
            await asyncio.gather(*[await publisher.send(topic, r, key=KEY, partition=0) for r in records])

    async def read(self, topic: Topic) -> list[Received[Any]]:
        subscription: Subscription[Any] = Subscription(topic, "earliest", settings=self.settings, follow=False)
        return [received async for received in subscription]

    async def outcomes(self) -> list[ReworkOutcome]:
        """Those that count for the first decision, by the topic."""
        return list(effective(read.record for read in await self.read(OUTCOMES)).values())

    def _publisher(self) -> Publisher:
        return Publisher(self.settings.bootstrap, self.settings.topic_prefix, codec_for(self.settings))


def _shot(number: int, data: bytes, part_id: str | None) -> FrameCaptured:
    return frame(number, image=data, part_id=part_id, encoding=Encoding.JPEG, width=640, height=480)


def _judged(number: int, part_id: str | None, box: Box | None, model: str | None) -> VerdictIssued:
    scratch = Finding(label="scratch", score=0.9, threshold=0.62, box=box)
    judgement = Judgement(
        Outcome.NG, Reason.SCORE, findings=(scratch,), scores={"good": 0.1, "scratch": 0.9, "dent": 0.01}
    )
    shot = _shot(number, drawn(number % 5), part_id)
    made = verdict(shot, judgement, number, provenance=Provenance(model_id="m1", model_sha256=model))
    return dataclasses.replace(made, source_timestamp=datetime.now(UTC) - timedelta(seconds=600 - number))


def _audited(store: FrameStore) -> SampleSelected:
    data = drawn(78, None)
    sha256 = hashlib.sha256(data).hexdigest()
    return SampleSelected(
        sample_id=uuid4(),
        verdict_id=uuid4(),
        frame_id=uuid4(),
        plant="p1",
        line="l1",
        station="s1",
        camera="c1",
        sku="A",
        part_id="P-audit",
        image_ref=store.put(data, sha256, "jpg"),
        image_sha256=sha256,
        encoding=Encoding.JPEG,
        strategy=Strategy.PASS_AUDIT,
        why="drawn",
        predicted_label="good",
        score=0.987,
        verdict_outcome=Outcome.OK,
        inclusion_probability=0.01,
        model_id="m1",
        seed=1,
        inspected_at=datetime.now(UTC),
        selected_at=datetime.now(UTC),
    )


class Station:
    """A station's page at an address. What a browser complains of (Content-Security-Policy included) fails the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.errors: list[str] = []

    async def sit_down(self, context: BrowserContext, name: str) -> Page:
        """Sign in by keyboard; the page is there."""
        page = await context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        await go(page, f"{self.url}/?lang=en", name)
        await expect(page.locator(".st-strip")).to_be_visible(timeout=SLOW_MS)
        return page

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@contextlib.asynccontextmanager
async def station(line: Line, run_web: RunWeb, models: Sequence[Artifact] = ()) -> AsyncIterator[Station]:
    """A station of the line, on the real broker."""
    options = StationOptions("l1", "s1", rework_station="R2")
    async with open_station(line.settings, options, models) as web, run_web(web) as url:
        made = Station(url)
        yield made
    assert made.errors == []


def key(page: Page, name: str) -> Locator:
    """A key of the decision strip."""
    return page.locator(f'.st-strip [aria-keyshortcuts="{name.upper()}"]')


async def press(page: Page, keys: str) -> None:
    """The two presses of a decision: the second comes when the page shows the first, as a person would."""
    await page.keyboard.press(keys[0])
    await expect(key(page, keys[0])).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press(keys[1])


async def scan(page: Page, code: str, end: str = "Enter") -> None:
    """What a scanner does: characters faster than any hand, then Enter, which presses what has the focus if it may."""
    await page.evaluate(SCANNER, [*code, end] if end else [*code])


async def opened(page: Page, part: str) -> None:
    """The case of this part is open."""
    await expect(page.locator(".st-part-head .st-part")).to_have_text(part, timeout=SLOW_MS)
    await expect(page.locator(".st-row.is-open .st-part")).to_have_text(part)


async def nothing_left(page: Page) -> None:
    await expect(page.locator(".st-nothing strong")).to_have_text("Nothing to look at", timeout=SLOW_MS)


async def new_line(bootstrap: str, prefix: str, folder: Path, **changes: Any) -> Line:
    """A line with topics of its own; of its decisions none is reviewed unless `second_review_share` says so."""
    fields: dict[str, Any] = {"partitions": 2, "second_review_share": 0.0}
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, data_dir=folder, **fields | changes)
    await ensure_topics(bootstrap, topic_specs(settings))
    return Line(settings)
