"""A training that is ended at any step and taken up again gives the weights of one that never was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import training_state
from models.artifact import Artifact
from models.dataset import Example, Pictures
from models.errors import TrainingFailedError
from models.fit import FitSpec
from models.keeping import Keeping, fingerprint
from models.preprocess import Preprocessing
from models.train import Progress, TrainSpec, train
from tests.unit.test_train import spot

LABELS = ("good", "red", "good", "good", "blue")
SPEC = TrainSpec(
    model_id="spots",
    preprocessing=Preprocessing(width=32, height=32),
    fit=FitSpec(practice=32, epochs=2, batch=8, shift=1),
)
EVERYTHING = FitSpec(
    practice=16,
    epochs=3,
    batch=8,
    shift=1,
    symmetries=("mirror", "turn"),
    balance="oversample",
    mixup=0.3,
    average=0.9,
    freeze_norm=True,
    label_smoothing=0.05,
    patience=2,
)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [Example(spot(LABELS[n % 5], n), LABELS[n % 5], f"P{n}") for n in range(60)]


@pytest.fixture(scope="module")
def whole(examples: list[Example]) -> Artifact:
    """What a training by SPEC comes to that nobody ends."""
    return train(examples, SPEC)


def ended_at(*steps: int) -> Callable[[Progress], None]:
    """Ends the training at the first of the steps that it comes to, each once."""
    left = list(steps)

    def show(progress: Progress) -> None:
        if progress.stage == "fit" and left and progress.done == left[0]:
            left.pop(0)
            raise KeyboardInterrupt

    return show


def same(one: Artifact, other: Artifact) -> bool:
    return all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.mark.parametrize("fit", [SPEC.fit, EVERYTHING])
def test_ended_in_practice_at_its_end_and_in_the_midst_of_an_epoch(
    examples: list[Example], whole: Artifact, fit: FitSpec, tmp_path: Path
) -> None:
    spec = replace(SPEC, fit=fit)
    undisturbed = whole if spec == SPEC else train(examples, spec)
    practice = fit.practice // fit.batch
    show = ended_at(practice, practice + 4)
    keeping, seen, result = Keeping(tmp_path / "state"), list[int](), None
    while result is None:
        try:
            result = train(
                examples,
                spec,
                lambda p: (seen.append(p.done) if p.stage == "fit" else None, show(p))[1],
                keeping=keeping,
            )
        except KeyboardInterrupt:
            assert keeping.file.exists()
    assert same(undisturbed, result)
    assert seen == sorted(set(seen)), "no step was taken twice"


def test_killed_between_two_states_it_takes_the_steps_since_then_again(
    examples: list[Example], whole: Artifact, tmp_path: Path
) -> None:
    """A kill leaves no last word: the state is that of some steps ago."""
    keeping = Keeping(tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        train(examples, SPEC, ended_at(6), keeping=keeping)
    older = keeping.file.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train(examples, SPEC, ended_at(11), keeping=keeping)
    keeping.file.write_bytes(older)
    assert same(whole, train(examples, SPEC, keeping=keeping))


@pytest.mark.parametrize("harm", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\xff" * 64])
def test_a_damaged_state_is_begun_anew(
    examples: list[Example], whole: Artifact, harm: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    keeping = Keeping(tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        train(examples, SPEC, ended_at(6), keeping=keeping)
    keeping.file.write_bytes(harm(keeping.file.read_bytes()))
    assert same(whole, train(examples, SPEC, keeping=keeping))


def test_a_state_of_other_settings_pictures_or_first_weights_is_not_taken_up(tmp_path: Path) -> None:
    pictures = Pictures(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]))
    others = [
        (replace(SPEC, seed=5), pictures, {}),
        (replace(SPEC, fit=replace(SPEC.fit, batch=4)), pictures, {}),
        (SPEC, replace(pictures, labels=np.array([1, 1])), {}),
        (SPEC, replace(pictures, pictures=pictures.pictures + 1), {}),
        (SPEC, replace(pictures, soft=np.eye(2, dtype=np.float32)), {}),
        (SPEC, pictures, {"conv1.weight": torch.ones(1)}),
    ]
    own = fingerprint(SPEC, {"train": pictures}, {})
    training_state.save(tmp_path / "state", ({"a": torch.ones(2)}, {"number": 3}), own)
    assert training_state.load(tmp_path / "state", own) is not None
    for spec, data, start in others:
        assert training_state.load(tmp_path / "state", fingerprint(spec, {"train": data}, start)) is None


def test_a_training_that_came_to_no_number_leaves_no_state(examples: list[Example], tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "state")
    wild = replace(SPEC, fit=replace(SPEC.fit, practice=0, trunk_rate=1e38, head_rate=1e38))
    with pytest.raises(TrainingFailedError, match=r"the loss is .* at step"):
        train(examples, wild, keeping=keeping)
    assert training_state.load(keeping.file, "") is None
    assert not keeping.file.exists()
