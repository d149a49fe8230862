"""Drift: false alarms of quiet windows, and how many frames a broken camera takes to be noticed.

    .venv/bin/python infra/benchmarks/drift.py [--pictures 2000] [--windows 1000] [--model DIR] [--seed 0] [--json]

Real figures of drawn parts, as a camera sees them through a window of 600x440 (so that a camera that is moved sees what
was beside it before). Quiet: references of 500 frames and windows of 50 to 1,000, drawn anew from the figures of
many different parts with a little noise, so that no two are equal; each window has a reference of its own. Faults: the
pictures of other parts, blurred, darkened, moved or frozen, measured and handed to the watch as verdicts. With --model,
a directory of a model that knows these parts, its scores (and novelty) are watched as well.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid5

import numpy as np
from PIL import Image, ImageFilter
from rich.progress import track

from models.artifact import load_artifact
from models.engines import open_engine
from models.evaluate import any_defect
from models.figures import figures_of
from models.preprocess import views_in
from models.scoring import split
from models.views import combined
from schemas.records import Outcome, PictureFigures, Precision, Reason, VerdictIssued
from streams.capture.surface import Part, draw
from streams.downstream.drift.camera import Camera, Scope, Taught, reference, references_of, taught_by
from streams.downstream.drift.comparison import LEAST_EFFECT, sure
from streams.downstream.drift.figures import NAMES, PICTURE, matters
from streams.downstream.drift.product import CHANCE, Product, alpha_of
from streams.downstream.drift.rejects import Rejects
from streams.downstream.drift.watch import LESSON, NAMESPACE, State, Watch
from streams.downstream.drift.window import SIZES
from streams.inspection.recipes import RecipeBook

SKUS = ("flange-40", "plate-12", "bracket-7")
FAULTY, MOST = 40_000_000, 200  # seed of the first part of a faulty camera, and how many it sees
MARGIN = 20  # pixels around what the camera sees
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NOISE = 0.2  # of a figure's standard deviation, on a figure that is drawn again
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def seen(pixels: Pixels, right: int = 0, down: int = 0) -> Pixels:
    """What a camera sees that was moved by so many pixels."""
    height, width, _ = pixels.shape
    return np.ascontiguousarray(pixels[MARGIN + down : height - MARGIN + down, MARGIN + right : width - MARGIN + right])


def blurred(radius: float) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.asarray(Image.fromarray(seen(pixels)).filter(ImageFilter.GaussianBlur(radius)))


def darkened(share: float) -> Callable[[Pixels], Pixels]:
    return lambda pixels: (seen(pixels) * (1 - share)).astype(np.uint8)


def moved(right: int, down: int) -> Callable[[Pixels], Pixels]:
    return lambda pixels: seen(pixels, right, down)


FAULTS: dict[str, Callable[[Pixels], Pixels]] = {
    "defocused, blur of 0.5 px": blurred(0.5),
    "defocused, blur of 1 px": blurred(1),
    "defocused, blur of 2 px": blurred(2),
    "darkened by 5 %": darkened(0.05),
    "darkened by 10 %": darkened(0.1),
    "darkened by 25 %": darkened(0.25),
    "moved 6 px across": moved(6, 0),
    "moved 6 px down": moved(0, 6),
    "moved 12 px across": moved(12, 0),
    "moved 12 px down": moved(0, 12),
    "moved 20 px across": moved(20, 0),
    "moved 20 px down": moved(0, 20),
}


def verdict(number: int, sku: str, taken: PictureFigures, sha256: str) -> VerdictIssued:
    """Of the frame `number` of a camera, one a second."""
    at = BEGAN + timedelta(seconds=number)
    return VerdictIssued(
        verdict_id=uuid5(NAMESPACE, f"v{number}"),
        run="live",
        frame_id=uuid5(NAMESPACE, f"f{number}"),
        plant="p1",
        line="l1",
        station="s1",
        camera="c1",
        sku=sku,
        trigger_seq=number,
        captured_at=at,
        outcome=Outcome.OK,
        reason=Reason.SCORE,
        received_at=at,
        decided_at=at,
        queue_ms=0,
        decode_ms=0,
        infer_ms=0,
        deadline_met=True,
        image_sha256=sha256,
        source_topic="frames",
        source_partition=0,
        source_offset=number,
        source_timestamp=at,
        picture=taken,
    )


def population(sku: str, count: int, first: int, score: Callable[[Pixels], float] | None) -> np.ndarray:
    """The figures of many different good parts, [count, 6], or 7 with what a model says of them."""
    found = []
    for seed in track(range(first, first + count), sku, transient=True, disable=not sys.stderr.isatty()):
        pixels = draw(Part(sku, seed))
        of_model = () if score is None else (score(pixels),)
        found.append((*astuple(figures_of(seen(pixels))), *of_model))
    return np.array(found)


def scorer(directory: Path) -> Callable[[Pixels], float]:
    """What a model says of all defects together, of the whole picture as it learned them."""
    artifact = load_artifact(directory)
    engine = open_engine(artifact, "auto", Precision.UNKNOWN, buckets=(1,))

    def score(pixels: Pixels) -> float:
        views = views_in(pixels, artifact.preprocessing)
        rows = np.concatenate([engine.submit(view[np.newaxis]).result() for view in views.pixels])
        said = combined(split(rows, engine)[0], [len(rows)], artifact.defects)
        return float(any_defect(said, artifact.classes)[0])

    return score


def padded(rows: np.ndarray) -> np.ndarray:
    """As many columns as there are figures."""
    return np.hstack([rows, np.full((len(rows), len(NAMES) - rows.shape[1]), np.nan)])


def picture(row: Sequence[float]) -> PictureFigures:
    return PictureFigures(**dict(zip(PICTURE, map(float, row), strict=False)))


def digest(number: int) -> str:
    return f"{number:016x}" * 4


def drawn(figures: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many frames, as if taken anew: of other parts than were measured."""
    noise = rng.normal(0, NOISE, (count, figures.shape[1]))
    found = figures[rng.integers(len(figures), size=count)]
    of_picture, of_model = len(PICTURE), slice(len(PICTURE), None)
    found[:, :of_picture] += noise[:, :of_picture] * figures[:, :of_picture].std(axis=0)
    found[:, of_model] *= np.exp(noise[:, of_model])  # scores of good parts are near 0, and never less
    return found


# --- quiet -----------------------------------------------------------------------------------------------------------


def taught(rows: np.ndarray) -> Taught:
    scope = Scope(Camera("p1", "l1", "s1", "c1"), "sku")
    figures = references_of(padded(rows), NAMES, None)
    return taught_by(reference(scope, figures, len(rows), (BEGAN, BEGAN), "bench", "", BEGAN))


def quiet(populations: Sequence[np.ndarray], size: int, windows: int, rng: np.random.Generator) -> dict[str, float]:
    """How often quiet windows of a size are called otherwise: at 1 % by the tests alone, and as alarms."""
    at_one, unlikely, alarms = 0, 0, 0
    for number in range(windows):
        figures = populations[number % len(populations)]
        product = Product(LESSON, timedelta(hours=1))
        product.begin_with(taught(drawn(figures, LESSON, rng)))
        for row in padded(drawn(figures, size, rng)):
            product.window.add(row)
        found = product.shifts(size)
        shifts = {name: shift for name, (shift, _) in found.items()}
        at_one += bool(sure(shifts, 0.01))
        unlikely += bool(named := sure(shifts, alpha_of(size)))
        alarms += any(shifts[name].effect >= LEAST_EFFECT and matters(name, *found[name]) for name in named)
    return {
        "windows": windows,
        "called_at_1_percent": at_one / windows,
        "called_at_the_chance_of_a_look": unlikely / windows,
        "alarms": alarms / windows,
    }


def long_run(figures: np.ndarray, frames: int, rng: np.random.Generator) -> dict[str, float]:
    """False alarms of a quiet camera that is looked at as on a line, and what a frame costs."""
    watch, states, started = Watch(RecipeBook()), 0, time.process_time()
    for number, row in enumerate(drawn(figures, frames, rng)):
        found = watch.take(verdict(number, "sku", picture(row), digest(number)), BEGAN)
        states += sum(isinstance(notice, State) for notice in found)
    return {"frames": frames, "alarms": states, "us_per_frame": (time.process_time() - started) / frames * 1e6}


# --- faults ----------------------------------------------------------------------------------------------------------


def until_alarmed(
    sku: str, figures: np.ndarray, faulty: Sequence[tuple[PictureFigures, str]], rng: np.random.Generator
) -> tuple[int | None, str, str]:
    """Frames from the first faulty one to the alarm, after a reference and a random number of quiet frames."""
    watch, before = Watch(RecipeBook()), LESSON + int(rng.integers(500, 600))
    for number, row in enumerate(drawn(figures, before, rng)):
        for notice in watch.take(verdict(number, sku, picture(row), digest(number)), BEGAN):
            assert not isinstance(notice, State), f"a false alarm: {notice}"
    for number, (taken, sha256) in enumerate(faulty, 1):
        for notice in watch.take(verdict(before + number, sku, taken, sha256), BEGAN):
            assert isinstance(notice, State)
            return number, str(notice.alarm.kind), notice.alarm.detail
    return None, "", ""


def faulty(pictures: Sequence[Pixels], spoil: Callable[[Pixels], Pixels]) -> list[tuple[PictureFigures, str]]:
    return [(figures_of(spoil(pixels)), digest(FAULTY + number)) for number, pixels in enumerate(pictures)]


def faults(populations: dict[str, np.ndarray], rng: np.random.Generator, tries: int) -> list[dict[str, Any]]:
    found, parts = [], {sku: [draw(Part(sku, FAULTY + n)) for n in range(MOST)] for sku in SKUS}
    for name, spoil in FAULTS.items():
        took, kinds, detail, unseen = [], set(), "", 0
        for sku, figures in populations.items():
            pictures = faulty(parts[sku], spoil)
            for _ in range(tries):
                order = [pictures[i] for i in rng.permutation(len(pictures))]
                frames, kind, said = until_alarmed(sku, figures, order, rng)
                unseen += frames is None
                if frames is not None:
                    took.append(frames)
                    kinds.add(kind)
                    detail = said
        found.append(_row(name, took, unseen, kinds, detail))
    took, kinds, detail = [], set(), ""
    for sku, figures in populations.items():
        one = faulty(parts[sku][:1], seen) * MOST
        frames, kind, detail = until_alarmed(sku, figures, one, rng)
        took.append(frames)
        kinds.add(kind)
    return [*found, _row("stuck", took, 0, kinds, detail)]


def _row(name: str, took: Sequence[int | None], unseen: int, kinds: set[str], detail: str) -> dict[str, Any]:
    frames = [n for n in took if n is not None]
    return {
        "fault": name,
        "tries": len(took) + unseen,
        "not_alarmed": unseen,
        "frames_median": statistics.median(frames) if frames else None,
        "frames_most": max(frames, default=None),
        "kinds": sorted(kinds),
        "detail": detail,
    }


# --- rejects ---------------------------------------------------------------------------------------------------------


def rejects(rate: float, hours_before: int, rng: np.random.Generator) -> float | None:
    """Minutes without rejects until they are missed, a frame a second, after so many hours at a rate."""
    watched, at = Rejects(timedelta(minutes=60)), BEGAN
    for bad in rng.random(hours_before * 3600) < rate:
        at += timedelta(seconds=1)
        watched.take(bool(bad), at)
    for second in range(24 * 3600):
        at += timedelta(seconds=1)
        watched.take(False, at)
        if watched.are_missing(at):
            return second / 60
    return None


def missed_by_chance(rate: float, days: int, rng: np.random.Generator) -> int:
    """Runs without rejects that would have been an alarm, of a line whose rate stays."""
    watched, at, found, stands = Rejects(timedelta(minutes=60)), BEGAN, 0, False
    for bad in rng.random(days * 86_400) < rate:
        at += timedelta(seconds=1)
        watched.take(bool(bad), at)
        missing = watched.since % 60 == 0 and watched.are_missing(at)
        found += missing and not stands
        stands = (stands or missing) and not bad
    return found


def figures(options: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(options.seed)
    score = scorer(options.model) if options.model else None
    populations = {sku: population(sku, options.pictures // len(SKUS), 50_000_000, score) for sku in SKUS}
    groups = list(populations.values())
    return {
        "pictures": options.pictures,
        "chance_of_a_false_alarm_a_frame": CHANCE,
        "quiet": {size: quiet(groups, size, options.windows, rng) for size in SIZES},
        "quiet_line": long_run(groups[0], options.frames, rng),
        "faults": faults(populations, rng, options.tries),
        "no_rejects_minutes": {
            f"{rate:.1%} of parts, after {hours} h": rejects(rate, hours, rng)
            for rate, hours in ((0.05, 2), (0.02, 8), (0.01, 8), (0.001, 72))
        },
        "no_rejects_by_chance": {
            f"{rate:.1%} of parts, 30 days": missed_by_chance(rate, 30, rng) for rate in (0.05, 0.005)
        },
    }


def told(found: dict[str, Any]) -> Iterator[str]:
    """For people."""
    for size, one in found["quiet"].items():
        called = (one["called_at_1_percent"], one["called_at_the_chance_of_a_look"])
        by_tests = f"by the tests alone {called[0]:.2%} at 1 %, {called[1]:.2%} at a look's chance"
        yield f"quiet, {one['windows']} windows of {size}: alarms {one['alarms']:.2%}; {by_tests}"
    line = found["quiet_line"]
    yield f"quiet line: {line['alarms']} alarms in {line['frames']} frames, {line['us_per_frame']:.0f} us a frame"
    for row in found["faults"]:
        yield (
            f"{row['fault']}: {row['frames_median']} frames, at most {row['frames_most']}, "
            f"{row['not_alarmed']} of {row['tries']} not in {MOST}; {', '.join(row['kinds'])}: {row['detail']}"
        )
    for name, minutes in found["no_rejects_minutes"].items():
        yield f"no rejects, usual {name}: alarm after {minutes} min"
    for name, alarms in found["no_rejects_by_chance"].items():
        yield f"no rejects by chance, usual {name}: {alarms} alarms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2400)
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = figures(options)
    print(json.dumps(found, indent=2) if options.json else "\n".join(told(found)))


if __name__ == "__main__":
    main()
