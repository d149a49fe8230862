"""`lineside train --data`: what is trained on is the data set, in its own splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from models.artifact import Artifact
from models.dataset import Example
from models.labelled_set import read
from streams.commands import train as command
from streams.commands.sources import SourceKind, SourceRequest
from streams.downstream.sampling.dataset import Gathered
from streams.settings import Settings
from tests.flow.test_dataset import built, gathered, sampled, world  # noqa: F401 - fixtures
from tests.flow.test_sampler import World
from tests.models_fixture import tiny_artifact


async def test_a_model_is_trained_on_a_data_set_in_its_own_splits(
    gathered: Gathered,  # noqa: F811
    world: World,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built(tmp_path / "set", gathered, world.store)
    seen: list[Example] = []

    def train(examples: list[Example], spec: Any, show: Any, **_: Any) -> Artifact:
        seen.extend(examples)
        return tiny_artifact()

    monkeypatch.setattr(command, "train", train)
    request, out = SourceRequest(kind=SourceKind.SYNTHETIC), tmp_path / "model"
    options = command.TrainOptions(data=tmp_path / "set", out=out, as_json=True)
    await command.train_command(Settings(data_dir=tmp_path), request, options)
    found = read(tmp_path / "set")
    assert Counter(example.split for example in seen) == found.info.counts["by_split"]
    assert Counter(example.label for example in seen) == found.info.counts["by_label"]
    assert (out / "model.json").is_file()
