"""A model as a recipe asks for it: its name, how a worker opens it, and what can be had at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from models.artifact import load_artifact, save_artifact
from models.devices import AUTO, PRECISIONS_OF, chosen, whole
from models.engines import openvino_engine, torch_engine
from models.errors import ModelError, ModelRefusedError
from schemas.records import Canary, Precision
from streams.inspection.model_variants import ModelVariant, asked_by, names_of, plainly, variant_of
from streams.serving import Own, WorkerOptions, options_for, released_models, variant_model
from streams.settings import Settings
from tests.builders import recipe
from tests.models_fixture import tiny_artifact

FP32, BF16, FP16, INT8, OPEN = Precision.FP32, Precision.BF16, Precision.FP16, Precision.INT8, Precision.UNKNOWN


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        (ModelVariant("m1"), "m1"),
        (ModelVariant("m1", precision=INT8), "m1 as INT8"),
        (ModelVariant("m1", "torch:cpu"), "m1 on torch:cpu"),
        (ModelVariant("m1", "torch:cpu", BF16), "m1 as BF16 on torch:cpu"),
    ],
)
def test_a_variants_name_says_what_is_asked_and_is_the_models_id_where_nothing_is(
    variant: ModelVariant, name: str
) -> None:
    assert str(variant) == name
    assert variant.is_plain == (name == "m1")


def test_a_recipe_asks_for_its_canary_as_for_its_own_model_and_plainly_for_neither() -> None:
    canary = Canary(model_id="c", share=0.5, thresholds={}, unsure_band=0.0)
    made = recipe(device="torch:cpu", precision=BF16, canary=canary)
    assert asked_by(made) == (ModelVariant("m1", "torch:cpu", BF16), ModelVariant("c", "torch:cpu", BF16))
    assert variant_of(plainly(made)) == ModelVariant("m1")


def test_an_opened_model_goes_by_every_name_that_asks_for_no_more_than_it_is() -> None:
    names = names_of("m1", "torch:cpu", FP32)
    assert set(names) == {"m1", "m1 as FP32", "m1 on torch:cpu", "m1 as FP32 on torch:cpu"}


@pytest.mark.parametrize(
    ("asked", "started", "opened"),
    [
        ((AUTO, OPEN), (AUTO, OPEN), (AUTO, OPEN)),
        ((AUTO, OPEN), ("torch:cpu", BF16), ("torch:cpu", BF16)),
        (("openvino:CPU", INT8), ("torch:cpu", BF16), ("openvino:CPU", INT8)),
        ((AUTO, FP32), ("torch:cpu", BF16), ("torch:cpu", FP32)),
        (("openvino:CPU", OPEN), ("torch:cpu", FP32), ("openvino:CPU", FP32)),
        (("openvino:CPU", OPEN), ("torch:cuda", FP16), ("openvino:CPU", OPEN)),
        ((AUTO, INT8), ("torch:cuda", FP16), (AUTO, INT8)),
    ],
)
def test_a_recipes_wish_wins_and_the_workers_own_settings_fill_what_it_leaves_open_as_far_as_they_fit(
    asked: tuple[str, Precision], started: tuple[str, Precision], opened: tuple[str, Precision]
) -> None:
    options = WorkerOptions((), device=started[0], precision=started[1])
    found = options_for(ModelVariant("m1", *asked), options)
    assert (found.device, found.precision) == opened


def test_the_table_of_devices_says_what_the_engines_say() -> None:
    assert set(PRECISIONS_OF["openvino:CPU"]) == set(openvino_engine.PRECISIONS)
    assert set(PRECISIONS_OF["torch:cpu"]) == set(PRECISIONS_OF["torch:cuda"]) == set(torch_engine.PRECISIONS)


def test_left_open_the_device_is_cuda_where_there_is_one_unless_int8_is_asked_for() -> None:
    assert [chosen(p, has_cuda=True) for p in (OPEN, FP16, INT8)] == ["torch:cuda", "torch:cuda", "openvino:CPU"]
    assert chosen(OPEN, has_cuda=False) == "openvino:CPU"


def test_a_model_with_a_bank_of_good_parts_is_not_whole_as_int8() -> None:
    assert whole([FP32, INT8], has_bank=True) == (FP32,)
    assert whole([FP32, INT8], has_bank=False) == (FP32, INT8)


def test_a_model_is_opened_as_it_is_asked_for_and_not_at_all_where_it_cannot_be_had_so() -> None:
    artifact, options = tiny_artifact("m1"), WorkerOptions((), device="torch:cpu", precision=BF16)
    model = variant_model(artifact, ModelVariant("m1", precision=FP32), options, 2)
    assert (model.engine.device, model.engine.precision) == ("torch:cpu", FP32)
    model.engine.close()
    with pytest.raises(ModelRefusedError, match="m1 can't be had as INT8, only as FP32, BF16, FP16"):
        variant_model(artifact, ModelVariant("m1", precision=INT8), options, 2)
    with pytest.raises(ModelError, match="unknown device 'tpu:0'"):
        variant_model(artifact, ModelVariant("m1", device="tpu:0"), options, 2)


def test_a_worker_opens_a_model_of_its_own_from_where_it_lay_and_no_other_that_lies_there_by_now(
    tmp_path: Path,
) -> None:
    save_artifact(tiny_artifact("m1"), tmp_path / "m1")
    own = {"m1": Own(tmp_path / "m1", load_artifact(tmp_path / "m1").sha256)}
    sources = released_models(Settings(data_dir=tmp_path), WorkerOptions((), device="torch:cpu"), own)
    asked = ModelVariant("m1", precision=FP32)
    assert sources.own == {"m1"}
    assert sources.directory(asked, None) == tmp_path / "m1"
    assert sources.nbytes(asked, None) > 40_000_000
    model = sources.open(asked, None)
    assert (model.sha256, model.engine.precision) == (own["m1"].sha256, FP32)
    model.engine.close()
    save_artifact(dataclasses.replace(tiny_artifact("m1"), unsure_band=0.2), tmp_path / "other")
    (tmp_path / "m1").rename(tmp_path / "away")
    (tmp_path / "other").rename(tmp_path / "m1")
    with pytest.raises(ModelRefusedError, match="holds another model than at the start"):
        sources.open(asked, None)
