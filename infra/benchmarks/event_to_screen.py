"""How long from an event on Kafka to the screen, and what each process keeps in memory, with many pages open.

    .venv/bin/python infra/benchmarks/event_to_screen.py [--minutes 20] [--rate 100] [--dashboards 12] [--stations 8]

The whole installation but inspection: embedded Kafka, and parts, statistics, dashboard and rework station as processes
of their own. This process publishes verdicts over 10 lines at a steady rate, 5 % of them NG with a defect and its
picture, and holds all pages open in one headless Chromium. A page notes, by its own clock, when its content changed and
what the newest event in it was; an event's time to a page is from the broker's append to the first change that holds
it. Memory is the resident set (for Chromium the sum over its processes, shared pages counted each time), every 10 s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import psutil
from playwright.async_api import Browser, Page, async_playwright

from schemas.records import DefectDetected, Encoding, Finding, FrameCaptured, Outcome, Precision, Reason
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.capture.synthetic import SyntheticOptions, take, trigger
from streams.commands.children import Child
from streams.inspection.decide import Judgement, Provenance, Source, issue
from streams.settings import Settings, to_environment
from streams.store import FrameStore
from streams.topics import DEFECTS, VERDICTS, station_key, topic_specs

LINES, PICTURES = 10, 64
HEAP_MB = 256  # of Kafka: a heap that may grow to 512 MiB is not full in 20 minutes, and so not flat
WALL, TOUCH = (1920, 1080), (1024, 768)
NG_EVERY = 20  # verdicts
OPENING_RATE = 5.0  # verdicts a second while pages open: they wait for a first one
SETTLE_S = 20.0  # pages load and caches fill; what happens before is not counted
SAMPLE_S = 10.0
SHOWN_WITHIN_MS = 3_000
PASS = Judgement(Outcome.OK, Reason.SCORE, scores={"good": 0.98, "scratch": 0.02})
REJECT = Judgement(
    Outcome.NG,
    Reason.SCORE,
    findings=(Finding(label="scratch", score=0.93, threshold=0.5),),
    scores={"good": 0.07, "scratch": 0.93},
)
ENGINE = Provenance("bench-resnet18", "ab" * 32, "cd" * 32, "openvino:CPU", Precision.BF16, 1, 1.0, 2.0, 8.0)
NOTE_CHANGES = """() => {
  const root = document.querySelector('[data-newest-ms]');
  window.seen = [];
  const note = () => window.seen.push([Date.now(), +root.dataset.newestMs, root.dataset.through || '{}']);
  new MutationObserver(note).observe(root, {attributes: true, attributeFilter: ['data-newest-ms', 'data-through']});
}"""
NO_THROTTLE = ["--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows"]


@dataclass(slots=True)
class Sent:
    """What was published, in order: verdicts by partition as (offset, append ms), and append ms of line 1's defects."""

    verdicts: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    defects: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Programs:
    """Resident MiB of each program with its children, a row each SAMPLE_S, and the seconds of CPU it has used."""

    pids: dict[str, int]
    rows: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def sample(self) -> None:
        for name, pid in self.pids.items():
            rss = cpu_s = 0.0
            own = psutil.Process(pid)
            for process in (own, *(own.children(recursive=True) if pid != os.getpid() else ())):
                with contextlib.suppress(psutil.NoSuchProcess):
                    rss += process.memory_info().rss
                    cpu_s += sum(process.cpu_times()[:2])
            self.rows[name].append(rss / 2**20)
            self.cpu_s[name].append(cpu_s)


def shot(number: int, picture: bytes) -> FrameCaptured:
    """A single-view part of line `number % LINES`, triggered now."""
    return FrameCaptured(
        frame_id=uuid.uuid4(),
        plant="demo",
        line=f"line-{number % LINES + 1}",
        station="station-1",
        camera="camera-1",
        sku="flange-40",
        part_id=f"P{number:07d}",
        trigger_seq=number // LINES + 1,
        captured_at=datetime.now(UTC),
        gateway_ms=5,
        encoding=Encoding.JPEG,
        width=640,
        height=480,
        image_sha256=hashlib.sha256(picture).hexdigest(),
    )


async def publish(settings: Settings, rate: float, sent: Sent, opened: asyncio.Event) -> None:
    """Verdicts at a steady `rate` a second once the pages are `opened`, few before; and the defects that belong to
    them. Until cancelled."""
    drawn = SyntheticOptions(defect_share=1.0)
    pictures = [take(drawn, trigger(drawn, number).part) for number in range(PICTURES)]
    store, loop = FrameStore(settings.frame_store_url), asyncio.get_running_loop()
    references = [store.put(data, hashlib.sha256(data).hexdigest(), "jpg") for data in pictures]
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        due = loop.time()
        for number in count():
            due += 1 / (rate if opened.is_set() else OPENING_RATE)
            await asyncio.sleep(max(0.0, due - loop.time()))
            now, which = datetime.now(UTC), number % PICTURES
            frame = shot(number, pictures[which])
            key = station_key(frame.plant, frame.line, frame.station)
            rejected = number % NG_EVERY == number // LINES % NG_EVERY  # in turn on every line
            source = Source("lineside.frames", 0, number, now)
            verdict = issue(
                frame,
                REJECT if rejected else PASS,
                source,
                recipe=None,
                provenance=ENGINE,
                received_at=now,
                decided_at=now,
            )
            delivery = await publisher.send(VERDICTS, verdict, key=key)
            delivery.add_done_callback(lambda done: _note_verdict(sent, done.result()))
            if rejected:
                defect = DefectDetected(
                    verdict=verdict, image_ref=references[which], encoding=Encoding.JPEG, width=640, height=480
                )
                delivery = await publisher.send(DEFECTS, defect, key=key)
                if frame.line == "line-1":
                    delivery.add_done_callback(lambda done: sent.defects.append(done.result().timestamp_ms))


def _note_verdict(sent: Sent, delivery: object) -> None:
    sent.verdicts[delivery.partition].append((delivery.offset, delivery.timestamp_ms))  # type: ignore[attr-defined]


async def open_page(browser: Browser, size: tuple[int, int], address: str, name: str) -> Page:
    """Sign in as `name`, each in a browser of their own, and note every change from now on."""
    page = await browser.new_page(viewport={"width": size[0], "height": size[1]})
    await page.goto(address)
    await page.locator("input").first.fill(name)
    await page.keyboard.press("Enter")
    await page.locator("[data-newest-ms]").first.wait_for(state="attached", timeout=60_000)
    await page.evaluate(NOTE_CHANGES)
    return page


def to_dashboard_ms(sent: Sent, seen: list[tuple[int, int, str]], from_ms: int, until_ms: int) -> list[float]:
    """Of every verdict appended in the range: milliseconds until a page's counts hold it."""
    found: list[float] = []
    for partition, appended in sent.verdicts.items():
        held = [(at, int(json.loads(through).get(str(partition), -1))) for at, _, through in seen]
        offsets = list(np.maximum.accumulate([offset for _, offset in held])) if held else []
        for offset, at_ms in appended:
            if from_ms <= at_ms < until_ms:
                first = bisect_left(offsets, offset)
                found.append(held[first][0] - at_ms if first < len(held) else float("inf"))
    return found


def to_station_ms(sent: Sent, seen: list[tuple[int, int, str]], from_ms: int, until_ms: int) -> list[float]:
    """Of every defect of line 1 appended in the range: milliseconds until a station's page shows it."""
    newest = [value for _, value, _ in seen]
    found: list[float] = []
    for at_ms in sent.defects:
        if from_ms <= at_ms < until_ms:
            first = bisect_left(newest, at_ms)
            found.append(seen[first][0] - at_ms if first < len(seen) else float("inf"))
    return found


def say_times(what: str, times: Iterable[float]) -> None:
    times = np.array(list(times))
    missed = int(np.isinf(times).sum())
    p50, p95, p99 = np.quantile(times[np.isfinite(times)], (0.5, 0.95, 0.99)) if len(times) > missed else [np.nan] * 3
    print(f"{what}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms; n {len(times)}, never shown {missed}")


def say_programs(programs: Programs, seconds: float) -> None:
    """Memory at start and end and its slope over the second half (what is kept for good grows on, what warms up does
    not), and the share of one core."""
    print(f"{'MiB':<12}{'start':>8}{'middle':>8}{'end':>8}{'max':>8}{'MiB/min':>10}{'core':>8}")
    for name, row in programs.rows.items():
        half = row[len(row) // 2 :]
        slope = np.polyfit(np.arange(len(half)) * SAMPLE_S / 60, half, 1)[0] if len(half) > 2 else float("nan")
        cpu = (programs.cpu_s[name][-1] - programs.cpu_s[name][0]) / seconds
        spread = f"{row[0]:>8.0f}{row[len(row) // 2]:>8.0f}{row[-1]:>8.0f}{max(row):>8.0f}"
        print(f"{name:<12}{spread}{slope:>+10.2f}{cpu:>8.0%}")


@contextlib.asynccontextmanager
async def installation(settings: Settings) -> AsyncIterator[dict[str, Child]]:
    """What works on verdicts, and the pages, as `lineside up --keep` starts them."""
    station = ["station", "--line", "line-1", "--station", "station-1", "--port", "0"]
    programs = (["parts"], ["statistics"], ["dashboard", "--port", "0"], station)
    async with contextlib.AsyncExitStack() as stack:
        children: dict[str, Child] = {}
        for arguments in programs:
            name = arguments[0]
            child = Child(
                arguments,
                to_environment(settings),
                settings.data_dir / f"{name}.log",
                settings.data_dir / f"{name}.ready",
            )
            stack.push_async_callback(child.stop)
            await child.start()
            children[name] = child
        yield children


async def measure(programs: Programs, seconds: float, publishing: asyncio.Task[None]) -> tuple[int, int]:
    """Samples the programs for so long. The range of append times, ms since 1970, that counts: the last events get the
    time to be shown."""
    psutil.cpu_percent()
    from_ms = until_ms = int(datetime.now(UTC).timestamp() * 1000)
    while not publishing.done() and until_ms - from_ms < seconds * 1000:
        programs.sample()
        await asyncio.sleep(SAMPLE_S)
        until_ms = int(datetime.now(UTC).timestamp() * 1000)
    programs.sample()
    print(f"{(until_ms - from_ms) / 60_000:.1f} min, all cores {psutil.cpu_percent():.0f} % busy")
    return from_ms, until_ms - SHOWN_WITHIN_MS


async def main(options: argparse.Namespace) -> None:
    sent = Sent()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker(BrokerConfig(folder / "broker", heap_mb=HEAP_MB)))
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=folder)
        await ensure_topics(settings.bootstrap, topic_specs(settings))
        children = await stack.enter_async_context(installation(settings))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox", *NO_THROTTLE, *options.chromium_arg]
        )
        stack.push_async_callback(browser.close)
        opened = asyncio.Event()
        publishing = asyncio.create_task(publish(settings, options.rate, sent, opened))
        dashboards = [
            await open_page(browser, WALL, children["dashboard"].address, f"engineer-{n}")
            for n in range(options.dashboards)
        ]
        stations = [
            await open_page(browser, TOUCH, children["station"].address, f"operator-{n}")
            for n in range(options.stations)
        ]
        print(f"{len(dashboards)} dashboards and {len(stations)} stations open", flush=True)
        opened.set()
        await asyncio.sleep(SETTLE_S)
        browsers = [
            p.pid
            for p in psutil.Process().children(recursive=True)
            if "chrom" in p.name() and not any(word.startswith("--type=") for word in p.cmdline())
        ]
        pids = {name: child.pid for name, child in children.items() if child.pid}
        programs = Programs(pids | {"kafka": broker.pid, "chromium": browsers[0], "publisher": os.getpid()})
        from_ms, until_ms = await measure(programs, options.minutes * 60, publishing)
        boards = [await page.evaluate("() => window.seen") for page in dashboards]
        desks = [await page.evaluate("() => window.seen") for page in stations]
        publishing.cancel()
        say_times(
            "verdict to dashboard", (ms for seen in boards for ms in to_dashboard_ms(sent, seen, from_ms, until_ms))
        )
        say_times(
            "defect to rework station", (ms for seen in desks for ms in to_station_ms(sent, seen, from_ms, until_ms))
        )
        say_programs(programs, options.minutes * 60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=100.0, help="verdicts a second")
    parser.add_argument("--dashboards", type=int, default=12)
    parser.add_argument("--stations", type=int, default=8)
    parser.add_argument("--chromium-arg", action="append", default=[], help="such as --chromium-arg=--disable-gpu")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    asyncio.run(main(parser.parse_args()))
