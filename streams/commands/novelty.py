"""`lineside novelty`: a model learns what good parts look like, and people see what looks like none of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models import labelled_set
from models.artifact import U8, Artifact, Novelty, load_artifact, save_artifact
from models.dataset import Example, Pictures, load, split_of, spread
from models.engines import open_engine
from models.errors import DatasetError
from models.good_only import GoodOnlySpec, good_only
from models.novelty import BankSpec, with_novelty
from models.preprocess import Preprocessing
from models.resnet import place_channels
from streams.commands.ui import Advance, MakeBar, Ui


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyOptions:
    """What `lineside novelty` was asked for. `model` None: a new one, of good parts alone, by the three that follow."""

    model: Path | None
    name: str
    arch: str
    size: tuple[int, int]
    practice: int
    data: Path
    out: Path
    false_alarm: float
    places: int
    pictures: int
    seed: int
    as_json: bool


def novelty_command(options: NoveltyOptions) -> None:
    """Practise if there is no model, choose the bank and the threshold, prove, write, say."""
    ui, model = Ui(), load_artifact(options.model) if options.model else None
    place_channels(model.arch if model else options.arch)  # what has none is refused before any work
    with ui.bars() as make:
        good = bank_into(options, model, make)
    kept = load_artifact(options.out)
    assert kept.novelty is not None
    _say(kept, kept.novelty, good, options, ui)


def bank_into(options: NoveltyOptions, model: Artifact | None, make: MakeBar) -> int:
    """Write a model with its bank, once it has given its golden vectors; of how many good parts the bank is."""
    good, held_out, label = _good_parts(options, model, make)
    if model is None:
        model = _made(options, good, label, make)
    bar = make("good parts", len(good) + len(held_out.pictures))
    spec = BankSpec(false_alarm=options.false_alarm, places=options.places, seed=options.seed)
    made = with_novelty(model, good, held_out, spec, datetime.now(UTC), bar)
    open_engine(made).close()  # the golden vectors, their novelty too
    save_artifact(made, options.out)
    return len(good)


def _good_parts(options: NoveltyOptions, model: Artifact | None, make: MakeBar) -> tuple[U8, Pictures, str]:
    """What the network sees of good parts of the train split, those of validation, and what they are called."""
    good = labelled_set.read(options.data).info.good
    spec = model.preprocessing if model else Preprocessing(*options.size)
    if model and good not in {item.name for item in model.classes if item.role == "good"}:
        raise DatasetError(f"good parts of {options.data} are called {good!r}, which is no good class of the model")
    of_good = [example for example in labelled_set.examples(options.data) if example.label == good]
    train, held_out = ([e for e in of_good if (e.split or split_of(e.part_id)) == s] for s in ("train", "validation"))
    if not train or not held_out:
        raise DatasetError(f"{options.data} has {len(train)} good parts to train on and {len(held_out)} to hold out")
    some = [train[place] for place in spread([good] * len(train), options.pictures)]
    bar = make("decoding", len(some) + len(held_out))
    return _decoded(some, good, spec, bar, 0).pictures, _decoded(held_out, good, spec, bar, len(some)), good


def _decoded(examples: Sequence[Example], good: str, spec: Preprocessing, bar: Advance, before: int) -> Pictures:
    done = before

    def on_loaded() -> None:
        nonlocal done
        done += 1
        bar(done)

    return load(examples, [good], spec, on_loaded)


def _made(options: NoveltyOptions, good: U8, label: str, make: MakeBar) -> Artifact:
    bar = make("practising", None)
    spec = GoodOnlySpec(
        model_id=options.name,
        arch=options.arch,
        preprocessing=Preprocessing(*options.size),
        good=label,
        practice=options.practice,
        seed=options.seed,
    )
    return good_only(good, spec, datetime.now(UTC), lambda step: bar(step.number, f"loss {step.loss:.3f}", step.total))


def _say(kept: Artifact, novelty: Novelty, good: int, options: NoveltyOptions, ui: Ui) -> None:
    facts = {
        "model": str(options.out),
        "model_id": kept.model_id,
        "sha256": kept.sha256,
        "good_parts": good,
        "places": len(novelty.bank),
        "threshold": novelty.threshold,
        "false_alarm": novelty.false_alarm,
        "held_out": novelty.good,
    }
    if options.as_json:
        print(json.dumps(facts, indent=2))
        return
    rows = [
        ("good parts", f"{good}, of which the bank keeps {len(novelty.bank)} places"),
        (
            "novel above",
            f"{novelty.threshold:.4f}: {novelty.false_alarm:.2%} of good parts, by {novelty.good} held out",
        ),
    ]
    ui.table(f"{kept.model_id} · what good parts look like", rows)
    ui.say(f"kept in {options.out}; people are asked about what is novel; `lineside evaluate` shows what it finds")
