"""`lineside models`: released on evidence or by a named person's reason, kept by content, audited, retired."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from models.artifact import load_artifact, save_artifact
from models.engines import open_engine
from models.errors import ModelRefusedError
from models.evaluate import rejected
from models.scoring import answers_by
from schemas.records import AuditEntry, ModelReleased
from streams.bus.subscriber import subscribe
from streams.cli import app
from streams.downstream.audit.chain import verify
from streams.errors import CallerError
from streams.settings import Settings
from tests.models_fixture import TINY_CLASSES, tiny_artifact, tiny_pictures

RUN = CliRunner()
PICTURES = 200


class Line:
    """One installation's commands."""

    def __init__(self, bootstrap: str, prefix: str, data_dir: Path) -> None:
        self.settings = Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, data_dir=data_dir)
        self._where = ["--bootstrap-servers", bootstrap, "--topic-prefix", prefix, "--data-dir", str(data_dir)]

    def run(self, *arguments: object) -> Result:
        return RUN.invoke(app, [*map(str, arguments), *self._where])

    def says(self, *arguments: object) -> Any:
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout[min(done.stdout.find(mark) for mark in "[{" if mark in done.stdout) :])

    def refuses(self, kind: type[Exception], *arguments: object) -> str:
        done = self.run(*arguments)
        assert isinstance(done.exception, kind), (done.output, done.exception)
        return str(done.exception)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a data set labelled as it decides, and one labelled the other way round."""
    folder, artifact = tmp_path_factory.mktemp("models"), tiny_artifact()
    save_artifact(artifact, folder / "tiny")
    pictures = tiny_pictures(PICTURES, seed=5)
    engine = open_engine(artifact, "openvino:CPU")
    ng = rejected(answers_by(engine, pictures), artifact.classes, artifact.any_defect_threshold)
    engine.close()
    assert 20 < ng.sum() < PICTURES - 20
    good, bad = TINY_CLASSES[0], TINY_CLASSES[1]
    for name, labels in (("right", np.where(ng, bad, good)), ("wrong", np.where(ng, good, bad))):
        for number, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
            (folder / f"{name}-shots" / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{name}-shots" / str(label) / f"part-{number}.png")
        asked = ["--source", "folder", "--folder", str(folder / f"{name}-shots"), "--good", good]
        done = RUN.invoke(app, ["dataset", "build", str(folder / name), *asked])
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def line(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Line:
    made = Line(bootstrap, topic_prefix, tmp_path)
    assert made.run("topics", "--create").exit_code == 0
    return made


def records(line: Line, topic: str, kind: type) -> list[Any]:
    async def all_() -> list[Any]:
        return [record async for record in subscribe(topic, "earliest", settings=line.settings, follow=False)]

    found = asyncio.run(all_())
    assert all(isinstance(record, kind) for record in found)
    return found


def test_a_model_with_its_evidence_is_released_kept_and_audited_and_retired_at_last(line: Line, place: Path) -> None:
    sha256 = load_artifact(place / "tiny").sha256
    gate = ["--data", place / "right", "--least-bad", 2]
    said = line.says("models", "release", place / "tiny", *gate, "--sku", "plate", "--by", "ana", "--approved-by", "bo")
    assert (said["model_id"], said["sha256"], said["uri"]) == ("tiny", sha256, f"models/{sha256}")
    assert said["metrics"]["escape"] == 0.0
    assert said["evidence"]["shortfalls"] == []
    assert load_artifact(line.settings.model_store_dir / sha256).sha256 == sha256
    (listed,) = line.says("models", "list")
    assert (listed["model_id"], listed["released_by"], listed["retired"]) == ("tiny", "ana", False)
    assert "released already" in line.refuses(CallerError, "models", "release", place / "tiny", *gate)

    line.says("models", "retire", "tiny", "--why", "porosity escapes", "--by", "bo")
    assert line.says("models", "list") == []
    shown = line.says("models", "show", "tiny")
    assert (shown["retired"], shown["retired_because"]) == (True, "porosity escapes")
    assert (line.settings.model_store_dir / sha256).is_dir(), "its decisions can be made again"

    audit: list[AuditEntry] = records(line, "audit", AuditEntry)
    assert [(e.actor, e.action, e.subject) for e in audit] == [
        ("ana", "model.release", "tiny"),
        ("bo", "model.retire", "tiny"),
    ]
    assert verify(audit) == []
    assert [r.retired for r in records(line, "models", ModelReleased)] == [False, True]


def test_a_model_that_falls_short_is_refused_unless_somebody_gives_a_reason(line: Line, place: Path) -> None:
    asked = ("models", "release", place / "tiny", "--data", place / "wrong", "--least-bad", 2)
    refused = line.refuses(ModelRefusedError, *asked)
    assert "escape is 100.00%" in refused
    assert line.says("models", "list") == []
    assert records(line, "audit", AuditEntry) == []
    assert not line.settings.model_store_dir.exists()

    said = line.says(*asked, "--why", "advice only, line 3", "--by", "ana")
    assert len(said["evidence"]["shortfalls"]) == 2
    assert (said["released_by"], said["reason"]) == ("ana", "advice only, line 3")


def test_without_evidence_it_takes_a_reason(line: Line, place: Path) -> None:
    assert "no evidence" in line.refuses(ModelRefusedError, "models", "release", place / "tiny")
    assert line.says("models", "release", place / "tiny", "--why", "trial")["evidence"] is None


def test_an_id_stands_for_one_content(line: Line, place: Path, tmp_path: Path) -> None:
    line.says("models", "release", place / "tiny", "--why", "trial")
    save_artifact(replace(tiny_artifact(), unsure_band=0.2), tmp_path / "other")
    refused = line.refuses(CallerError, "models", "release", tmp_path / "other", "--why", "trial")
    assert "needs another id" in refused


def test_an_approval_by_the_author_alone_is_refused_where_two_are_required(
    line: Line, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINESIDE_RELEASE_APPROVALS", "2")
    asked = ("models", "release", place / "tiny", "--why", "trial", "--by", "ana")
    assert "takes 2 different people; came ana" in line.refuses(CallerError, *asked, "--approved-by", "ana")
    line.says(*asked, "--approved-by", "bo")


def test_a_damaged_model_is_refused_and_what_was_released_stays(line: Line, place: Path, tmp_path: Path) -> None:
    line.says("models", "release", place / "tiny", "--why", "trial")
    save_artifact(replace(tiny_artifact(), model_id="damaged"), tmp_path / "damaged")
    (tmp_path / "damaged" / "weights.safetensors").write_bytes(b"\x80\x02pickle")
    assert "was changed" in line.refuses(ModelRefusedError, "models", "release", tmp_path / "damaged", "--why", "trial")
    assert [item["model_id"] for item in line.says("models", "list")] == ["tiny"]


def test_an_unknown_id_is_told_with_what_there_is(line: Line, place: Path) -> None:
    assert "released are: none so far" in line.refuses(CallerError, "models", "show", "flange-9")
    assert "no model 'x'" in line.refuses(CallerError, "models", "retire", "x", "--why", "gone")


def test_a_released_model_is_compared_with_one_from_a_directory(line: Line, place: Path, tmp_path: Path) -> None:
    line.says("models", "release", place / "tiny", "--why", "trial")
    asked = ("models", "compare", "tiny")
    same = line.says(*asked, place / "tiny", "--data", place / "right")
    assert same["escapes"] == same["overkills"] == {"only_a": 0, "only_b": 0, "p": None}
    blind = replace(tiny_artifact(threshold=1.0), model_id="blind", any_defect_threshold=1.0)
    save_artifact(blind, tmp_path / "blind")
    found = line.says(*asked, tmp_path / "blind", "--data", place / "right")
    assert found["a"]["escape"]["value"] == 0.0
    assert found["b"]["escape"]["value"] == 1.0
    assert found["escapes"]["only_b"] == found["b"]["escape"]["total"] > 2
    assert found["overkills"]["only_a"] == 0
    told = line.run(*asked, tmp_path / "blind", "--data", place / "right").output
    assert "should not take the other's place" in " ".join(told.split())
