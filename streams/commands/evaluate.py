"""`lineside evaluate`: a model over labelled pictures that it hasn't seen, as a table, JSON and a report.

Knows how to ask for pictures, for scores and for the page; what the figures mean, `models/examination.py` knows.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models import labelled_set
from models.artifact import Artifact, load_artifact
from models.dataset import SPLITS, UNKNOWN, Example, Pictures, Split, load, split_of
from models.engines import Engine, open_engine
from models.errors import DatasetError
from models.evaluate import any_defect
from models.examination import Examination, NovelFigures, examine, novel_figures, rule_of
from models.explain import heatmap, overlay_png
from models.scoring import answers_by, scores_by, split
from schemas.records import Precision
from streams.commands.examples import training_examples
from streams.commands.sources import SourceRequest
from streams.commands.ui import MakeBar, Ui
from streams.evaluation.answer import answer, shown
from streams.evaluation.page import Evaluated, Mistake, evaluation_page, figure
from streams.evaluation.robustness import Robustness, robustness

SHOWN_MISTAKES = 24  # of each kind, with their pictures
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What `lineside evaluate` was asked for. `data` None: the source's own pictures."""

    model: Path
    data: Path | None
    split: Split
    report: Path | None
    robust: bool
    device: str
    precision: Precision
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Scored:
    examples: Sequence[Example]
    pictures: Pictures
    rows: Any  # float32 [m, classes (+ 1)], of each view
    scores: Any  # float32 [n, classes]
    examination: Examination
    robustness: Robustness | None


def evaluate_command(request: SourceRequest, options: EvaluateOptions) -> None:
    """Score, say, and write the report. Not for a running event loop: Ctrl-C shall end it between two batches."""
    ui, artifact = Ui(), load_artifact(options.model)
    with ui.bars() as make:
        examples = chosen(_examples(request, options.data, make), artifact, options.split)
        engine = open_engine(artifact, options.device, options.precision)
        try:
            scored = _scored(examples, artifact, engine, options.robust, make)
        finally:
            engine.close()
        where = f"{engine.device} {engine.precision}"
    if options.report:
        options.report.write_text(evaluation_page(_evaluated(scored, artifact, options, where)))
        ui.say(f"the report is {options.report}")
    if options.as_json:
        print(json.dumps(_json(scored, artifact, options, where), indent=2, allow_nan=False))
    else:
        ui.table(f"{artifact.model_id} · {options.split} · {where}", rows(scored.examination))
        ui.say(answer(scored.examination))


def examined(artifact: Artifact, data: Path, device: str, precision: Precision = Precision.UNKNOWN) -> Examination:
    """A model over a data set's test split, by the engine that would serve, with progress bars."""
    with Ui().bars() as make:
        examples = chosen(labelled_set.examples(data), artifact, "test")
        engine = open_engine(artifact, device, precision)
        try:
            return _scored(examples, artifact, engine, False, make).examination
        finally:
            engine.close()


def _examples(request: SourceRequest, data: Path | None, make: MakeBar) -> list[Example]:
    if data is not None:
        return labelled_set.examples(data)
    bar = make("pictures", None)
    return asyncio.run(training_examples(request, lambda done, total: bar(done, total=total)))


def chosen(examples: Sequence[Example], artifact: Artifact, split: Split) -> list[Example]:
    """The examples of a split. DatasetError where there are none, or with labels that the model doesn't know.

    For a model that was made of good parts alone every defect is an unknown one.
    """
    found = [e for e in examples if (e.split or split_of(e.part_id)) == split]
    if not found:
        raise DatasetError(f"there is no picture in the {split} split; splits are {', '.join(SPLITS)}")
    names = {item.name for item in artifact.classes}
    if {item.name for item in artifact.classes if item.role == "defect"} == {UNKNOWN}:
        found = [e if e.label in names else replace(e, label=UNKNOWN) for e in found]
    told = {label for e in found for label in (e.labels if artifact.head == "sigmoid" else (e.label,))}
    if strangers := sorted(told - names):
        raise DatasetError(
            f"the pictures have labels that {artifact.model_id} has no class for: {', '.join(strangers)}; its classes"
            f" are {', '.join(item.name for item in artifact.classes)}"
        )
    return found


def decoded(examples: Sequence[Example], artifact: Artifact, make: MakeBar, name: str) -> Pictures:
    """The examples as a model takes them, with a progress bar of this name."""
    bar, done = make(name, len(examples)), 0

    def on_loaded() -> None:
        nonlocal done
        done += 1
        bar(done)

    return load(examples, [item.name for item in artifact.classes], artifact.preprocessing, on_loaded)


def rows(found: Examination) -> list[tuple[str, str]]:
    """The table's lines."""
    zero = found.ranking.zero_escape
    return [
        ("escape", shown(found.decided.escape)),
        ("overkill", shown(found.decided.overkill)),
        ("asked about", shown(found.unsure)),
        ("accuracy", shown(found.decided.accuracy)),
        ("balanced accuracy", f"{found.decided.balanced_accuracy:.2%}" if found.decided.balanced_accuracy else "n/a"),
        ("AUROC", figure(found.ranking.auroc)),
        ("average precision", figure(found.ranking.auprc)),
        ("at zero escape", f"threshold {figure(zero.threshold)}, overkill {shown(zero.overkill)}"),
        ("calibration", f"ECE {figure(found.calibration.ece)}, Brier {figure(found.calibration.brier)}"),
        *(_novel_rows(found.novelty) if found.novelty else ()),
    ]


def _novel_rows(novelty: NovelFigures) -> list[tuple[str, str]]:
    return [
        ("AUROC of the novelty", figure(novelty.ranking.auroc)),
        ("good parts that are novel", shown(novelty.false_alarms)),
        ("bad parts that are novel", shown(novelty.found)),
    ]


def _scored(examples: Sequence[Example], artifact: Artifact, engine: Engine, robust: bool, make: MakeBar) -> _Scored:
    pictures = decoded(examples, artifact, make, "decoding")
    rows = answers_by(engine, pictures.pictures, make("scoring", len(pictures.pictures)))
    scores, novelty = split(pictures.combined(rows, artifact.defects), engine)
    by = sorted({name for example in examples for name in example.known})
    known = {name: [example.known.get(name, "") for example in examples] for name in by}
    found = None
    if robust:
        shake = make("disturbing", None)
        found = robustness(
            pictures,
            rule_of(artifact),
            lambda shown: scores_by(engine, shown, artifact.defects),
            SEED,
            lambda done, total: shake(done, total=total),
        )
    truths = pictures.truths(artifact.head)
    examination = examine(scores, truths, rule_of(artifact), known)
    if novelty is not None and artifact.novelty is not None:
        novel = novel_figures(novelty, truths, rule_of(artifact), artifact.novelty.threshold)
        examination = replace(examination, novelty=novel)
    return _Scored(examples, pictures, rows, scores, examination, found)


def _json(scored: _Scored, artifact: Artifact, options: EvaluateOptions, where: str) -> dict[str, Any]:
    said = {"model_id": artifact.model_id, "model_sha256": artifact.sha256, "split": options.split, "engine": where}
    more = {"robustness": scored.robustness.to_json()} if scored.robustness else {}
    return said | scored.examination.to_json() | more


def _evaluated(scored: _Scored, artifact: Artifact, options: EvaluateOptions, where: str) -> Evaluated:
    bad = np.array(artifact.defects)[scored.pictures.labels]
    together, found = any_defect(scored.scores, artifact.classes), scored.examination

    def mistakes(places: Sequence[int]) -> list[Mistake]:
        return [_mistake(scored, artifact, place, float(together[place])) for place in places[:SHOWN_MISTAKES]]

    return Evaluated(
        model_id=artifact.model_id,
        examination=found,
        threshold=artifact.any_defect_threshold,
        good=together[~bad].tolist(),
        bad=together[bad].tolist(),
        about={
            "pictures": f"{found.total}, of the {options.split} split",
            "from": str(options.data) if options.data else "the source's own pictures",
            "model": f"{artifact.arch}, sha256 {artifact.sha256}",
            "engine": where,
        },
        escapes=mistakes(found.escapes),
        overkills=mistakes(found.overkills),
        robustness=scored.robustness,
        losses=_numbers(artifact.metrics.get("loss_by_epoch")),
        aurocs=_numbers(artifact.metrics.get("validation_auroc_by_epoch")),
    )


def _numbers(value: object) -> list[float]:
    """A curve of an artifact's metrics, which may hold anything; none where it holds anything else."""
    values = value if isinstance(value, list) else []
    return [float(v) for v in values] if all(isinstance(v, int | float) for v in values) else []


def _mistake(scored: _Scored, artifact: Artifact, place: int, score: float) -> Mistake:
    """The prepared view that speaks most for a defect, and where in it the network saw the likeliest one."""
    example, its = scored.examples[place], scored.pictures.rows_of(place)
    view = its.start + int(any_defect(scored.rows[its][:, : len(artifact.classes)], artifact.classes).argmax())
    prepared = scored.pictures.pictures[view]
    defects = np.flatnonzero(artifact.defects)
    strongest = artifact.classes[defects[scored.rows[view][defects].argmax()]].name
    picture = Image.fromarray(prepared)
    heat = Image.open(io.BytesIO(overlay_png(heatmap(artifact, prepared, strongest, is_view=True)))).resize(
        picture.size
    )
    over = Image.alpha_composite(picture.convert("RGBA"), heat).convert("RGB")
    return Mistake(example.part_id, ", ".join(example.labels), score, _png(picture), _png(over))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
