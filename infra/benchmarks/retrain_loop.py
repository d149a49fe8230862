"""A new kind of defect begins on a line: what escapes before and after one retraining, on real programs.

    .venv/bin/python infra/benchmarks/retrain_loop.py [--pictures 1200] [--frames 2400] [--rate 10] [--practice 1500]
        [--seed 0] [--folder DIR] [--plot FILE.svg] [--json]

A Kafka of its own, `lineside worker`, `lineside sampler`, synthetic cameras of 320x240. The first model has practised
on made-up marks and has seen three kinds of defects, never the fourth: a hole that was not drilled. Then that begins.
People look at rejected, unsure and sampled parts alone (`retrain_people.py`). `lineside retrain` proposes, somebody
else approves, the worker swaps while frames come. Escapes and overkill are those of live verdicts against the label
that each frame carries, over a stretch before and a stretch after, of parts that were never drawn before.

The sampler's budget is a day's; a day is squeezed into minutes here, so the budget is scaled up: --audits a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retrain_people import People
from retrain_plot import plotted

from models.artifact import load_artifact
from models.evaluate import rate
from schemas.records import Outcome, VerdictIssued
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.capture.synthetic import SyntheticOptions, SyntheticSource, Trigger, take, trigger
from streams.commands.children import Child
from streams.downstream.sampling.strategies import GOOD
from streams.gateway_app import run_gateway
from streams.settings import Settings, to_environment
from streams.topics import DEADLETTERS, FRAMES, topic_specs

SKU, DAY_MINUTES = "flange-40", 1_440
OLD, NEW = ("dent", "stain", "crack"), "missing_feature"
LOOK = SyntheticOptions(
    plant="p1", skus=(SKU,), width=320, height=240, severity=(0.5, 1.0), kinds=OLD, defect_share=0.15
)
BEFORE, BEGUN, MEANWHILE, AFTER, TAUGHT = range(51_000_000, 56_000_000, 1_000_000)  # seeds, none of a training's
SEEDS_EACH = 50_000  # of a run, in each of the five
SCOPE = ("--plant", "p1", "--line", "line-1", "--sku", SKU)
NOTICE = "25s"  # of a recipe: checks and audit take their time on a machine that is busy
SILENCE_S = 120.0  # no verdict for so long: what is missing is lost
QUIET_S = 100.0  # two of the sampler's periods and its grace: what was seen is sampled by then


class Line(SyntheticSource):
    """A camera at whose line the new kind, where it occurs, is plain: a step left out leaves no hole at all."""

    def _plan(self) -> Iterator[Trigger]:
        for planned in super()._plan():
            part = planned.part
            plain = replace(part, severity=round(0.8 + 0.2 * part.severity, 4)) if part.defect == NEW else part
            yield replace(planned, part=plain)


class Stage:
    """The folder, the settings and the commands of one measurement."""

    def __init__(self, folder: Path, bootstrap: str, options: argparse.Namespace) -> None:
        self.folder, self.options, self.first = folder, options, options.first or folder
        budget = 2 * DAY_MINUTES * options.audits
        self.settings = Settings(
            bootstrap_servers=bootstrap,
            data_dir=folder / "data",
            partitions=4,
            sample_budget_per_line=budget,
            sample_shares="PASS_AUDIT=0.5,UNCERTAIN=0.002,CORRECTED=0.002,NOVEL=0.002,RARE=0.002,DISAGREEMENT=0.002",
            sample_near_bits=0,
        )

    def seeds(self, first: int) -> int:
        """The first seed of a stretch of this run's parts."""
        return first + SEEDS_EACH * self.options.seed

    async def command(self, *arguments: object) -> Any:
        """What `lineside ARGUMENTS --json` said; its progress goes to stderr."""
        command = [sys.executable, "-P", "-m", "streams.cli", *map(str, arguments), "--json"]
        environment = {**os.environ, **to_environment(self.settings)}
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        say(f"{time.monotonic() - started:6.0f} s  lineside {' '.join(map(str, arguments))[:110]}")
        if process.returncode:
            raise SystemExit(f"`lineside {arguments[0]}` ended with {process.returncode}")
        return json.loads(said) if said.strip() else {}

    async def pour(
        self, seed: int, frames: int | None, kinds: Sequence[str], rate_per_s: float
    ) -> tuple[datetime, datetime]:
        """Frames of a camera; when that was. The share of each kind is the same, be there three or four."""
        share = LOOK.defect_share * len(kinds) / len(OLD)
        options = replace(
            LOOK, seed=self.seeds(seed), frames=frames, kinds=tuple(kinds), parts_per_s=rate_per_s, defect_share=share
        )
        began = datetime.now(UTC)
        await run_gateway(self.settings, Line(options), lambda counts: None)
        return began, datetime.now(UTC)


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


async def first_model(stage: Stage) -> dict[str, Any]:
    """Drawn, labelled, trained, with a bank of good parts, unless an earlier run has done that; released, in force."""
    home, run = stage.first, stage.command
    if not (home / "surface").exists():
        await _trained(stage)
    evidence = ("--data", home / "base", "--why", "the first model of the line")
    await run("models", "release", home / "surface", *evidence)
    await run("recipe", "set", *SCOPE, "--model", "surface", "--why", "the first", "--from", NOTICE)
    return dict(load_artifact(home / "surface").metrics["test"])


async def _trained(stage: Stage) -> None:
    options, home, run = stage.options, stage.first, stage.command
    drawn = replace(LOOK, seed=stage.seeds(TAUGHT), defect_share=0.5)
    for number in range(options.pictures):
        part = trigger(drawn, number).part
        place = home / "drawn" / part.label / f"first-{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(take(drawn, part))
    await run("dataset", "build", home / "base", "--source", "folder", "--folder", home / "drawn")
    fit = ("--practice", options.practice, "--epochs", options.epochs, "--size", "160x120", "--symmetry", "none")
    fit += ("--seed", options.seed)
    await run("train", "--data", home / "base", "--out", home / "trained", "--name", "surface", *fit)
    out = ("--out", home / "calibrated", "--rule", "overkill", "--overkill", options.overkill)
    await run("calibrate", "--model", home / "trained", "--data", home / "base", *out)
    bank = ("--false-alarm", options.false_alarm, "--places", "500", "--pictures", "300", "--out", home / "surface")
    await run("novelty", "--model", home / "calibrated", "--data", home / "base", *bank)


def figures_of(verdicts: Sequence[VerdictIssued]) -> dict[str, Any]:
    """Live verdicts against what each part is. `passes`: OK, so that nobody looks; `not_rejected`: OK or UNSURE."""
    found: dict[str, Any] = {"frames": len(verdicts), "models": dict(Counter(str(v.model_id) for v in verdicts))}
    for kind in (*OLD, NEW):
        its = [v for v in verdicts if v.label == kind]
        found[kind] = {
            "passes": rate(sum(v.outcome is Outcome.OK for v in its), len(its)).to_json(),
            "not_rejected": rate(sum(v.outcome is not Outcome.NG for v in its), len(its)).to_json(),
        }
    good = [v for v in verdicts if v.label == GOOD]
    found["overkill"] = rate(sum(v.outcome is Outcome.NG for v in good), len(good)).to_json()
    found["asked_about_good"] = rate(sum(v.outcome is Outcome.UNSURE for v in good), len(good)).to_json()
    return found


def between(people: People, span: tuple[datetime, datetime]) -> list[VerdictIssued]:
    return [v for v in people.verdicts.values() if span[0] <= v.source_timestamp <= span[1]]


async def decided(stage: Stage, people: People) -> int:
    """Returns when every frame has its verdict and people have seen it; how many frames are lost."""
    prefix, bootstrap = stage.settings.topic_prefix, stage.settings.bootstrap
    frames = sum((await end_offsets(bootstrap, prefix + FRAMES.name)).values())
    seen, since = -1, time.monotonic()
    while len(people.verdicts) < frames and time.monotonic() - since < SILENCE_S:
        if len(people.verdicts) != seen:
            seen, since = len(people.verdicts), time.monotonic()
        await asyncio.sleep(0.5)
    return frames - len({v.frame_id for v in people.verdicts.values()})


async def closed(stage: Stage, people: People) -> dict[str, Any]:
    """The whole: frames, samples, retraining, swap, frames."""
    options, run = stage.options, stage.command
    first = await first_model(stage)
    kinds = (*OLD, NEW)
    await asyncio.sleep(float(NOTICE.removesuffix("s")))
    say("the line runs")
    before = await stage.pour(BEFORE, options.frames // 4, OLD, options.rate)
    say(f"{NEW} begins")
    begun = await stage.pour(BEGUN, options.frames, kinds, options.rate)
    await decided(stage, people)
    say(f"waiting for the sampler: {len(people.samples)} samples so far")
    running = asyncio.create_task(stage.pour(MEANWHILE, None, kinds, 1.0))
    await asyncio.sleep(QUIET_S)
    sampled = Counter(sample.strategy.value for sample in people.samples)
    known = Counter(people.verdicts[s.verdict_id].label for s in people.samples)
    asked = ("--base", stage.first / "base", "--symmetry", "none", "--from", "30m", "--by", "ana")
    said = await run("retrain", *SCOPE, *asked, "--epochs", options.retrain_epochs)
    words = ("--by", "bo", "--why", "finds what began on this line", "--below-gate", "--from", NOTICE)
    approved = await run("retrain", "approve", said["proposal"]["proposal_id"], *words)
    swap = datetime.fromisoformat(approved["recipe"]["effective_at"])
    await asyncio.sleep(max(0.0, (swap + timedelta(seconds=10) - datetime.now(UTC)).total_seconds()))
    running.cancel()
    await asyncio.wait([running])
    say("fresh parts after the swap")
    after = await stage.pour(AFTER, options.frames, kinds, options.rate)
    lost = await decided(stage, people)
    letters = sum(
        (await end_offsets(stage.settings.bootstrap, stage.settings.topic_prefix + DEADLETTERS.name)).values()
    )
    spans = {"before": before, "begun": begun, "after": after}
    return {
        "first_model": first,
        **{name: figures_of(between(people, span)) for name, span in spans.items()},
        "sampled": dict(sampled),
        "labelled_samples": dict(known),
        "decided": len(people.decided),
        "seen_by_people": len(people.decided) / max(1, len(people.verdicts)),
        "proposal": said["proposal"]["metrics"],
        "answer": said["answer"]["sentence"],
        "frames": len(people.verdicts),
        "frames_lost": lost,
        "dead_letters": letters,
        "swap": swap.isoformat(),
        "spans": {name: [at.isoformat() for at in span] for name, span in spans.items()},
    }


def verdict_on(found: dict[str, Any]) -> dict[str, Any]:
    """The claim: escapes of the new kind fall by four fifths at least, overkill is no higher, nothing is lost."""
    begun, after = found["begun"], found["after"]
    fell = {
        name: 1 - (after[NEW][name]["value"] or 0.0) / begun[NEW][name]["value"] if begun[NEW][name]["value"] else None
        for name in ("passes", "not_rejected")
    }
    higher = (after["overkill"]["value"] or 0.0) > (begun["overkill"]["value"] or 0.0)
    return {"fell": fell, "overkill_is_higher": higher, "holds": (fell["passes"] or 0.0) >= 0.8 and not higher}


async def main(options: argparse.Namespace) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker(BrokerConfig(folder / "broker")))
        stage = Stage(folder, broker.bootstrap_servers, options)
        stage.settings.data_dir.mkdir(parents=True, exist_ok=True)
        await ensure_topics(stage.settings.bootstrap, topic_specs(stage.settings))
        environment, people = to_environment(stage.settings), People(stage.settings)
        programs = [
            Child([name], environment, folder / f"{name}.log", folder / f"{name}.ready")
            for name in ("worker", "sampler")
        ]
        looking = asyncio.create_task(people.work())
        try:
            await asyncio.gather(*(program.start() for program in programs))
            found = await closed(stage, people)
            found |= verdict_on(found)
            if options.plot:
                options.plot.write_text(plotted(found, list(people.verdicts.values()), OLD, NEW))
            return found
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            await asyncio.gather(*(program.stop() for program in programs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1200, help="that the first model learns from")
    parser.add_argument("--practice", type=int, default=1500, help="pictures with made-up marks before")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--overkill", type=float, default=0.01, help="of the first model, by calibration")
    parser.add_argument("--false-alarm", type=float, default=0.02, help="of the bank of good parts")
    parser.add_argument("--retrain-epochs", type=int, default=8)
    parser.add_argument("--frames", type=int, default=2400, help="of each of the two stretches that are compared")
    parser.add_argument("--rate", type=float, default=10.0, help="frames a second")
    parser.add_argument("--audits", type=int, default=40, help="passed frames that are sampled a minute, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the first model and of all parts, below 20")
    parser.add_argument("--first", type=Path, help="folder of an earlier run, whose first model is taken")
    parser.add_argument("--folder", type=Path, help="keep everything here")
    parser.add_argument("--plot", type=Path, help="write the plot, as SVG")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    measured = asyncio.run(main(asked))
    print(json.dumps(measured, indent=2))
