"""The steps of one retraining: train, calibrate, compare on held-out parts and on history, report, propose.

Place in the flow: `lineside retrain` calls those that are left. Each keeps its output in the work's folder, whole or
not at all, and reads what those before it have kept. What the figures mean, `retraining/answer.py` knows.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from models import labelled_set
from models.artifact import Artifact, Novelty, load_artifact
from models.calibrate import NoMoreOverkillRule, OverkillRule, ThresholdRule, ZeroEscapeRule
from models.dataset import Example, Split, load
from models.engines import open_engine
from models.examination import Rule, rule_of
from models.fit import FitSpec
from models.paired import Judged
from models.preprocess import decode
from models.recalibrate import Plan
from models.scoring import scores_by
from models.train import TrainSpec
from schemas.records import ModelProposed, Precision, ProposalState
from streams.commands.calibrate import CalibrateOptions, calibrated_into
from streams.commands.evaluate import chosen
from streams.commands.novelty import NoveltyOptions, bank_into
from streams.commands.retrain_replay import replayed
from streams.commands.start import First
from streams.commands.train import changed, trained_into
from streams.commands.ui import MakeBar, Ui
from streams.registry.shelf import Shelf
from streams.retraining.answer import Answer, answer, metrics
from streams.retraining.comparing import HeldOut, held_out, rule_in_force, widened
from streams.retraining.page import Proposed, Thumbnail, proposal_page
from streams.retraining.proposals import publish
from streams.retraining.steps import OUTPUTS, Classes, Step, Work
from streams.settings import Settings
from streams.whole_file import write_whole

RULES = ("same-overkill", "zero-escape", "overkill")
FIT = FitSpec(practice=0, epochs=12, balance="oversample", head_rate=1e-3)
"""Weights that know the line need no practice; what is new is rare, and is shown more often."""
THUMBNAIL = 320  # pixels, at most
REPORT_JSON = "report.json"
WITHOUT_BANK = "calibrated"  # where a model with a bank of good parts lies before it has that
BANK_PICTURES = 500  # good parts that the bank is chosen from, as `lineside novelty` does


class Retraining:
    """One work in its folder."""

    def __init__(
        self,
        settings: Settings,
        work: Work,
        base: Artifact,
        data: Path,
        classes: Classes,
        folder: Path,
        ui: Ui,
    ) -> None:
        self._settings, self.work, self._base = settings, work, base
        self._data, self._classes, self.folder, self._ui = data, classes, folder, ui
        self._fresh = False
        asked = work.settings
        self._device, self._precision = str(asked["device"]), Precision(asked["precision"])

    def begin(self, fresh: bool) -> None:
        """The folder, with what is asked; `fresh`: a training that was ended begins anew."""
        self._fresh = fresh
        write_json(self.folder / "work.json", self.work.to_json())

    def train(self) -> None:
        """From the weights of the model in force; each class that it knows keeps its row of the head."""
        own = tuple(item.name for item in self._base.classes)
        spec = TrainSpec(
            model_id=self.work.model_id,
            arch=self._base.arch,
            preprocessing=self._base.preprocessing,
            fit=FIT,
            good=own[0],
            multi_label=self._base.head == "sigmoid",
            order=own,
        )
        changes = {n: tuple(v) if isinstance(v, list) else v for n, v in self.work.settings["changes"].items()}
        spec = changed(spec, {"model_id": self.work.model_id, "practice": 0, **changes})
        examples, first = labelled_set.examples(self._data), First(self._base.weights, own)
        asyncio.run(trained_into(self._at(Step.TRAIN), examples, spec, self._ui, first, self._fresh))

    def calibrate(self) -> None:
        """Temperature, threshold and unsure band by the rule that was asked for."""
        asked = self.work.settings
        calibrated = self.folder / WITHOUT_BANK if self._base.novelty else self._at(Step.CALIBRATE)
        with self._ui.bars() as make:
            rule = self._rule(make)
            options = CalibrateOptions(
                model=self._at(Step.TRAIN),
                data=self._data,
                out=calibrated,
                plan=Plan(rule=rule, prevalence=asked["prevalence"], reviewed=asked["reviewed"]),
                device=self._device,
                precision=self._precision,
                as_json=False,
            )
            calibrated_into(options, load_artifact(options.model), make)
            if self._base.novelty:
                self._bank(self._base.novelty, calibrated, make)

    def _bank(self, before: Novelty, calibrated: Path, make: MakeBar) -> None:
        """What good parts look like to the new network: as large a bank as before, and as many false alarms stated."""
        model = load_artifact(calibrated)
        options = NoveltyOptions(
            model=calibrated,
            name=model.model_id,
            arch=model.arch,
            size=(model.preprocessing.width, model.preprocessing.height),
            practice=0,
            data=self._data,
            out=self._at(Step.CALIBRATE),
            false_alarm=before.false_alarm,
            places=len(before.bank),
            pictures=BANK_PICTURES,
            seed=0,
            as_json=False,
        )
        bank_into(options, model, make)

    def _rule(self, make: MakeBar) -> ThresholdRule:
        name = self.work.settings["rule"]
        if name == "zero-escape":
            return ZeroEscapeRule()
        if name == "overkill":
            return OverkillRule(self.work.settings["overkill"])
        new = load_artifact(self._at(Step.TRAIN))
        base, _ = self._both(new, "validation", make)
        return NoMoreOverkillRule(held_out(base, base, ()).pairs.a.overkill.value or 0.0)

    def compare(self) -> None:
        """Both on the test split."""
        new = load_artifact(self._at(Step.CALIBRATE))
        with self._ui.bars() as make:
            base, other = self._both(new, "test", make)
        found: HeldOut = held_out(base, other, [item.name for item in self._base.classes])
        write_json(self._at(Step.COMPARE), found.to_json())

    def _both(self, new: Artifact, split: Split, make: MakeBar) -> tuple[Judged, Judged]:
        """What the model in force and the new one say of a split, over the new one's classes."""
        examples = chosen(labelled_set.examples(self._data), new, split)
        rules = (rule_in_force(self._base, self.work.thresholds, self.work.unsure_band), rule_of(new))
        names = [item.name for item in new.classes]
        return (
            self._judged(self._base, rules[0], examples, names, make),
            self._judged(new, rules[1], examples, names, make),
        )

    def _judged(self, model: Artifact, rule: Rule, examples: list[Example], names: list[str], make: MakeBar) -> Judged:
        bar, done = make(f"decoding {model.model_id}", len(examples)), 0

        def on_loaded() -> None:
            nonlocal done
            done += 1
            bar(done)

        pictures = load(examples, names, model.preprocessing, on_loaded)
        engine = open_engine(model, self._device, self._precision)
        try:
            bar = make(f"scoring {model.model_id}", len(pictures.pictures))
            scores = scores_by(engine, pictures, model.defects, bar)
        finally:
            engine.close()
        wide, rule = widened(scores, rule, names)
        return Judged(wide, pictures.truths(model.head), rule)

    def replay(self) -> None:
        """Both on frames that the line has seen; where there are none, why."""
        models = (self._base, load_artifact(self._at(Step.CALIBRATE)))
        write_json(self._at(Step.REPLAY), replayed(self._settings, self.work, models, self._learned(), self._ui))

    def _learned(self) -> frozenset[str]:
        """Frames from whose pictures something was learned or chosen: they tell nothing of the new model."""
        items = labelled_set.read(self._data).items
        return frozenset(item.frame_id for item in items if item.frame_id and item.split != "test")

    def report(self) -> None:
        """For people one page, for programs the same figures beside it."""
        compared, replayed = read_json(self._at(Step.COMPARE)), read_json(self._at(Step.REPLAY))
        said = self._answer()
        new = load_artifact(self._at(Step.CALIBRATE))
        page = proposal_page(
            Proposed(
                model_id=self.work.model_id,
                base_model_id=self.work.base_model_id,
                scope=str(self.work.scope),
                answer=said,
                new_classes=self._classes.new,
                held_out=compared,
                replayed=replayed,
                about=self._about(new),
                changed=self._thumbnails(compared, new),
            )
        )
        figures = {
            "answer": asdict(said),
            "classes": asdict(self._classes),
            "held_out": compared,
            "replayed": replayed,
        }
        write_json(self.folder / REPORT_JSON, figures)
        write_whole(self._at(Step.REPORT), lambda beside: beside.write_text(page))

    def propose(self, by: str, why: str) -> ModelProposed:
        """Put the model on the shelf, unreleased, audit the proposal and publish it."""
        new = load_artifact(self._at(Step.CALIBRATE))
        Shelf(self._settings.model_store_dir).put(self._at(Step.CALIBRATE), new.sha256)
        scope = self.work.scope
        record = ModelProposed(
            proposal_id=self.work.proposal_id,
            plant=scope.plant,
            line=scope.line,
            sku=scope.sku,
            state=ProposalState.PROPOSED,
            model_id=new.model_id,
            sha256=new.sha256,
            base_model_id=self.work.base_model_id,
            dataset=self.work.dataset,
            dataset_sha256=self.work.dataset_sha256,
            metrics=metrics(read_json(self._at(Step.COMPARE)), read_json(self._at(Step.REPLAY))),
            report_ref=str(self._at(Step.REPORT).resolve()),
            proposed_by=by,
            reason=why or self._answer().sentence,
            at=datetime.now(UTC),
        )
        write_json(self._at(Step.PROPOSE), {"sha256": new.sha256, "dataset": self.work.dataset})
        asyncio.run(publish(self._settings, record, None))
        return record

    def _answer(self) -> Answer:
        compared, replayed = read_json(self._at(Step.COMPARE)), read_json(self._at(Step.REPLAY))
        return answer(compared, replayed, self.work.model_id, self.work.base_model_id)

    def _thumbnails(self, compared: Mapping[str, Any], new: Artifact) -> list[Thumbnail]:
        examples = chosen(labelled_set.examples(self._data), new, "test")
        return [
            Thumbnail(one["label"], one["base"], one["new"], _png(examples[one["place"]]))
            for one in compared["changed"]
        ]

    def _about(self, new: Artifact) -> dict[str, str]:
        info = labelled_set.read(self._data).info
        counts = ", ".join(f"{label} {n}" for label, n in info.counts["by_label"].items())
        return {
            "data set": f"{info.name}, version {info.version}",
            "came from": ", ".join(f"{name}: {of['name']} {of['version']}" for name, of in info.sources.items()),
            "pictures": f"{info.counts['pictures']} ({counts})",
            "samples by why": ", ".join(f"{name} {n}" for name, n in info.counts["by_strategy"].items()),
            "in force": f"{self.work.base_model_id}, sha256 {self.work.base_sha256}, recipe {self.work.recipe_version}",
            "new model": f"{new.model_id}, {new.arch}, sha256 {new.sha256}",
            "threshold": f"{new.any_defect_threshold:.4f} by the rule {self.work.settings['rule']}",
            "engine": f"{self._device} {self._precision.value.lower()}",
        }

    def _at(self, step: Step) -> Path:
        return self.folder / OUTPUTS[step]

    STEPS: ClassVar[Mapping[Step, Callable[[Retraining], None]]] = {
        Step.TRAIN: train,
        Step.CALIBRATE: calibrate,
        Step.COMPARE: compare,
        Step.REPLAY: replay,
        Step.REPORT: report,
    }


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    text = json.dumps(value, indent=1, default=str) + "\n"
    write_whole(path, lambda beside: beside.write_text(text))


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _png(example: Example) -> bytes:
    picture, file = Image.fromarray(decode(example.image)), io.BytesIO()
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    picture.save(file, "PNG")
    return file.getvalue()
