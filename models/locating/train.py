"""Trains a locator on pictures whose defects people marked.

Place in the flow: examples in, a checked `LocatorArtifact` out, nothing written. The train split fits the weights,
validation chooses from which score on places are shown; the test split is not touched. A training that was ended begins
anew. Knows no sources, no streams and no terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import torch

from models.artifact_checks import check_name
from models.dataset import Example, Split, ordered, split_of, spread
from models.errors import DatasetError
from models.locating.artifact import MIN_SIDE, GoldenPicture, LocatorArtifact
from models.locating.fit import FitStep, Fitted, LocatorFit, LocatorFitSpec, frozen
from models.locating.marked import MarkedPictures, boxes_of
from models.locating.measures import LEAST_SCORE, Looked, best_min_score, measured
from models.locating.network import ANCHOR_SIDE, Network, best_device, build, look, network_of
from models.locating.start import Start, fitting
from models.locator import Locator
from models.preprocess import MAX_SIDE, RejectedImageError

DEFAULT_SIDES = (480, 800)
DEFAULT_ARCH = "maskrcnn_resnet18_fpn"
GOLDEN_PICTURES, GOLDEN_PLACES = 2, 5  # and places of each
_GOLDEN_CHOICE = 8  # pictures
MOST_VALIDATED = 200  # pictures
_ANCHORS_FOR = 800  # pixels of the input's shorter side, for which ANCHOR_SIDE is
_SMALLEST_ANCHOR = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatorSpec:
    """What to train. None leaves the choice to the weights it starts with. `good` is the label of good parts."""

    model_id: str
    arch: str | None = None
    sides: tuple[int, int] | None = None
    fit: LocatorFitSpec = field(default_factory=LocatorFitSpec)
    good: str = "good"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LocatorProgress:
    """Where training is. `stage` is "decode", "fit" or "measure"; `loss` is None but in "fit"."""

    stage: str
    done: int
    total: int
    loss: float | None = None
    eta_s: float | None = None


def teaching(examples: Sequence[Example], good: str) -> tuple[tuple[str, ...], dict[Split, list[Example]]]:
    """The kinds of defects that people marked in the train split, in natural order, and who teaches, by split.

    A bad picture without a mark teaches nothing: nobody says where its defect is. DatasetError where no picture of the
    train split is marked.
    """
    splits: dict[Split, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in examples:
        splits[example.split or split_of(example.part_id)].append(example)
    known = {label for example in examples for label in {box.label for box in example.boxes} - {good}}
    marked = {box.label for example in splits["train"] for box in boxes_of(example, sorted(known))}
    if not marked:
        raise DatasetError(
            "no picture of the train split has a box that a person drew; build the data set from COCO labels: "
            "lineside dataset build DIR --source folder --folder PICTURES --labels boxes.json"
        )
    classes = ordered(marked, good)[1:]
    kept = {
        name: [example for example in members if example.label == good or boxes_of(example, classes)]
        for name, members in splits.items()
    }
    return classes, kept


def train_locator(
    examples: Sequence[Example],
    spec: LocatorSpec,
    on_progress: Callable[[LocatorProgress], None] = lambda progress: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
    start: Start | None = None,
) -> LocatorArtifact:
    """Decode, fit, choose a score, pack. What `on_progress` raises ends the training: so a caller cancels it.

    Raises DatasetError for unusable examples, ModelRefusedError for weights that don't fit, TrainingFailedError where
    the loss stops being a number.
    """
    check_name("a locator's name", spec.model_id)
    classes, splits = teaching(examples, spec.good)
    plan = _planned(spec, classes, start)
    network = _first_network(plan, spec.seed, start)
    data = _decoded(splits["train"], plan, on_progress)

    def on_step(step: FitStep) -> None:
        on_progress(LocatorProgress("fit", step.number, step.total, step.loss, step.eta_s))

    fitted = LocatorFit(network.to(best_device()), data, spec.fit, spec.seed, start is not None).run(on_step, clock)
    made = _packed(network, plan, data, spec.model_id, now())
    return _with_figures(made, fitted, splits, spec.seed, on_progress)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What network is trained: facts of the artifact by the same names."""

    arch: str
    classes: tuple[str, ...]
    sides: tuple[int, int]
    anchor_side: int


def _planned(spec: LocatorSpec, classes: tuple[str, ...], start: Start | None) -> _Plan:
    arch = spec.arch or (start.arch if start else DEFAULT_ARCH)
    sides = checked_sides(spec.sides or (start and start.sides) or DEFAULT_SIDES)
    return _Plan(arch, classes, sides, (start and start.anchor_side) or anchor_side_for(sides))


def anchor_side_for(sides: tuple[int, int]) -> int:
    """Of the smallest anchor, in the input's pixels: torchvision's for its own inputs, smaller for smaller ones."""
    return min(ANCHOR_SIDE, max(_SMALLEST_ANCHOR, round(ANCHOR_SIDE * sides[0] / _ANCHORS_FOR)))


def checked_sides(sides: tuple[int, int]) -> tuple[int, int]:
    """The sides, if a network can have them; DatasetError otherwise."""
    if not MIN_SIDE <= sides[0] <= sides[1] <= MAX_SIDE:
        raise DatasetError(
            f"an input's sides are two numbers that rise from at least {MIN_SIDE} to at most {MAX_SIDE} pixels, such "
            f"as {DEFAULT_SIDES[0]},{DEFAULT_SIDES[1]}; came {sides[0]},{sides[1]}"
        )
    return sides


def _first_network(plan: _Plan, seed: int, start: Start | None) -> Network:
    """Random weights with BatchNorm that learns; with weights to start with they are there, and BatchNorm is frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(plan.arch, len(plan.classes), plan.anchor_side, learning_norm=start is None)
    if start is not None:
        network.load_state_dict(network.state_dict() | fitting(start, plan.arch, plan.classes))
    return network


def _decoded(
    examples: Sequence[Example], plan: _Plan, on_progress: Callable[[LocatorProgress], None]
) -> MarkedPictures:
    done = 0

    def on_decoded() -> None:
        nonlocal done
        done += 1
        on_progress(LocatorProgress("decode", done, len(examples)))

    return MarkedPictures(examples, plan.classes, plan.sides, on_decoded)


def _packed(network: Network, plan: _Plan, data: MarkedPictures, model_id: str, at: datetime) -> LocatorArtifact:
    """The artifact, with golden pictures, showing every place down to LEAST_SCORE."""
    weights = frozen({name: value.detach().cpu() for name, value in network.state_dict().items()})
    trained = network_of(plan.arch, len(plan.classes), plan.anchor_side, weights).to(best_device())
    return LocatorArtifact(
        model_id=model_id,
        arch=plan.arch,
        classes=plan.classes,
        sides=plan.sides,
        anchor_side=plan.anchor_side,
        min_score=LEAST_SCORE,
        weights=weights,
        golden=_golden(trained, data),
        created_at=at,
    )


def _golden(network: Network, data: MarkedPictures) -> tuple[GoldenPicture, ...]:
    """The marked pictures in which it is surest, of the first few, with what it finds there."""
    seen = []
    for place in data.marked[:_GOLDEN_CHOICE]:
        picture = data.picture(place)
        seen.append(GoldenPicture(picture, look(network, picture, 0.0, GOLDEN_PLACES)))
    surest = sorted(seen, key=lambda golden: -float(golden.found.scores.max(initial=0)))
    return tuple(surest[:GOLDEN_PICTURES])


def _with_figures(
    made: LocatorArtifact,
    fitted: Fitted,
    splits: dict[Split, list[Example]],
    seed: int,
    on_progress: Callable[[LocatorProgress], None],
) -> LocatorArtifact:
    """The artifact with a score from which places are shown, chosen on validation, and how it was made."""
    validation = splits["validation"]
    some = [validation[place] for place in spread([e.label for e in validation], MOST_VALIDATED)]
    locator, looked = Locator(made), list[Looked]()
    for done, example in enumerate(some, 1):
        looked.append(looked_at(locator, example))
        on_progress(LocatorProgress("measure", done, len(some)))
    least = best_min_score(looked)
    shown = [replace(its, places=tuple(p for p in its.places if p.score >= least)) for its in looked]
    metrics = {
        "validation": measured(shown).to_json(),
        "pictures": {name: len(members) for name, members in splits.items()},
        "fit_s": round(fitted.fit_s, 1),
        "steps": fitted.steps,
        "pictures_shown": fitted.pictures,
        "seed": seed,
        "loss_by_epoch": [round(loss, 5) for loss in fitted.losses],
    }
    return replace(made, min_score=least, metrics=metrics)


def looked_at(locator: Locator, example: Example, clock: Callable[[], float] = time.perf_counter) -> Looked:
    """A picture with what people marked in it and what a locator finds. DatasetError where it can't be decoded."""
    started = clock()
    try:
        places = locator.places(example.image)
    except RejectedImageError as error:
        raise DatasetError(f"the picture of part {example.part_id} ({example.label}) is unusable: {error}") from error
    return Looked(boxes_of(example, locator.classes), places, 1000 * (clock() - started))
