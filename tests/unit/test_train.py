"""Training from pictures to a checked artifact: it learns, it is reproducible, and it stops where it must."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.artifact import Artifact, ModelClass, load_artifact, save_artifact
from models.augment import augmented
from models.calibrate import LeastCostRule, band_for, fit_temperature, of_good, softmax, threshold_by, with_threshold
from models.dataset import Example, Pictures
from models.engines import open_engine
from models.engines.openvino_engine import native_precision
from models.errors import DatasetError, TrainingFailedError
from models.evaluate import any_defect, rejected
from models.fit import Fit, FitSpec, Hooks, Step
from models.golden import scores_of
from models.pasted import KINDS, VISIBLE, paste
from models.preprocess import EncodedImage, Preprocessing
from models.resnet import Classifier, build_network
from models.train import Progress, TrainSpec, train
from schemas.records import Precision

SIDE = 32
SPEC = TrainSpec(
    model_id="spots",
    preprocessing=Preprocessing(width=SIDE, height=SIDE),
    fit=FitSpec(practice=320, epochs=6, shift=1),
)


def spot(label: str, seed: int) -> EncodedImage:
    """A grey square; a bright spot on it is a defect, of a kind by its colour."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 100, (SIDE, SIDE, 3), dtype=np.uint8)
    if label != "good":
        x, y = rng.integers(4, SIDE - 10, 2)
        pixels[y : y + 8, x : x + 8] = (230, 40, 40) if label == "red" else (40, 40, 230)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return EncodedImage(file.getvalue(), "PNG")


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    labels = ("good", "red", "good", "blue")
    return [Example(spot(labels[n % 4], n), labels[n % 4], f"P{n}") for n in range(240)]


@pytest.fixture(scope="module")
def trained(examples: list[Example]) -> tuple[Artifact, list[Progress]]:
    seen: list[Progress] = []
    return train(examples, SPEC, seen.append), seen


def test_a_trained_model_tells_defects_from_good_parts_it_never_saw(trained: tuple[Artifact, list[Progress]]) -> None:
    test = trained[0].metrics["test"]
    assert test["balanced_accuracy"] >= 0.95
    assert test["accuracy"]["total"] == trained[0].metrics["pictures"]["test"] > 20


def test_the_artifact_loads_and_its_engine_agrees_with_training(
    trained: tuple[Artifact, list[Progress]], tmp_path: Path
) -> None:
    save_artifact(trained[0], tmp_path / "model")
    loaded = load_artifact(tmp_path / "model")
    assert [c.name for c in loaded.classes] == ["good", "blue", "red"]
    for precision in {Precision.FP32, native_precision()}:  # not every CPU computes bfloat16 natively
        engine = open_engine(loaded, "openvino:CPU", precision, buckets=(1, 8))
        engine.close()


def test_the_artifact_keeps_how_its_good_validation_parts_score(trained: tuple[Artifact, list[Progress]]) -> None:
    reference = trained[0].reference
    assert reference is not None
    assert 0 < reference.good < trained[0].metrics["pictures"]["validation"]
    assert reference.novelty == ()
    assert reference.score[32] < (trained[0].any_defect_threshold or 0), "most of them pass"


def test_golden_pictures_show_every_class(trained: tuple[Artifact, list[Progress]]) -> None:
    assert set(trained[0].golden_labels()) == {"good", "blue", "red"}


def test_progress_counts_pictures_then_steps_up_to_their_totals(trained: tuple[Artifact, list[Progress]]) -> None:
    decode = [p for p in trained[1] if p.stage == "decode"]
    steps = [p for p in trained[1] if p.stage == "fit"]
    assert [p.done for p in decode] == list(range(1, 241))
    assert [p.done for p in steps] == list(range(1, steps[0].total + 1))
    assert steps[-1].epoch == 6
    assert steps[-1].eta_s == 0
    assert steps[-1].loss is not None
    assert steps[0].loss is not None
    assert steps[-1].loss < steps[0].loss


def test_the_same_seed_gives_the_same_model_and_another_seed_another(examples: list[Example]) -> None:
    spec = replace(SPEC, fit=replace(SPEC.fit, practice=32, epochs=1))
    first, again, other = (train(examples[:120], s) for s in (spec, spec, replace(spec, seed=1)))
    assert all(torch.equal(first.weights[name], again.weights[name]) for name in first.weights)
    assert not torch.equal(first.weights["conv1.weight"], other.weights["conv1.weight"])


def test_training_leaves_the_callers_random_numbers_alone(examples: list[Example]) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(examples, replace(SPEC, fit=replace(SPEC.fit, practice=32, epochs=1)))
    assert torch.equal(torch.rand(3), expected)


def test_what_progress_raises_ends_the_training(examples: list[Example]) -> None:
    def cancel(progress: Progress) -> None:
        if progress.stage == "fit" and progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(examples, SPEC, cancel)


def test_a_picture_that_cannot_be_decoded_is_named(examples: list[Example]) -> None:
    broken = replace(examples[3], image=EncodedImage(b"no picture", "PNG"))
    with pytest.raises(DatasetError, match=r"the picture of part P3 \(blue\) is unusable: UNSUPPORTED_FORMAT"):
        train([*examples[:3], broken, *examples[4:]], SPEC)


def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(build_network("resnet18", 2), (0.5,) * 3, (0.25,) * 3, 1.0)


def noise(count: int) -> Pictures:
    rng = np.random.default_rng(0)
    return Pictures(rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8), np.arange(count) % 2)


def test_a_loss_that_is_no_number_stops_with_its_step() -> None:
    model = classifier()
    with torch.no_grad():
        model.network.fc.bias.fill_(float("inf"))
    with pytest.raises(TrainingFailedError, match="the loss is nan at step 1;"):
        Fit(model, noise(32), 0, FitSpec(practice=0), 0).run(Hooks())


def test_fewer_pictures_than_a_batch_are_refused() -> None:
    with pytest.raises(DatasetError, match="at least 16 pictures to train on, came 15"):
        Fit(classifier(), noise(15), 0, FitSpec(), 0)


def test_an_input_of_which_nothing_would_be_left_is_refused(examples: list[Example]) -> None:
    with pytest.raises(DatasetError, match="an input under 32 pixels a side; came 160x31"):
        train(examples, replace(SPEC, preprocessing=Preprocessing(160, 31)))


def test_quarter_turns_of_no_square_are_refused() -> None:
    wide = Pictures(np.zeros((32, SIDE, 2 * SIDE, 3), np.uint8), np.arange(32) % 2)
    with pytest.raises(DatasetError, match="quarter turns need a square input; came 64x32"):
        Fit(classifier(), wide, 0, FitSpec(symmetries=("turn",)), 0)


def test_practice_comes_first_and_counts_as_epoch_0() -> None:
    steps: list[Step] = []
    Fit(classifier(), noise(32), 0, FitSpec(practice=48, epochs=2), 0).run(Hooks(steps.append))
    assert [step.epoch for step in steps] == [0, 0, 0, 1, 1, 2, 2]
    assert [step.number for step in steps] == list(range(1, 8))
    assert {step.total for step in steps} == {7}


def test_a_marks_place_and_kind_are_known_and_all_else_is_left_as_it_was() -> None:
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        ground = rng.uniform(80, 160, (48, 64, 3)).astype(np.float32)
        picture = ground.copy()
        kinds = paste(picture, rng)
        change = np.abs(picture - ground).mean(axis=2)
        assert kinds.shape == (48, 64)
        assert picture.min() >= 0
        assert picture.max() <= 255
        assert (change[kinds == 0] <= 2 * VISIBLE).all()  # two faint marks may lie on one another
        seen |= set(np.unique(kinds).tolist())
    assert seen == set(range(len(KINDS)))


def test_a_budget_hurries_the_schedule() -> None:
    def ticks() -> Iterator[float]:
        yield from (float(second) for second in range(1_000))

    clock, steps = ticks(), list[Step]()
    hurried = FitSpec(practice=0, epochs=100, budget_s=4.0)
    Fit(classifier(), noise(32), 0, hurried, 0).run(Hooks(steps.append, clock=lambda: next(clock)))
    assert len(steps) == 4  # one second a step
    assert steps[-1].eta_s == 0


def test_augmentation_keeps_shape_and_differs_from_picture_to_picture() -> None:
    inputs = torch.linspace(-1, 1, SIDE * 24).view(1, 1, 24, SIDE).repeat(8, 3, 1, 1)
    changed = augmented(inputs, ("mirror", "flip"), 4, 0.1, torch.Generator().manual_seed(0))
    assert changed.shape == inputs.shape
    assert len({tuple(picture.flatten().tolist()) for picture in changed}) == 8
    assert torch.equal(augmented(inputs, (), 0, 0.0, torch.Generator()), inputs)


def test_the_threshold_weighs_escapes_against_overkill() -> None:
    classes = (ModelClass("good", "good"), ModelClass("bad", "defect", 0.5))
    defect = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.5, 0.7, 0.8], np.float32)
    scores, labels = np.stack([1 - defect, defect], axis=1), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    together = any_defect(scores, classes).astype(np.float64)
    careful, lenient = (threshold_by(LeastCostRule(weight, 1.0, 0.5), together, labels == 1) for weight in (10.0, 0.1))
    assert 0.3 < careful <= 0.4
    assert 0.6 < lenient <= 0.7
    assert rejected(scores, with_threshold(classes, careful)).tolist() == [False] * 3 + [True] * 5


def test_a_bad_part_whose_kind_is_unclear_is_rejected_by_the_sum_of_all_defects() -> None:
    classes = (ModelClass("good", "good"), ModelClass("a", "defect", 0.5), ModelClass("b", "defect", 0.5))
    scores = np.array([[0.3, 0.35, 0.35], [0.6, 0.2, 0.2]], np.float32)
    assert rejected(scores, classes).tolist() == [False, False]
    assert rejected(scores, classes, 0.5).tolist() == [True, False]


def test_the_unsure_band_asks_about_no_more_good_parts_than_the_share_allows() -> None:
    classes = (ModelClass("good", "good"), ModelClass("bad", "defect", 0.5))
    defect = np.append(np.arange(100) / 200, [0.9, 0.95]).astype(np.float32)
    scores, labels = np.stack([1 - defect, defect], axis=1), np.append(np.zeros(100, np.int64), [1, 1])
    together = any_defect(scores, classes).astype(np.float64)
    band = band_for(together, of_good(labels == 1), 0.5, share=0.05)
    assert sum(0.5 - band <= score < 0.5 for score in defect[:100]) == 5


def test_the_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4_000, 3)).astype(np.float32)
    truth = np.array([rng.choice(3, p=row / row.sum()) for row in softmax(logits, 1.0).astype(np.float64)])
    assert fit_temperature(logits * 4, truth) == pytest.approx(4.0, rel=0.1)


def test_scores_are_probabilities_and_log_scores_their_logarithms() -> None:
    model = classifier().eval()
    pictures = noise(3).pictures
    scores = scores_of(model, pictures)
    assert np.allclose(np.exp(scores_of(model, pictures, log=True)), scores, atol=1e-5)
