"""How unlike any good part a picture is: the bank, its threshold, the artifact that carries it, and what is decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from models.artifact import Artifact, Golden, Novelty, load_artifact, save_artifact
from models.dataset import Pictures
from models.engines import open_engine
from models.engines.network import frozen_classifier, serving_network
from models.errors import DatasetError, ModelRefusedError
from models.novelty import BankSpec, _rank, coreset, with_novelty
from models.places import farthest, places
from models.scoring import answers_by, split
from schemas.records import Outcome, Precision, Reason
from streams.inspection.decide import ClassRoles, judge
from streams.serving import WorkerOptions, serving_model
from tests.builders import CLASSES, recipe
from tests.models_fixture import tiny_artifact, tiny_pictures

AT = datetime(2026, 3, 1, tzinfo=UTC)
ROLES = ClassRoles(CLASSES, frozenset({"scratch", "dent"}), novel_above=0.25)


@pytest.fixture(scope="module")
def novel() -> Artifact:
    pictures = tiny_pictures(60, seed=1)
    spec = BankSpec(false_alarm=0.1, places=50, seed=0)
    held_out = Pictures(pictures[40:], np.zeros(20, np.int64))
    return with_novelty(tiny_artifact(), pictures[:40], held_out, spec, AT, lambda done: None)


def test_a_bank_is_spread_over_all_kinds_of_places_and_the_same_by_seed() -> None:
    corners = torch.eye(3, 384).repeat_interleave(100, dim=0)
    cloud = corners + 0.01 * torch.randn(300, 384, generator=torch.Generator().manual_seed(1))
    bank = coreset(cloud, 3, seed=2)
    assert sorted(bank.argmax(dim=1).tolist()) == [0, 1, 2]
    assert torch.equal(bank, coreset(cloud, 3, seed=2))
    assert len(coreset(cloud[:5], 50, seed=2)) == 5


def test_the_farthest_place_from_its_nearest_in_the_bank_counts() -> None:
    bank = torch.eye(2, 3).T.contiguous()
    same, one_off, between = torch.eye(3)[[0, 1]], torch.eye(3)[[0, 2]], torch.tensor([[0.6, 0.8, 0.0]] * 2)
    assert farthest(torch.stack((same, one_off, between)), bank).tolist() == pytest.approx([0.0, 1.0, 0.2])


def test_half_precision_tells_places_apart_that_lie_as_near_as_good_ones() -> None:
    """Cosines of 0.99 and more: as bfloat16 itself has them they would all be one of three numbers."""
    generator = torch.Generator().manual_seed(4)
    bank = normalize(torch.rand(50, 384, generator=generator), dim=1)
    near = bank[:30] + 0.004 * torch.randn(30, 384, generator=generator)
    seen = normalize(near, dim=1)[:, None]
    exact = farthest(seen, bank.T.contiguous())
    assert 0.001 < exact.min() < exact.max() < 0.01
    assert exact == pytest.approx(1 - (seen @ bank.T).amax(dim=2)[:, 0].double().numpy(), abs=1e-6)
    rough = farthest(seen.bfloat16(), bank.T.contiguous().bfloat16()).float()
    assert (rough - exact).abs().mean() < 0.00025
    plain = 1 - (seen.bfloat16() @ bank.T.bfloat16()).amax(dim=2)[:, 0].float()
    assert (plain - exact).abs().mean() > 0.0005


def test_places_are_unit_vectors_of_every_eighth_pixel() -> None:
    found = tuple(torch.rand(2, 64 * 2**n, 32 // 2**n, 48 // 2**n) for n in range(4))
    made = places(found)
    assert made.shape == (2, 16 * 24, 128 + 256)
    assert torch.allclose(made.norm(dim=2), torch.ones(2, 16 * 24), atol=1e-5)


def test_a_rate_of_false_alarms_takes_so_many_good_parts() -> None:
    """Of 99 held out and one new part, the new one is the highest with a chance of 1 in 100."""
    assert _rank(99, 0.01) == 98
    assert _rank(199, 0.01) == 197
    with pytest.raises(DatasetError, match=r"takes at least 99 good parts in the validation split; came 98"):
        _rank(98, 0.01)


def test_a_picture_of_several_views_is_as_novel_as_its_most_novel_one() -> None:
    """20 pictures of three views each: the threshold is of pictures, not of 60 views."""
    pictures, counts = tiny_pictures(100, seed=1), np.full(20, 3, np.int64)
    held_out = Pictures(pictures[40:], np.zeros(20, np.int64), counts=counts, views=np.zeros(60, np.int64))
    spec = BankSpec(false_alarm=0.1, places=50, seed=0)
    made = with_novelty(tiny_artifact(), pictures[:40], held_out, spec, AT, lambda done: None).novelty
    assert made is not None
    assert made.good == 20
    alone = replace(held_out, labels=np.zeros(60, np.int64), counts=None, views=None)
    by_view = with_novelty(tiny_artifact(), pictures[:40], alone, spec, AT, lambda done: None).novelty
    assert by_view is not None
    assert made.threshold > by_view.threshold


def test_false_alarms_among_new_good_parts_are_as_rare_as_stated(novel: Artifact) -> None:
    engine = open_engine(novel, "torch:cpu", Precision.FP32, (32,))
    novelty = split(answers_by(engine, tiny_pictures(400, seed=7)), engine)[1]
    engine.close()
    assert novelty is not None
    assert novel.novelty is not None
    assert (novelty > novel.novelty.threshold).mean() < 0.2, "0.1 stated from 20 held out: 0.2 is 2 deviations off"


@pytest.mark.parametrize("device", ["torch:cpu", "openvino:CPU"])
def test_engines_give_probabilities_as_before_and_the_novelty_of_the_network_itself(
    novel: Artifact, device: str
) -> None:
    pictures = tiny_pictures(7, seed=3)
    engine, plain = (open_engine(a, device, Precision.FP32, (1, 2, 8)) for a in (novel, tiny_artifact()))
    answers, before = answers_by(engine, pictures), answers_by(plain, pictures)
    alone = np.concatenate([engine.submit(picture[None]).result() for picture in pictures])
    engine.close()
    plain.close()
    with torch.inference_mode():
        expected = serving_network(novel)(torch.from_numpy(pictures)).numpy()
    assert answers.shape == (7, before.shape[1] + 1)
    assert np.abs(answers - expected).max() < 1e-4
    assert np.abs(answers[:, :-1] - before).max() < 1e-4
    assert np.abs(answers - alone).max() < 1e-4


def test_a_picture_like_no_good_part_is_more_novel(novel: Artifact) -> None:
    engine = open_engine(novel, "torch:cpu", Precision.FP32, (32,))
    good = tiny_pictures(32, seed=11)
    strange = np.zeros_like(good)
    strange[:, ::4] = 255
    of_good, of_strange = (split(answers_by(engine, pictures), engine)[1] for pictures in (good, strange))
    engine.close()
    assert of_good is not None
    assert of_strange is not None
    assert of_strange.min() > of_good.max()


def test_it_is_kept_with_the_model(novel: Artifact, tmp_path: Path) -> None:
    save_artifact(novel, tmp_path / "model")
    kept = load_artifact(tmp_path / "model")
    assert kept.novelty is not None
    assert novel.novelty is not None
    assert torch.equal(kept.novelty.bank, novel.novelty.bank)
    assert (kept.novelty.threshold, kept.novelty.good) == (novel.novelty.threshold, 20)
    assert kept.reference is not None
    assert kept.reference.novelty[-1] == pytest.approx(kept.novelty.threshold, rel=1e-5), "none that is called novel"
    open_engine(kept, "openvino:CPU", Precision.FP32, (4,)).close()
    bank = tmp_path / "model" / "novelty.safetensors"
    bank.write_bytes(bank.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ModelRefusedError, match=r"novelty\.safetensors was changed"):
        load_artifact(tmp_path / "model")


def test_another_bank_is_seen_by_the_golden_vectors(novel: Artifact) -> None:
    assert novel.novelty is not None
    other = torch.nn.functional.normalize(torch.rand(50, 384, generator=torch.Generator().manual_seed(0)), dim=1)
    with pytest.raises(ModelRefusedError, match="golden vector"):
        open_engine(replace(novel, novelty=replace(novel.novelty, bank=other)), "torch:cpu", Precision.FP32, (4,))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"bank": torch.zeros(3, 384)}, "unit vectors"),
        ({"bank": torch.full((3, 384), float("nan"))}, "unit vectors"),
        ({"bank": torch.eye(3)}, r"expected float32 \[1 to 20000, 384\]"),
        ({"bank": torch.eye(384).double()}, "expected float32"),
        ({"threshold": float("nan")}, "novelty threshold"),
        ({"threshold": 3.0}, "novelty threshold"),
        ({"false_alarm": -0.1}, "false-alarm rate"),
        ({"good": "many"}, "must be counted"),
    ],
)
def test_a_bank_that_cannot_be_is_refused(novel: Artifact, change: dict[str, object], why: str) -> None:
    assert novel.novelty is not None
    with pytest.raises(ModelRefusedError, match=why):
        replace(novel, novelty=replace(novel.novelty, **change))  # type: ignore[arg-type]


def test_a_bank_and_its_golden_vectors_come_together(novel: Artifact) -> None:
    golden = Golden(novel.golden.pictures, novel.golden.scores)
    with pytest.raises(ModelRefusedError, match="one is missing"):
        replace(novel, golden=golden)
    with pytest.raises(ModelRefusedError, match="one is missing"):
        replace(tiny_artifact(), novelty=Novelty(torch.eye(1, 384), 0.5, 0.01, 100))


def test_what_is_like_no_good_part_is_unsure_and_says_why() -> None:
    judged = judge([0.9, 0.05, 0.05, 0.375], ROLES, recipe())
    assert (judged.outcome, judged.reason, judged.novelty) == (Outcome.UNSURE, Reason.SCORE, 0.375)
    assert judged.detail == "novelty 0.3750 is above 0.2500: like no good part seen"
    assert judged.scores == {"good": 0.9, "scratch": 0.05, "dent": 0.05}


def test_what_is_not_novel_is_judged_as_before_and_carries_its_novelty() -> None:
    plain = replace(ROLES, novel_above=None)
    for scores in ([0.9, 0.05, 0.05], [0.1, 0.85, 0.05], [0.5, 0.45, 0.05]):
        before, after = judge(scores, plain, recipe()), judge([*scores, 0.25], ROLES, recipe())
        assert replace(after, novelty=None) == before
        assert (before.novelty, after.novelty) == (None, 0.25)


def test_a_defect_stays_a_defect_however_novel() -> None:
    judged = judge([0.1, 0.85, 0.05, 1.5], ROLES, recipe())
    assert (judged.outcome, judged.novelty) == (Outcome.NG, 1.5)


def test_a_novelty_that_is_no_number_is_an_error() -> None:
    judged = judge([0.9, 0.05, 0.05, float("nan")], ROLES, recipe())
    assert (judged.outcome, judged.reason) == (Outcome.ERROR, Reason.NON_FINITE)


def test_a_worker_serves_it_whole(novel: Artifact) -> None:
    model = serving_model(novel, WorkerOptions([], device="torch:cpu", precision=Precision.FP32), max_batch=4)
    assert novel.novelty is not None
    assert model.roles.novel_above == novel.novelty.threshold
    assert model.engine.submit(tiny_pictures(3, seed=1)).result().shape == (3, model.roles.width)
    model.engine.close()


def test_the_network_shares_its_weights_with_the_classifier(novel: Artifact) -> None:
    assert (
        next(serving_network(novel).parameters()).data_ptr() == next(frozen_classifier(novel).parameters()).data_ptr()
    )
