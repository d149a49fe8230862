"""A picture may show a scratch and a dent: what is learnt of it, what one model says of it, and how that is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from models.artifact import Artifact, Golden, ModelClass
from models.calibrate import ZeroEscapeRule, fit_temperature_of_each, sigmoid
from models.dataset import Example, Pictures, load
from models.dataset_rows import Box
from models.engines import open_engine
from models.engines.network import frozen_classifier
from models.errors import DatasetError, ModelRefusedError
from models.evaluate import any_defect
from models.examination import Rule, examine
from models.fit import FitSpec
from models.golden import scores_of
from models.keeping import Keeping
from models.losses import loss_of, of_each_defect, several
from models.marks import all_shown_in
from models.measures import calibration
from models.preprocess import EncodedImage, Preprocessing, load_views
from models.recalibrate import Plan, measured, recalibrate
from models.train import Progress, TrainSpec, train
from models.views import views_of
from schemas.records import Outcome, Precision
from streams.inspection.decide import ClassRoles, judge
from tests.builders import recipe
from tests.models_fixture import tiny_artifact, tiny_pictures
from tests.pictures import saved

AT = datetime(2026, 3, 1, tzinfo=UTC)
SIDE = 32
COLOURS = {"red": (230, 40, 40), "blue": (40, 40, 230)}
KINDS = ((), ("red",), (), ("blue",), (), ("red", "blue"))
SPEC = TrainSpec(
    model_id="spots",
    preprocessing=Preprocessing(width=SIDE, height=SIDE),
    fit=FitSpec(practice=160, epochs=6, shift=1),
    multi_label=True,
)
CLASSES = (ModelClass("good", "good"), ModelClass("dent", "defect", 0.5), ModelClass("scratch", "defect", 0.5))
INDEX_OF = {"good": 0, "dent": 1, "scratch": 2}


def spots(seed: int, *kinds: str) -> Example:
    """A grey square with a spot of each kind, one in the upper half and one in the lower."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 100, (SIDE, SIDE, 3), dtype=np.uint8)
    for top, kind in zip(rng.permutation((3, 19)), kinds, strict=False):
        left = int(rng.integers(3, SIDE - 11))
        pixels[top : top + 8, left : left + 8] = COLOURS[kind]
    image = EncodedImage(saved(pixels, "PNG"), "PNG")
    return Example(image, kinds[0] if kinds else "good", f"P{seed}", also=kinds[1:])


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [spots(number, *KINDS[number % 6]) for number in range(180)]


@pytest.fixture(scope="module")
def trained(examples: list[Example]) -> Artifact:
    return train(examples, SPEC)


def test_one_model_finds_both_defects_of_a_picture_and_each_alone(trained: Artifact) -> None:
    assert (trained.head, [item.name for item in trained.classes]) == ("sigmoid", ["good", "blue", "red"])
    roles = ClassRoles(("good", "blue", "red"), frozenset({"blue", "red"}))
    by = recipe(thresholds={"blue": 0.5, "red": 0.5}, unsure_band=0.0)
    engine, right = open_engine(trained, "openvino:CPU", Precision.FP32, (1, 8)), Counter[tuple[str, ...]]()
    try:
        for number, kinds in enumerate(KINDS * 4, 9_000):
            seen = load_views(spots(number, *kinds).image, trained.preprocessing).pixels
            judged = judge(engine.submit(seen).result()[0].tolist(), roles, by)
            wanted = (Outcome.NG if kinds else Outcome.OK, set(kinds))
            right[kinds] += (judged.outcome, {finding.label for finding in judged.findings}) == wanted
    finally:
        engine.close()
    assert right[("red", "blue")] >= 3, "of four"
    assert right.total() >= 22, "of 24"


def test_what_it_decides_by_default_is_right_too(trained: Artifact) -> None:
    test = trained.metrics["test"]
    assert test["balanced_accuracy"] >= 0.95
    assert test["class_accuracy"]["value"] >= 0.95
    assert {tuple(row) for row in (trained.golden.scores[:, 1:] > 0.5).tolist()} >= {(True, True), (False, False)}


def test_it_goes_on_where_it_was_ended_and_comes_to_the_same_weights(examples: list[Example], tmp_path: Path) -> None:
    fit = FitSpec(practice=0, epochs=2, batch=8, shift=1, balance="weigh", label_smoothing=0.1, mixup=0.2, average=0.9)
    spec = replace(SPEC, fit=fit)

    def end(progress: Progress) -> None:
        if progress.stage == "fit" and progress.done == 3:
            raise KeyboardInterrupt

    keeping = Keeping(tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        train(examples[:48], spec, end, keeping=keeping)
    steps = list[int]()
    again = train(examples[:48], spec, lambda p: steps.append(p.done) if p.stage == "fit" else None, keeping=keeping)
    whole = train(examples[:48], spec)
    assert steps[0] == 4
    assert all(torch.equal(again.weights[name], whole.weights[name]) for name in whole.weights)


def test_without_the_option_a_picture_has_its_own_label_alone(examples: list[Example]) -> None:
    few = replace(SPEC, multi_label=False, fit=FitSpec(practice=0, epochs=1, shift=0))
    plain = [replace(example, also=()) for example in examples[:60]]
    one, other = train(examples[:60], few), train(plain, few)
    assert one.head == "softmax"
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    only_beside = [replace(e, label="red", also=("scratch",)) if e.also else e for e in examples]
    with pytest.raises(DatasetError, match="no picture of scratch"):
        train([replace(e, split="test") if e.also else replace(e, split="train") for e in only_beside], SPEC)


def test_what_can_not_be_learnt_is_refused_before_any_picture_is_decoded(examples: list[Example]) -> None:
    for changed, wrong, said in (
        (examples, replace(SPEC, soft_labels=True), "soft labels don't go with several labels of a picture"),
        ([*examples, replace(examples[1], also=("deep scratch",))], SPEC, "a class name must be .*'deep scratch'"),
    ):
        with pytest.raises((DatasetError, ModelRefusedError), match=said):
            train(changed, wrong, lambda progress: pytest.fail("it began"))


def test_each_defect_has_a_loss_of_its_own_and_what_nobody_knows_teaches_nothing() -> None:
    logits = torch.tensor([[9.0, 2.0, -1.0], [-9.0, 0.5, 3.0]], requires_grad=True)
    shown, weights = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, torch.nan]]), torch.tensor([1.0, 3.0])
    loss = of_each_defect(logits, shown, weights, 0.2)
    p, wanted = torch.sigmoid(logits.detach()), torch.tensor([0.9, 0.1, 0.9])
    each = binary_cross_entropy(torch.stack([p[0, 1], p[0, 2], p[1, 1]]), wanted, reduction="none")
    assert loss.item() == pytest.approx(float(each[0] + each[1] + 3 * each[2]) / 5, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, 0].tolist() == [0, 0], "the good class's logit is not used"
    assert logits.grad[1, 2] == 0


def test_a_picture_weighs_as_the_rarest_of_its_labels() -> None:
    every = np.array([[0, 1, 0]] * 6 + [[0, 1, 1]] * 2 + [[1, 0, 0]] * 8, np.bool_)
    made = several(Pictures(np.zeros((16, 2, 2, 3), np.uint8), np.array([1] * 8 + [0] * 8), every=every))
    assert made.labels.tolist() == [1] * 6 + [2] * 2 + [0] * 8
    weighed, plain = (loss_of("sigmoid", made, 3, balance, 0.0) for balance in ("weigh", "none"))
    logits = torch.tensor([[0.0, 4.0, -4.0], [0.0, 4.0, -4.0]])  # right of the first, wrong of the second
    assert weighed(logits, torch.tensor([0, 6])) > plain(logits, torch.tensor([0, 6]))


def test_a_view_shows_every_defect_that_lies_in_it() -> None:
    views = views_of((), 100, 0.0, 300, 100)  # three squares
    dent, scratch = Box("dent", 1, 10, 10, 20, 20), Box("scratch", 1, 40, 50, 160, 4)
    cut = Box("dent", 1, 192, 10, 20, 20)  # 8 of 20 in the second, 12 in the third

    def shown(labels: tuple[str, ...], *boxes: Box) -> list[list[float]]:
        return np.nan_to_num(all_shown_in(views, labels, boxes, INDEX_OF), nan=-1).tolist()

    assert shown(("dent", "scratch"), dent, scratch) == [[0, 1, 1], [0, 0, 1], [1, 0, 0]]
    assert shown(("dent",), cut) == [[1, 0, 0], [-1, -1, 0], [0, 1, 0]]
    assert shown(("dent",), dent, replace(scratch, score=0.8)) == [[0, 1, -1], [-1, 0, -1], [1, 0, 0]], "a model's box"
    assert shown(("dent", "scratch"), dent) == [[0, 1, -1], [-1, 0, -1], [-1, 0, -1]], "the scratch may be anywhere"
    assert shown(("good",), dent) == [[1, 0, 0]] * 3


def test_tiles_teach_all_that_they_show() -> None:
    pixels = np.full((100, 200, 3), 90, np.uint8)
    boxes = (Box("dent", 1, 10, 10, 20, 20), Box("scratch", 1, 10, 50, 20, 20), Box("scratch", 1, 120, 10, 20, 20))
    example = Example(EncodedImage(saved(pixels, "PNG"), "PNG"), "dent", "p", boxes=boxes, also=("scratch",))
    spec = Preprocessing(width=SIDE, height=SIDE, tile=100, overlap=0.0)
    made = several(load([example], list(INDEX_OF), spec, lambda: None, to_train=True))
    assert made.soft is not None
    assert made.soft.tolist() == [[0, 1, 1], [0, 0, 1]]
    whole = load([example], list(INDEX_OF), spec, lambda: None)
    assert whole.truths("sigmoid").tolist() == [[False, True, True]]
    assert whole.truths("softmax").tolist() == [1]
    assert whole.some(np.array([0])).shown.tolist() == [[0, 1, 1], [0, 0, 1]]


def test_a_picture_counts_under_each_label_that_it_has() -> None:
    scores = np.float32([[0.9, 0.05, 0.05], [0.02, 0.9, 0.8], [0.35, 0.3, 0.5], [0.1, 0.2, 0.88], [0.56, 0.3, 0.2]])
    truths = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1], [0, 1, 0], [0, 0, 1]], np.bool_)
    found = examine(scores, truths, Rule(CLASSES, None, 0.0))
    assert (found.decided.escape.count, found.decided.escape.total, found.decided.overkill.total) == (1, 4, 1)
    assert found.decided.class_accuracy.count == 3, "the highest is one of the picture's"
    assert [(c.name, c.rejected.count, c.rejected.total, c.recognised.count) for c in found.classes] == [
        ("good", 0, 1, 1),
        ("dent", 3, 3, 1),
        ("scratch", 2, 3, 2),
    ]
    assert found.confusion == ((1, 0, 0), (1, 1, 1), (1, 0, 2))
    assert [c.auroc.value for c in found.classes] == pytest.approx([1.0, 4.5 / 6, 3 / 6])


def test_calibration_is_of_every_defect_by_itself() -> None:
    scores, truths = np.float32([[0.2, 0.8, 0.0], [0.2, 0.0, 0.8]]), np.array([[0, 1, 0], [0, 1, 1]], np.bool_)
    found = calibration(scores, truths)
    assert [(b.claimed, b.right.count, b.right.total) for b in found.bins] == [
        (0.0, 1, 2),
        (pytest.approx(0.8), 2, 2),
    ]
    assert found.ece.value == pytest.approx((2 * 0.5 + 2 * 0.2) / 4)
    assert found.brier.value == pytest.approx((0.04 + 1 + 0.04) / 4)


def drawn(n: int, overconfident: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits and truths of two independent defects, whose logits are so many times too large."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-0.5, 1.5, (n, 3)).astype(np.float32)
    truths = rng.random((n, 2)) < sigmoid(logits, 1.0)[:, 1:]
    return logits * overconfident, np.column_stack([~truths.any(axis=1), truths])


def test_the_temperature_undoes_overconfidence_of_each_defect() -> None:
    logits, truths = drawn(4_000, 4.0)
    shown = truths.astype(np.float32)
    assert fit_temperature_of_each(logits, shown) == pytest.approx(4.0, rel=0.1)
    shown[:, 2] = np.nan
    logits[:, 2] = -100
    assert fit_temperature_of_each(logits, shown) == pytest.approx(4.0, rel=0.15), "what is not known has no say"


PLAN = Plan(rule=ZeroEscapeRule(), prevalence=0.5, reviewed=1.0)


def test_a_calibrated_model_gives_its_golden_scores_and_decides_as_was_said() -> None:
    """Also where it was so sure that two defects at once were rounded to 1."""
    tiny, pictures = tiny_artifact(head="sigmoid"), tiny_pictures(300, seed=5)
    weights = dict(tiny.weights) | {name: 8 * tiny.weights[name] for name in ("fc.weight", "fc.bias")}
    classifier = frozen_classifier(tiny)
    classifier.network.load_state_dict(weights)
    scores = scores_of(classifier, pictures)
    both = (scores[:, 1:] == 1).all(axis=1)
    sure = replace(tiny, weights=weights, golden=Golden(pictures[both][:8], scores[both][:8]))
    _, truths = drawn(300, 1.0)
    found = recalibrate(sure, scores, truths, PLAN, AT)
    assert found.artifact.temperature > 2
    open_engine(found.artifact, "torch:cpu", Precision.FP32, (8,)).close()
    served = scores_of(frozen_classifier(found.artifact), pictures)
    assert (any_defect(served, found.artifact.classes)[~truths[:, 0]] >= found.threshold).all()
    assert found.after.ece.value is not None
    assert found.before.ece.value is not None
    assert found.after.ece.value < found.before.ece.value
    assert measured(found, sure, scores, truths).metrics["test"]["escape"]["count"] == 0


def test_a_score_that_is_rounded_to_1_still_tells_how_sure_it_was() -> None:
    rng = np.random.default_rng(0)
    logits = np.column_stack([np.zeros(200), rng.uniform(18, 25, 200), np.full(200, -20.0)]).astype(np.float32)
    truths = np.array([[0, 1, 0]] * 150 + [[1, 0, 0]] * 50, np.bool_)  # a quarter of them wrong: it is far too sure
    scores = sigmoid(logits, 1.0)
    assert (scores[:, 1] == 1).all()
    found = recalibrate(tiny_artifact(head="sigmoid"), scores, truths, PLAN, AT)
    exact = any_defect(sigmoid(logits, found.artifact.temperature)[:150], CLASSES).min()
    assert found.threshold == pytest.approx(exact, abs=2e-4)
