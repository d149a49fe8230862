"""`lineside compare` and `lineside whatif`: runs against each other and against the truth, shown and kept as HTML."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.records import ReworkOutcome, SampleSelected
from streams.archive.catalogue import where_there
from streams.bus.present import records_of
from streams.bus.registry_client import codec_for
from streams.commands.ui import Ui
from streams.errors import CallerError
from streams.inspection.decide import LIVE
from streams.replay.comparison import Comparison, compare
from streams.replay.decided import Decisions, Pair, decisions_of
from streams.replay.flip_pictures import pictures_of
from streams.replay.page import answer, comparison_page, estimate, interval, p_value, whatif_page
from streams.replay.runs import SCHEMA, Run, open_run
from streams.replay.truth import Truths, by_labels, by_people, refusal
from streams.replay.whatif import Limits, Point, curve, point, recipe_line, recommended, scored
from streams.settings import Settings
from streams.topics import OUTCOMES, SAMPLES
from streams.whole_file import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What `lineside compare` was asked for."""

    a: str
    b: str
    intersect: bool = False
    by: Sequence[str] = ()
    truth: str = "auto"
    html: Path | None = None
    flips: int = 60
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfOptions:
    """What `lineside whatif` was asked for."""

    run: str
    classes: Sequence[str] = ()
    at: Sequence[str] = ()
    band: float | None = None
    max_escape: float | None = None
    max_overkill: float | None = None
    truth: str = "auto"
    html: Path | None = None
    as_json: bool = False


def compare_runs(settings: Settings, options: CompareOptions) -> None:
    """Compare, show, and write the report."""
    if unknown := sorted(set(options.by) - set(SCHEMA.names) - {"day"}):
        raise CallerError(f"--by {unknown[0]!r} is no column of a verdict; columns are {', '.join(SCHEMA.names)}")
    run_a, run_b = _opened(settings, options.a, options.b)
    decided_a, decided_b = _decided(run_a), _decided(run_b)
    run = run_b if run_a.id == LIVE else run_a
    truths = asyncio.run(truths_of(settings, run.frames(), run.info["classes"], (decided_a, decided_b), options.truth))
    compared = compare(decided_a, decided_b, truths, intersect=options.intersect, by=options.by)
    if options.html:
        shown = asyncio.run(_pictures(settings, compared.flipped[: options.flips]))
        page = comparison_page(compared, run_b.info, lambda pair: shown[pair.a.key], options.flips)
        _write(options.html, page)
    if options.as_json:
        print(json.dumps(compared.to_json(), indent=2, default=str))
    else:
        show(compared, options.html)


def _opened(settings: Settings, a: str, b: str) -> tuple[Run, Run]:
    if a == b == LIVE:
        raise CallerError("`live` is compared with a replay: give the replay's run as the other one")
    run_b = open_run(b, settings) if b != LIVE else open_run(b, settings, open_run(a, settings))
    return (open_run(a, settings) if a != LIVE else open_run(a, settings, run_b)), run_b


def _decided(run: Run) -> Decisions:
    return decisions_of(run.id, run.to_arrow(), run.info["classes"])


async def truths_of(
    settings: Settings, frames: pa.Table, classes: Mapping[str, str], decided: Sequence[Decisions], by: str
) -> Truths:
    """Labels where there are any, else what people decided; or what `by` says. `classes` by role."""
    labels = {key: d.label for side in decided for key, d in side.by_frame.items() if d.label is not None}
    if by == "labels" or (by == "auto" and labels):
        good = frozenset(name for name, role in classes.items() if role == "good") | {"good"}
        return by_labels(frames.to_pylist(), labels, good)
    outcomes: list[ReworkOutcome] = await records_of(settings, OUTCOMES)
    samples: list[SampleSelected] = await records_of(settings, SAMPLES)
    return by_people(frames.to_pylist(), outcomes, samples)


async def _pictures(settings: Settings, pairs: Sequence[Pair]) -> dict[Any, bytes | str]:
    with where_there(settings.archive_dir) as archive:
        return await pictures_of(pairs, settings, codec_for(settings), archive)


def show(compared: Comparison, html: Path | None) -> None:
    """The figures on a terminal."""
    ui = Ui()
    ui.table(f"{compared.a} against {compared.b}", [*_whole(compared), *_rates(compared), *_groups(compared)])
    if html:
        ui.say(f"Report: {html}")


def _whole(c: Comparison) -> list[tuple[str, str]]:
    changes = [f"{change} {n}" for change, n in c.matrix.items() if len(set(change.split(">"))) > 1]
    shift = f"mean {c.shift.mean:+.4f}, largest {c.shift.largest:+.4f}" if c.shift.n else "n/a"
    left_out = [
        f"{run} {reason} {n}" for run, by in ((c.a, c.left_out_a), (c.b, c.left_out_b)) for reason, n in by.items()
    ]
    alone = f"{c.a} {c.whole.passes_only_a}, {c.b} {c.whole.passes_only_b}, p {p_value(c.whole.p)}"
    return [
        ("answer", answer(c)),
        ("pairs", f"{c.pairs}, decided alike {c.whole.same}"),
        ("pass with one alone", alone),
        ("changes", ", ".join(changes) or "none"),
        ("score shift", shift),
        ("no decision", ", ".join(left_out) or "none"),
    ]


def _rates(c: Comparison) -> list[tuple[str, str]]:
    truth = f"{c.truth_n} frames by {c.truth_by}, {c.truth_left_out} of unknown probability"
    if why := c.rates_b.escape.why_not or c.rates_a.escape.why_not:
        return [("truth", truth), ("no rates", why)]
    return [
        ("truth", truth),
        (f"escape {c.a}", estimate(c.rates_a.escape.estimate)),
        (f"escape {c.b}", estimate(c.rates_b.escape.estimate)),
        ("escape difference", interval(c.escape_difference)),
        (f"overkill {c.a}", estimate(c.rates_a.overkill.estimate)),
        (f"overkill {c.b}", estimate(c.rates_b.overkill.estimate)),
        ("overkill difference", interval(c.overkill_difference)),
    ]


def _groups(c: Comparison) -> list[tuple[str, str]]:
    """Groups in which something flips."""
    return [
        (f"{g.group} {g.value}", f"{g.pairs} pairs, {g.passes_only_a} / {g.passes_only_b}, p {p_value(g.p_adjusted)}")
        for g in c.groups
        if g.passes_only_a or g.passes_only_b
    ]


def what_if(settings: Settings, options: WhatIfOptions) -> None:
    """Other thresholds for one run's scores."""
    run = open_run(options.run, settings)
    decided = _decided(run)
    truths = asyncio.run(truths_of(settings, run.frames(), run.info["classes"], [decided], options.truth))
    present = _present(settings, run)
    limits = _changed(present, options)
    frames = scored(decided.by_frame, limits)
    classes = list(options.classes) or list(frames.names)
    if unknown := sorted(set(classes) - set(frames.names)):
        raise CallerError(f"--class {unknown[0]!r} has no limit in this run; limits are for {', '.join(frames.names)}")
    curves = {name: curve(frames, limits, name, truths) for name in classes}
    here = point(frames, limits, 0.0, truths)
    chosen = {n: recommended(points, options.max_escape, options.max_overkill) for n, points in curves.items()}
    best = {name: p.threshold for name, p in chosen.items() if p}
    line = json.dumps(recipe_line(run.info, replace(limits, thresholds={**limits.thresholds, **best})))
    why = refusal(decided.by_frame, truths)
    if options.html:
        _write(options.html, whatif_page(run.id, curves, present.thresholds, line, why))
    if options.as_json:
        figures = {name: [_plain(p) for p in points] for name, points in curves.items()}
        whole = {"run": run.id, "at": _plain(here), "curves": figures, "recommended": best, "why_not": why or None}
        print(json.dumps({**whole, "recipe": json.loads(line)}, indent=2))
        return
    _show_whatif(run, here, curves, best, line, why)


def _show_whatif(
    run: Run, here: Point, curves: dict[str, list[Point]], best: dict[str, float], line: str, why: str
) -> None:
    ui = Ui()
    rows = [("at these limits", _words(here))]
    for name, points in curves.items():
        rows += [(f"{name} {p.threshold:.2f}", _words(p)) for p in points if round(p.threshold * 100) % 10 == 0]
    rows += [(f"recommended {name}", f"{threshold:.2f}") for name, threshold in best.items()]
    if why:
        rows.append(("no rates", why))
    ui.table(f"What if · {run.id}", rows)
    print(line)


def _words(p: Point) -> str:
    rates = f"escape {estimate(p.rates.escape.estimate)}, overkill {estimate(p.rates.overkill.estimate)}"
    return f"passed {p.passed}, unsure {p.unsure}, rejected {p.rejected}; {rates}"


def _plain(p: Point) -> dict[str, Any]:
    counts = {"passed": p.passed, "unsure": p.unsure, "rejected": p.rejected}
    limits = {"thresholds": dict(p.limits.thresholds), "unsure_band": p.limits.unsure_band}
    return {"threshold": p.threshold, **limits, **counts, "rates": p.rates.to_json()}


def _present(settings: Settings, run: Run) -> Limits:
    """The limits that the run judged by; CallerError where those are several."""
    found = [Limits(item["thresholds"], item["unsure_band"]) for item in run.info["limits"]]
    if len(found) != 1:
        raise CallerError(
            f"run {run.id} was judged by {len(found)} different recipes: replay one line and SKU, "
            "or with --recipe model, and ask that run"
        )
    return found[0]


def _changed(present: Limits, options: WhatIfOptions) -> Limits:
    thresholds = dict(present.thresholds)
    for text in options.at:
        name, _, limit = text.partition("=")
        try:
            thresholds[name] = float(limit)
        except ValueError:
            raise CallerError(f"--at needs CLASS=THRESHOLD, such as scratch=0.4; came {text!r:.80}") from None
        if not 0 <= thresholds[name] <= 1:
            raise CallerError(f"a threshold lies in 0 to 1; came {text!r:.80}")
    return Limits(thresholds, present.unsure_band if options.band is None else options.band)


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, lambda beside: beside.write_text(text))
    except OSError as error:
        raise CallerError(f"{path} can't be written: {error.strerror}") from error
