"""`lineside models compare`: two models on the same labelled pictures, before one takes the other's place."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from models import labelled_set
from models.artifact import Artifact, load_artifact
from models.artifact_files import MANIFEST
from models.dataset import Example
from models.engines import open_engine
from models.examination import rule_of
from models.paired import Judged, Paired, Split, paired
from models.scoring import scores_by
from streams.commands.evaluate import chosen, decoded
from streams.commands.models import read
from streams.commands.ui import MakeBar, Ui
from streams.errors import CallerError
from streams.evaluation.answer import shown
from streams.evaluation.page import figure
from streams.registry.book import known_release
from streams.registry.shelf import Shelf
from streams.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What `lineside models compare` was asked for. Models are directories, or ids of released ones."""

    a: str
    b: str
    data: Path
    device: str
    as_json: bool


def compare_models(settings: Settings, options: CompareOptions) -> None:
    """Score both on the test split, pair, say. Not for a running event loop."""
    ui, a, b = Ui(), model_named(settings, options.a), model_named(settings, options.b)
    examples = labelled_set.examples(options.data)
    with ui.bars() as make:
        judged = [_judged(chosen(examples, one, "test"), one, options.device, make) for one in (a, b)]
    try:
        found = paired(*judged)
    except ValueError as error:
        raise CallerError(f"{a.model_id} and {b.model_id} can't be compared on {options.data}: {error}") from error
    if options.as_json:
        who = {"a": {"model_id": a.model_id, "sha256": a.sha256}, "b": {"model_id": b.model_id, "sha256": b.sha256}}
        print(json.dumps({"models": who, **found.to_json()}, indent=2, allow_nan=False))
        return
    ui.table(f"{a.model_id} → {b.model_id} · {found.a.accuracy.total} pictures", rows(found))
    ui.say(sentence(found, b.model_id))


def model_named(settings: Settings, name: str) -> Artifact:
    """A directory's model, or a released one by its id. CallerError for neither."""
    if (Path(name) / MANIFEST).is_file():
        return load_artifact(Path(name))
    release = known_release(asyncio.run(read(settings)), name)
    return Shelf(settings.model_store_dir).get(release.first.uri)


def rows(found: Paired) -> list[tuple[str, str]]:
    """The table's lines."""
    return [
        ("escape", f"{shown(found.a.escape)} → {shown(found.b.escape)}"),
        ("bad parts that one alone passes", _split(found.escapes)),
        ("overkill", f"{shown(found.a.overkill)} → {shown(found.b.overkill)}"),
        ("good parts that one alone rejects", _split(found.overkills)),
        ("AUROC", f"{figure(found.ranking_a.auroc)} → {figure(found.ranking_b.auroc)}"),
    ]


def sentence(found: Paired, name: str) -> str:
    """What the pairs say of the second model."""
    more = found.escapes.only_b - found.escapes.only_a
    if more > 0:
        return f"{name} lets {more} bad parts more pass: it should not take the other's place on these figures"
    if found.escapes.only_b:
        return (
            f"{name} passes no more bad parts in all, but {found.escapes.only_b} that the other rejects: look at them"
        )
    return f"{name} rejects every bad part that the other rejects"


def _split(split: Split) -> str:
    p = "" if split.p is None else f", p {split.p:.2g}"
    return f"{split.only_a} the first, {split.only_b} the second{p}"


def _judged(examples: list[Example], artifact: Artifact, device: str, make: MakeBar) -> Judged:
    pictures = decoded(examples, artifact, make, f"decoding {artifact.model_id}")
    engine = open_engine(artifact, device)
    try:
        scores = scores_by(
            engine, pictures, artifact.defects, make(f"scoring {artifact.model_id}", len(pictures.pictures))
        )
    finally:
        engine.close()
    return Judged(scores, pictures.truths(artifact.head), rule_of(artifact))
