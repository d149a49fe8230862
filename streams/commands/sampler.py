"""`lineside sampler`: choose frames for labelling, once over history or as periods close."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.likeness import descriptor
from schemas.records import SampleSelected, Strategy
from streams.bus.admin import require_topics
from streams.commands.ui import Ui
from streams.downstream.sampling.pictures import Embed
from streams.downstream.sampling.plan import ORDER, Plan
from streams.downstream.sampling.sampler import Tally
from streams.downstream.sampling.service import Range, SamplerService, utc_now
from streams.downstream.sampling.strategies import one_line
from streams.errors import CallerError
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.tail import parse_start, plain
from streams.topics import topic_specs

if TYPE_CHECKING:
    from models.likeness import F32, U8


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """What `lineside sampler` was asked for. Times as in `lineside tail --from`."""

    once: bool = False
    since: str | None = None
    until: str | None = None
    dry_run: bool = False
    as_json: bool = False
    seed: int | None = None
    model_dir: Path | None = None


async def run_sampler(settings: Settings, options: SamplerOptions, on_ready: Callable[[], None]) -> None:
    """Sample; CallerError for options or settings that say nothing sensible. `on_ready` is called when it follows."""
    if (options.dry_run or options.until) and not options.once:
        raise CallerError("--dry-run and --until go with --once; without it the sampler follows the topics")
    since, until = parse_time("--since", options.since), parse_time("--until", options.until)
    plan = plan_of(settings, options.seed)
    if options.once:
        service = await _service(settings, plan, options.model_dir)
        report(await service.once(Range(since=since, until=until), options.dry_run), options.as_json)
        return
    stop = asyncio.Event()
    async with monitored(settings, "sampler") as monitor:
        service = await _service(settings, plan, options.model_dir)
        monitor.watch(service.work)
        with stop_on_signals(stop):
            tally = await service.follow(since, stop, on_ready)
    report(tally, options.as_json)


async def _service(settings: Settings, plan: Plan, model_dir: Path | None) -> SamplerService:
    embed = await asyncio.to_thread(embedding, model_dir)
    await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
    return SamplerService(settings, plan, embed)


def plan_of(settings: Settings, seed: int | None) -> Plan:
    """The plan in the settings; CallerError for one that can't be kept."""
    try:
        return Plan(
            budget=settings.sample_budget_per_line,
            shares=parse_shares(settings.sample_shares),
            period_s=settings.sample_period_s,
            seed=settings.sample_seed if seed is None else seed,
            near_bits=settings.sample_near_bits,
        )
    except ValueError as error:
        raise CallerError(f"the sampler's settings (LINESIDE_SAMPLE_…) can't be used: {error}") from error


def parse_shares(text: str) -> dict[Strategy, float]:
    """`PASS_AUDIT=0.4,RARE=0.1,…` as shares; ValueError for anything else."""
    shares: dict[Strategy, float] = {}
    for item in text.split(","):
        name, _, share = (word.strip() for word in item.partition("="))
        if name not in ORDER or name in shares:
            raise ValueError(f"sample_shares must name each of {', '.join(ORDER)} once at most; came {item.strip()!r}")
        try:
            shares[Strategy(name)] = float(share)
        except ValueError:
            raise ValueError(f"sample_shares needs {name}=0.1 or another share; came {item.strip()!r}") from None
    return shares


def parse_time(option: str, text: str | None) -> datetime | None:
    """A time, or a time ago such as 2d; CallerError for an offset or other things."""
    if text is None:
        return None
    with contextlib.suppress(CallerError):
        if isinstance(at := parse_start(text, utc_now()), datetime):
            return at
    raise CallerError(f"{option} needs a time such as 2026-03-01T12:00Z, or a time ago such as 2d; came {text!r:.80}")


def embedding(model_dir: Path | None) -> Embed:
    """How pictures are compared: by what a model sees in them, else by their mean colours."""
    if model_dir is None:
        return descriptor
    from models.artifact import load_artifact  # torch is seconds of start-up
    from models.embedding import Embedder
    from models.preprocess import prepare

    embedder = Embedder(load_artifact(model_dir))

    def embed(pixels: U8) -> F32:
        embedded: F32 = embedder.embed(prepare(pixels, embedder.preprocessing)[None])[0]
        return embedded

    return embed


def report(tally: Tally, as_json: bool) -> None:
    """What a run chose, for programs or people."""
    if as_json:
        print(json.dumps(figures(tally) | {"samples": [plain_sample(s) for s in tally.samples]}, indent=2))
        return
    ui = Ui()
    for sample in tally.samples:
        station = f"{sample.plant}/{sample.line}/{sample.station}"
        part = one_line(sample.part_id or "part unknown")
        ui.say(f"{sample.selected_at:%m-%d %H:%M} {station} {part} {sample.strategy}: {sample.why}")
    ui.table("Samples", [(name.replace("_", " "), shown_value(value)) for name, value in figures(tally).items()])


def figures(tally: Tally) -> dict[str, object]:
    return {
        "periods": tally.periods,
        "chosen": len(tally.samples),
        "published": tally.published,
        "published_before": tally.known,
        "strategies": dict(sorted(Counter(sample.strategy.value for sample in tally.samples).items())),
        "left_out": {why: count for why, count in sorted(tally.left_out.items()) if count},
        "audits_missing": tally.audits_missing,
    }


def shown_value(value: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) or "none" if isinstance(value, dict) else str(value)


def plain_sample(sample: SampleSelected) -> dict[str, object]:
    return {name: plain(value) for name, value in sample.to_avro().items()}
