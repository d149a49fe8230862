"""Retraining, the pure parts: what is left to do, what identifies a work, merging, the comparison, and its answer."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch

from models.artifact import ModelClass
from models.dataset import in_known_order
from models.dataset_rows import Item
from models.errors import DatasetError, ModelRefusedError
from models.evaluate import rejected
from models.examination import Rule
from models.labelled_set import Info, LabelledSet, image_place
from models.paired import Judged
from models.resnet import build_network
from models.weights import begin_with
from schemas.records import ModelProposed, ProposalState
from streams.errors import CallerError
from streams.recipes.history import Scope
from streams.retraining.answer import Advice, answer, metrics
from streams.retraining.comparing import held_out, widened
from streams.retraining.history import Share
from streams.retraining.merging import CONTRADICTED, ELSEWHERE, Part, merged
from streams.retraining.proposals import ProposalBook
from streams.retraining.steps import OUTPUTS, Classes, Step, Work, steps_left

SCOPE = Scope("p1", "l1", "A")
WORK = Work(
    scope=SCOPE,
    base_model_id="flange-40",
    base_sha256="a" * 64,
    recipe_version=3,
    thresholds={"scratch": 0.5},
    unsure_band=0.1,
    dataset="p1-l1-A@00ff",
    dataset_sha256="b" * 64,
    settings={"rule": "same-overkill", "changes": {"epochs": 2}},
)
AT = datetime(2026, 11, 30, 6, tzinfo=UTC)

# --- steps and identity ---


def test_what_was_ended_goes_on_with_the_first_step_whose_output_is_not_there() -> None:
    assert steps_left(lambda name: False) == tuple(Step)
    there = {OUTPUTS[Step.TRAIN], OUTPUTS[Step.CALIBRATE]}
    assert steps_left(lambda name: name in there)[0] is Step.COMPARE
    assert steps_left(lambda name: True) == ()


def test_what_came_after_a_step_that_is_missing_is_made_again() -> None:
    assert steps_left(lambda name: name != OUTPUTS[Step.CALIBRATE]) == tuple(Step)[1:]


def test_the_same_question_is_the_same_proposal_and_any_other_is_not() -> None:
    assert dataclasses.replace(WORK, thresholds={"scratch": 0.5}).proposal_id == WORK.proposal_id
    for change in ({"recipe_version": 4}, {"dataset": "p1-l1-A@00fe"}, {"thresholds": {"scratch": 0.6}}):
        assert dataclasses.replace(WORK, **change).proposal_id != WORK.proposal_id


def test_a_models_id_does_not_grow_with_each_retraining() -> None:
    first = WORK.model_id
    assert first.startswith("flange-40-")
    second = dataclasses.replace(WORK, base_model_id=first, dataset="p1-l1-A@1234").model_id
    assert second.startswith("flange-40-")
    assert len(second) == len(first)
    assert len(dataclasses.replace(WORK, base_model_id="x" * 64).model_id) <= 64


def test_classes_are_kept_new_or_lost() -> None:
    found = Classes.of(("good", "scratch", "dent"), ("good", "dent", "crack"))
    assert (found.kept, found.new, found.lost) == (("good", "dent"), ("crack",), ("scratch",))


# --- the head grows ---


def test_known_classes_keep_their_order_and_new_ones_come_behind() -> None:
    assert in_known_order(("good", "crack", "dent", "scratch"), ("good", "good", "scratch", "dent")) == (
        *("good", "scratch", "dent", "crack"),
    )


def test_each_known_class_goes_on_with_its_own_row_of_the_head() -> None:
    torch.manual_seed(5)
    given, network = build_network("resnet18", 3).state_dict(), build_network("resnet18", 4)
    fresh = network.fc.weight.clone()  # type: ignore[union-attr,operator]
    begin_with(network, given, ("good", "scratch", "dent"), ("good", "crack", "dent", "scratch"))
    rows = network.fc.weight  # type: ignore[union-attr]
    for row, before in ((0, 0), (2, 2), (3, 1)):
        assert torch.equal(rows[row], given["fc.weight"][before])  # type: ignore[index]
    assert torch.equal(rows[1], fresh[1])  # type: ignore[index]
    with pytest.raises(ModelRefusedError, match="have 3 rows for their 2 classes"):
        begin_with(network, given, ("good", "scratch"), ("good", "scratch"))


# --- merging ---


def item(name: str, label: str, **changes: Any) -> Item:
    digest = name.encode().hex().ljust(64, "0")
    fields: dict[str, Any] = {
        "file": image_place(label, digest, "png"),
        "sha256": digest,
        "pixel_sha256": digest,
        "width": 8,
        "height": 8,
        "label": label,
        "split": "train",
        "part_id": name,
        "label_from": "corrected",
        "near_hash": None,
        "boxes": (),
        "plant": "p1",
        "line": "l1",
        "sku": "A",
    }
    return Item(**fields | changes)


def part(*items: Item, good: str = "good") -> Part:
    texts = dict.fromkeys(
        ("version", "name", "tool_version", "content_sha256", "manifest_sha256", "conflicts_sha256"), "x"
    )
    info = Info(**texts, good=good, counts={}, left_out={}, sources={}, since=None, until=None)
    return Part(Path("somewhere"), LabelledSet(info, items, ()))


def test_the_bases_rows_stay_and_the_lines_join_them_in_the_split_of_their_part() -> None:
    base = part(item("a", "good", split="test"), item("b", "dent"))
    line = part(item("a2", "good", part_id="a"), item("c", "crack", split="validation"))
    found = merged(base, line, SCOPE)
    assert {i.sha256: i.split for i in found.its_items} == {
        item("a", "good").sha256: "test",
        item("b", "dent").sha256: "train",
        item("a2", "good").sha256: "test",
        item("c", "crack").sha256: "validation",
    }
    assert found.added == 2


def test_what_the_line_calls_otherwise_than_the_base_waits_for_a_second_look() -> None:
    found = merged(part(item("a", "good"), item("b", "dent")), part(item("a", "crack"), item("b", "dent")), SCOPE)
    assert [i.label for i in found.its_items] == ["dent"]
    assert [(c.labels, c.why) for c in found.its_conflicts] == [(("crack", "good"), CONTRADICTED)]
    assert (found.added, found.left_out) == (0, {"equal pixels": 1})


def test_rows_of_other_lines_and_skus_are_left_out_and_unknown_places_are_not() -> None:
    line = part(item("a", "good", line="l2"), item("b", "good", sku="B"), item("c", "good", plant=None, line=None))
    found = merged(None, line, SCOPE)
    assert [i.part_id for i in found.its_items] == ["c"]
    assert found.left_out == {ELSEWHERE: 2}
    assert merged(None, line, Scope("p1", "l1")).added == 2


def test_good_parts_of_two_names_are_no_one_data_set() -> None:
    with pytest.raises(DatasetError, match="different names"):
        merged(part(good="ok"), part(), SCOPE)


# --- the comparison ---

GOOD = ModelClass("good", "good", None)
SCRATCH, CRACK = (ModelClass(name, "defect", 0.5) for name in ("scratch", "crack"))
NAMES = ("good", "scratch", "crack")
LABELS = np.array([0, 0, 1, 1, 2, 2])


def judged(scores: list[list[float]], *classes: ModelClass) -> Judged:
    wide, rule = widened(np.array(scores, np.float32), Rule(classes, None, 0.1), NAMES)
    return Judged(wide, LABELS, rule)


def test_a_class_that_a_model_does_not_know_has_no_score_and_no_limit_of_its_own() -> None:
    wide, rule = widened(
        np.array([[0.2, 0.8]], np.float32), Rule((GOOD, SCRATCH), 0.6, 0.1), ("good", "crack", "scratch")
    )
    assert wide.tolist() == [pytest.approx([0.2, 0.0, 0.8])]
    assert [c.threshold for c in rule.classes] == [None, None, 0.5]
    assert rejected(wide, rule.classes, rule.any_defect_threshold).tolist() == [True]


def compared() -> dict[str, Any]:
    """The base finds both scratches and neither crack, the new one both cracks and one scratch."""
    base = judged([[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 2 + [[0.8, 0.2]] * 2, GOOD, SCRATCH)
    bad_good = [[0.9, 0.1, 0.0], [0.4, 0.0, 0.6]]
    new = judged([*bad_good, [0.1, 0.9, 0], [0.9, 0.1, 0], [0.1, 0, 0.9], [0.1, 0, 0.9]], GOOD, SCRATCH, CRACK)
    return held_out(base, new, ("good", "scratch")).to_json()


def test_each_kind_tells_what_passes_with_each_model_and_which_kind_is_new() -> None:
    found = {k["label"]: (k["base"]["count"], k["new"]["count"], k["is_new"]) for k in compared()["kinds"]}
    assert found == {"good": (0, 1, False), "scratch": (0, 1, False), "crack": (2, 0, True)}
    assert [(c["place"], c["base"], c["new"]) for c in compared()["changed"]] == [
        (1, "OK", "NG"),
        (3, "NG", "OK"),
        (4, "OK", "NG"),
        (5, "OK", "NG"),
    ]


# --- the answer ---

SKIPPED = {"skipped": "there are no frames"}


def test_fewer_escapes_speak_for_the_new_model_and_its_own_errors_are_named() -> None:
    found = answer(compared(), SKIPPED, "new", "old")
    assert found.advice is Advice.BETTER
    assert "of 4 bad parts 2 pass with old and 1 with new" in found.sentence
    assert any("passes 1 bad parts that the model in force rejects" in text for text in found.against)
    assert any("history was not replayed: there are no frames" in text for text in found.against)


@pytest.mark.parametrize(
    ("escapes", "overkills", "advice"),
    [
        ((1, 2), (5, 0), Advice.WORSE),
        ((1, 1), (0, 3), Advice.WORSE),
        ((1, 1), (2, 2), Advice.NOT_SHOWN),
        ((0, 0), (3, 0), Advice.BETTER),
        ((4, 0), (0, 3), Advice.BETTER),
    ],
)
def test_what_one_alone_judges_wrongly_decides(
    escapes: tuple[int, int], overkills: tuple[int, int], advice: Advice
) -> None:
    figures = compared()
    for name, pair in (("escapes", escapes), ("overkills", overkills)):
        figures[name] = {"only_a": pair[0], "only_b": pair[1], "p": None}
    assert answer(figures, SKIPPED, "new", "old").advice is advice


def test_more_escapes_on_history_speak_against_whatever_the_held_out_parts_say() -> None:
    rate = {"value": 0.1, "low": 0.0, "high": 0.2, "n": 50, "why_not": None}
    history = {"skipped": "", "escape_difference": [0.2, 0.1, 0.3], "overkill_difference": None, "pairs": 80}
    history |= {side: {"escape": rate, "overkill": rate} for side in ("rates_a", "rates_b")}
    assert answer(compared(), history, "new", "old").advice is Advice.WORSE
    assert metrics(compared(), history)["replay_base_escape_high"] == 0.2


def test_figures_that_are_not_defined_are_left_out_of_the_proposal() -> None:
    found = metrics(compared(), SKIPPED)
    assert found["base_escape:crack"] == 1.0
    assert found["escape:crack"] == 0.0
    assert (found["bad"], found["good"]) == (4.0, 2.0)
    assert not any(name.startswith("replay") for name in found)


# --- history ---


def test_of_a_long_history_a_share_is_judged_the_same_for_both_and_nothing_that_was_learned_from() -> None:
    frames = [str(number) for number in range(2_000)]
    share = Share(0, 0.25, frozenset(frames[:1_000]))
    taken = {frame for frame in frames if share.takes(frame)}
    assert taken.isdisjoint(frames[:1_000])
    assert 200 < len(taken) < 300
    assert taken == {frame for frame in reversed(frames) if share.takes(frame)}
    assert all(Share(0, 1.0, frozenset()).takes(frame) for frame in frames)


# --- proposals ---


def proposed(state: ProposalState, **changes: Any) -> ModelProposed:
    fields: dict[str, Any] = dict.fromkeys(("plant", "line", "sku", "model_id", "sha256", "base_model_id"), "x")
    fields |= {"dataset": "d@1", "dataset_sha256": "y", "metrics": {}, "proposed_by": "ana", "at": AT, "state": state}
    return ModelProposed(**fields | changes)


def test_the_newest_record_is_a_proposals_state_and_a_decision_is_final() -> None:
    book, first = ProposalBook(), proposed(ProposalState.PROPOSED, proposal_id=uuid4())
    book.take(first, AT)
    for state in (ProposalState.REJECTED, ProposalState.APPROVED):
        book.take(dataclasses.replace(first, state=state), AT)
    (found,) = book.all()
    assert (found.first.state, found.newest.state, found.is_open) == ("PROPOSED", "REJECTED", False)


def test_a_proposal_is_named_by_the_beginning_of_its_id_or_by_its_model() -> None:
    book, one = ProposalBook(), proposed(ProposalState.PROPOSED, proposal_id=uuid4(), model_id="m2")
    book.take(one, AT)
    book.take(proposed(ProposalState.PROPOSED, proposal_id=uuid4(), model_id="m3"), AT)
    assert book.named(str(one.proposal_id)[:8]).first is one
    assert book.named("m2").first is one
    with pytest.raises(CallerError, match="there is no proposal"):
        book.named("f")
