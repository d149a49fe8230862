"""Training in half precision: it learns, goes on where it was ended, and says where float16 can't follow."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch

from models import mixed
from models.artifact import Artifact
from models.dataset import Example
from models.errors import TrainingFailedError
from models.fit import Fit, FitSpec, Hooks
from models.keeping import Keeping
from models.mixed import MOST_SKIPPED, Mixed, precision_on
from models.train import Progress, train
from schemas.records import Precision
from tests.unit.test_train import classifier, noise, spot
from tests.unit.test_training_goes_on import LABELS, ended_at, same
from tests.unit.test_training_goes_on import SPEC as LARGER

SPEC = replace(LARGER, fit=replace(LARGER.fit, practice=16))
CPU = torch.device("cpu")
HALVES = (Precision.BF16, Precision.FP16)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """Few: where the CPU has no float16 a step takes a third of a second."""
    return [Example(spot(LABELS[n % 5], n), LABELS[n % 5], f"P{n}") for n in range(40)]


@pytest.fixture(scope="module")
def wholes(examples: list[Example]) -> dict[Precision, Artifact]:
    """What trainings come to that nobody ends."""
    return {precision: trained(examples, precision) for precision in (Precision.FP32, *HALVES)}


def trained(examples: list[Example], precision: Precision, keeping: Keeping | None = None, *ends: int) -> Artifact:
    """With a practice of 2 steps and 8 real ones; ended at some of them and begun again."""
    spec, show = replace(SPEC, fit=replace(SPEC.fit, precision=precision)), ended_at(*ends)
    while True:
        try:
            return train(examples, spec, show, keeping=keeping)
        except KeyboardInterrupt:
            assert keeping is not None
            assert keeping.file.exists()


@pytest.mark.parametrize("precision", [Precision.FP32, *HALVES])
def test_an_ended_training_comes_to_the_same_weights_in_every_precision(
    examples: list[Example], wholes: dict[Precision, Artifact], precision: Precision, tmp_path: Path
) -> None:
    whole = wholes[precision]
    assert same(whole, trained(examples, precision, Keeping(tmp_path / "state"), 3, 4, 7))
    assert whole.metrics["precision"] == precision.name


def test_ended_while_the_scale_is_still_sought_it_goes_on_seeking(
    examples: list[Example], wholes: dict[Precision, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From so high a scale the first steps are left out: a scale begun anew would leave out others."""
    monkeypatch.setattr(mixed, "FIRST_SCALE", 2.0**24)
    whole = trained(examples, Precision.FP16)
    assert same(whole, trained(examples, Precision.FP16, Keeping(tmp_path / "state"), 2, 5))
    assert not same(whole, wholes[Precision.FP16]), "no step was left out: the test shows nothing"


def test_precisions_differ_and_weights_stay_float32(wholes: dict[Precision, Artifact]) -> None:
    assert not any(same(one, other) for one, other in combinations(wholes.values(), 2))
    assert {weight.dtype for model in wholes.values() for weight in model.weights.values()} == {
        torch.float32,
        torch.int64,
    }


@pytest.mark.parametrize("precision", HALVES)
def test_it_learns_in_half_precision(examples: list[Example], precision: Precision) -> None:
    losses: list[float] = []

    def note(progress: Progress) -> None:
        if progress.stage == "fit" and progress.loss is not None:
            losses.append(progress.loss)

    fit = replace(SPEC.fit, practice=0, epochs=8, precision=precision)
    train(examples, replace(SPEC, fit=fit), note)
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


@pytest.mark.parametrize("precision", HALVES)
def test_a_loss_that_is_no_number_stops_with_its_step_and_names_another_precision(precision: Precision) -> None:
    model = classifier()
    with torch.no_grad():
        model.network.fc.bias.fill_(float("inf"))
    with pytest.raises(TrainingFailedError, match=r"the loss is nan at step 1; .* --precision fp32"):
        Fit(model, noise(32), 0, FitSpec(practice=0, precision=precision), 0).run(Hooks())


def steps_of(mixing: Mixed, gradients: list[float]) -> torch.Tensor:
    """A weight of 1 after steps of plain descent by 0.1 along gradients of a loss of 1 or so."""
    weight = torch.nn.Parameter(torch.ones(()))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    for number, gradient in enumerate(gradients, 1):
        half = weight.half() * 1.0 if mixing.precision is Precision.FP16 else weight
        mixing.step(half.float() * gradient - weight.detach() * gradient + 1, optimiser, number)
    return weight.detach()


def test_a_step_whose_gradient_overflows_is_left_out_and_the_next_is_taken() -> None:
    assert steps_of(Mixed(CPU, Precision.FP16), [8.0]) == 1, "8 times the first scale is beyond float16"
    assert steps_of(Mixed(CPU, Precision.FP16), [8.0, 0.5]) == pytest.approx(0.95)


def test_as_many_steps_left_out_in_a_row_as_no_training_needs_end_it_with_the_reason() -> None:
    with pytest.raises(TrainingFailedError, match=rf"beyond float16 in {MOST_SKIPPED} steps in a row, up to step 20,"):
        steps_of(Mixed(CPU, Precision.FP16), [1e30] * 30)


def test_a_step_taken_between_begins_the_count_anew_and_the_count_is_kept() -> None:
    few = [1e30] * (MOST_SKIPPED - 1)
    mixing = Mixed(CPU, Precision.FP16)
    steps_of(mixing, [*few, 0.0, *few])
    later = Mixed(CPU, Precision.FP16)
    later.restore(mixing.state())
    with pytest.raises(TrainingFailedError, match="steps in a row"):
        steps_of(later, [1e30])


def test_without_a_wish_the_cpu_computes_in_what_it_multiplies_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, precision in ((True, Precision.BF16), (False, Precision.FP32)):
        monkeypatch.setattr(mixed, "bf16_is_native", lambda native=native: native)
        assert precision_on(CPU) is precision
        assert precision_on(CPU, Precision.FP16) is Precision.FP16
