"""`lineside up`: the whole job on this machine, from cameras to a report.

Broker (embedded, or the configured one), topics, a model (trained once, kept), a worker process and the gateway; then
it watches the topics until every frame is accounted for. With --keep also what works on verdicts, and the pages. It
puts parts together and decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.records import DeadLetter, VerdictIssued
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.registry_client import registry_entries
from streams.bus.registry_server import RegistryServer
from streams.bus.security_folder import ADMIN
from streams.bus.subscriber import Subscription
from streams.capture.source import Source
from streams.commands.broker import prepare
from streams.commands.broker_keeper import BrokerKeeper
from streams.commands.examples import held_out
from streams.commands.programs import Programs
from streams.commands.report import Report, Run, report
from streams.commands.secure import as_program, as_user, init
from streams.commands.sources import SourceRequest, make_source
from streams.commands.ui import Ui
from streams.gateway_app import run_gateway
from streams.kafka_address import Protocol
from streams.monitor import monitored
from streams.settings import Settings
from streams.topics import DEADLETTERS, VERDICTS, frames_topic, topic_specs

SILENCE_S = 90.0  # no new verdict for this long after the gateway is done: what is missing is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `lineside up` was asked for."""

    request: SourceRequest
    model_dir: Path | None = None
    locator_dir: Path | None = None
    keep: bool = False
    device: str = "auto"
    precision: str = "auto"
    broker_port: int = 0
    registry_port: int = 0
    dashboard_port: int = 8080
    station_port: int = 8090
    secure: bool = False


async def up(settings: Settings, options: UpOptions, ui: Ui) -> Report:
    """Run the job and give its figures. Everything started here is stopped again, whatever happens."""
    source = make_source(options.request)  # first, so that a mistake is told before anything is started
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(monitored(settings, "up"))
        settings = await platform(settings, options, ui, stack)
        model_dir = options.model_dir or await _own_model(settings, options.request, ui)
        programs = Programs(settings, ui, stack)
        if options.keep:
            await programs.downstream(model_dir, options.locator_dir)
            addresses = await programs.pages(model_dir, options.dashboard_port, options.station_port)
        worker = await programs.worker(model_dir, options.device, options.precision)
        if options.keep:
            _say_where(ui, settings, addresses)
        run = Run(await end_offsets(settings.bootstrap, frames_topic(settings)))
        subscriptions = await _subscriptions(settings)
        watchers = [asyncio.create_task(_watch(subscription, run)) for subscription in subscriptions]
        try:
            await _capture_and_wait(settings, source, run, ui, watchers)
            ends = await end_offsets(settings.bootstrap, frames_topic(settings))
            run.copies = sum(subscription.copies for subscription in subscriptions)
            figures = report(options.request.kind, run, ends, held_out(options.request))
            if options.keep:
                ui.report(figures)
                ui.say(f"Going on with worker {worker.pid}; Ctrl-C ends it.")
                await asyncio.Event().wait()
        finally:
            for watcher in watchers:
                watcher.cancel()
    return figures


def _say_where(ui: Ui, settings: Settings, addresses: Mapping[str, str]) -> None:
    for name, address in {"Kafka": settings.bootstrap, **addresses}.items():
        ui.say(f"  {name}: {address}")
    ui.say("Ctrl-C ends it all.")


async def platform(settings: Settings, options: UpOptions, ui: Ui, stack: contextlib.AsyncExitStack) -> Settings:
    """Kafka with all topics: the configured one, else an embedded broker and its registry until the stack closes."""
    if not settings.bootstrap_servers:
        folder = init(settings, ui.say) if options.secure or settings.kafka_protocol == Protocol.SASL_SSL else None
        security_dir = folder.path if folder else None
        config = BrokerConfig(settings.data_dir / "broker", options.broker_port, security_dir=security_dir)
        broker = BrokerKeeper(EmbeddedBroker(config))
        stack.push_async_callback(broker.stop)
        with ui.step("Kafka"):
            address = await broker.start(ui.say)
        settings = dataclasses.replace(as_user(settings, ADMIN) if folder else settings, bootstrap_servers=address)
        await prepare(settings, address, folder)
        if not settings.schema_registry_url:
            registry = RegistryServer(registry_entries(settings.topic_prefix), options.registry_port)
            registry.start()
            stack.callback(registry.stop)
    else:
        await ensure_topics(settings.bootstrap, topic_specs(settings))
    return settings


async def _own_model(settings: Settings, request: SourceRequest, ui: Ui) -> Path:
    """The directory of the source's model, trained where it is not there yet."""
    directory = settings.data_dir / "models" / f"{request.kind}-resnet18"
    if not (directory / "model.json").exists():
        from streams.commands.train import train_once  # torch is seconds of start-up that a kept model need not cost

        await train_once(request, directory, ui)
    return directory


async def _subscriptions(settings: Settings) -> list[Subscription[VerdictIssued | DeadLetter]]:
    """Verdicts and dead letters from where the topics end now."""
    found: list[Subscription[VerdictIssued | DeadLetter]] = []
    for topic in (VERDICTS, DEADLETTERS):
        ends = await end_offsets(settings.bootstrap, settings.topic_prefix + topic.name)
        found.append(Subscription(topic, ends, settings=settings))
    return found


async def _watch(subscription: Subscription[VerdictIssued | DeadLetter], run: Run) -> None:
    async for event in subscription:
        if isinstance(event.record, VerdictIssued):
            run.add_verdict(event.record, event.timestamp)
        else:
            run.add_dead_letter(event.record)


async def _capture_and_wait(
    settings: Settings, source: Source, run: Run, ui: Ui, watchers: list[asyncio.Task[None]]
) -> None:
    """Run the gateway to its end, then wait until every frame is accounted for or nothing has come for SILENCE_S."""
    total = source.total
    with ui.bars() as make:
        captured, judged = make("captured", total), make("verdicts", total)
        gateway = asyncio.create_task(
            run_gateway(as_program(settings, "gateway"), source, lambda counts: captured(counts.confirmed))
        )
        done, since = 0, time.monotonic()
        try:
            async for _ in _every(0.1):
                judged(run.done)
                if run.done != done:
                    done, since = run.done, time.monotonic()
                for watcher in watchers:
                    if watcher.done():
                        watcher.result()
                if gateway.done():
                    confirmed = gateway.result().confirmed
                    if run.done >= confirmed or time.monotonic() - since > SILENCE_S:
                        return
                else:
                    since = max(since, time.monotonic() - SILENCE_S / 2)
        finally:  # before the broker that it sends to
            gateway.cancel()
            await asyncio.wait([gateway])


async def _every(seconds: float) -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(seconds)
