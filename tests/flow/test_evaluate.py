"""`lineside evaluate` on real pictures with a real engine: what it says, in JSON, as a table and as a report."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.artifact import load_artifact, save_artifact
from models.dataset import split_of
from models.disturbances import STRENGTHS
from models.engines import open_engine
from models.errors import DatasetError
from models.evaluate import any_defect
from models.scoring import answers_by
from streams.cli import app
from tests.models_fixture import TINY_CLASSES, tiny_artifact, tiny_pictures

EACH = 30


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    save_artifact(tiny_artifact(), folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each class; the labels are drawn, so that the model is often wrong."""
    folder = tmp_path_factory.mktemp("pictures")
    made = tiny_pictures(len(TINY_CLASSES) * EACH, seed=5)
    for number, pixels in enumerate(made):
        label = TINY_CLASSES[number % len(TINY_CLASSES)]
        (folder / label).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / label / f"part-{number}.png")
    return folder


def evaluated(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["evaluate", "--source", "folder", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_figures_are_those_of_the_scores_that_the_engine_gives(model: Path, pictures: Path) -> None:
    said = json.loads(evaluated("--model", str(model), "--folder", str(pictures), "--split", "train", "--json"))

    artifact = load_artifact(model)
    names = [item.name for item in artifact.classes]
    files = sorted(pictures.glob("*/*.png"))
    kept = [f for f in files if split_of(_part(f)) == "train"]
    assert said["pictures"] == len(kept) > EACH
    engine = open_engine(artifact)
    scores = answers_by(engine, np.stack([np.asarray(Image.open(f)) for f in kept]))
    engine.close()
    bad = np.array([artifact.classes[names.index(f.parent.name)].role == "defect" for f in kept])
    together = any_defect(scores, artifact.classes)
    pairs = together[bad][:, None] - together[~bad][None]
    assert said["ranking"]["auroc"]["value"] == pytest.approx(float(((pairs > 0) + (pairs == 0) / 2).mean()), abs=1e-3)
    assert said["decided"]["escape"]["total"] == bad.sum()
    assert sum(map(sum, said["confusion"]["counts"])) == len(kept)


def test_the_report_is_one_file_that_holds_all(model: Path, pictures: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    arguments = ("--model", str(model), "--folder", str(pictures), "--report", str(report), "--robustness", "--json")
    said = json.loads(evaluated(*arguments))

    text = report.read_text()
    assert "<script" not in text
    assert set(re.findall(r'(?:src|href)="(?!data:image/png;base64,)([^"#]*)', text)) <= {""}  # within the file
    assert text.count("data:image/png") >= 2
    for words in ("What would change the answer", "Calibration", "Robustness", "Methods"):
        assert words in text
    disturbances = said["robustness"]["disturbances"]
    assert disturbances.keys() == STRENGTHS.keys()
    assert all(len(rates) == 4 for rates in disturbances.values())
    assert len({json.dumps(rates[0]["escape"]) for rates in disturbances.values()}) == 1


def test_the_same_again_is_the_same_report(model: Path, pictures: Path, tmp_path: Path) -> None:
    reports = [tmp_path / name for name in ("a.html", "b.html")]
    for report in reports:
        evaluated("--model", str(model), "--folder", str(pictures), "--report", str(report))
    assert reports[0].read_bytes() == reports[1].read_bytes()


def test_labels_without_a_class_are_named(model: Path, pictures: Path) -> None:
    stranger = pictures / "rust"
    stranger.mkdir()
    try:
        for number in range(20):
            Image.fromarray(tiny_pictures(1, seed=number)[0]).save(stranger / f"rusty-{number}.png")
        with pytest.raises(DatasetError, match="no class for: rust; its classes are"):
            evaluated("--model", str(model), "--folder", str(pictures))
    finally:
        for file in stranger.iterdir():
            file.unlink()
        stranger.rmdir()


def _part(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
