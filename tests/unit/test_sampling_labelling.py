"""What people say of samples becomes labels, and who disagrees is set aside."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid5

import pytest

from models.dataset import split_of
from models.dataset_rows import Box as PictureBox
from models.labelled_set import image_place, is_class, second_look_place
from schemas.records import Box, Finding, Outcome, ReworkFinding, ReworkOutcome, SampleSelected
from streams.downstream.sampling.labelling import EQUAL_PIXELS, PEOPLE_DISAGREE, Entry, Labelled, decided, sorted_out
from streams.downstream.sampling.manifest import Picture, conflict_of, items_of
from tests.contracts.samples import NAMESPACE, SAMPLE
from tests.unit.test_sampling_decisions import said

FALSE_REJECT, WITHDRAWN = ReworkFinding.FALSE_REJECT, ReworkFinding.WITHDRAWN
SHA256 = "0" * 64
PICTURE = Picture(SHA256, "pixels", "png", 100, 80)


def sample(of: str = "v", file: str = "f", n: int = 0, **changes: Any) -> SampleSelected:
    fields: dict[str, Any] = {
        "sample_id": uuid5(NAMESPACE, f"sample {of} {n}"),
        "verdict_id": uuid5(NAMESPACE, of),
        "image_sha256": file,
        "selected_at": SAMPLE.selected_at + timedelta(hours=n),
    }
    return dataclasses.replace(SAMPLE, **fields | changes)


def entries(*log: ReworkOutcome) -> list[Entry]:
    return decided([sample()], log)[0]


@pytest.mark.parametrize(
    ("log", "labels"),
    [
        ([said("a")], ("scratch",)),
        ([said("a", corrected_label="dent")], ("dent",)),
        ([said("a", FALSE_REJECT)], ("good",)),
        ([said("a"), said("r", review=2)], ("scratch",)),
        ([said("a"), said("b", corrected_label="dent", supersedes="a")], ("dent",)),
        ([said("a", predicted_label="*"), said("r", review=2)], ("scratch",)),  # one of them gives it a name
        ([said("a", ReworkFinding.INCONCLUSIVE), said("r", review=2)], ("scratch",)),
    ],
)
def test_a_picture_is_what_those_who_decided_agree_on(log: list[ReworkOutcome], labels: tuple[str, ...]) -> None:
    (entry,) = entries(*log)
    assert entry.labels == labels
    assert not entry.disputed


@pytest.mark.parametrize(
    "log",
    [
        [said("a"), said("r", FALSE_REJECT, review=2)],
        [said("a"), said("r", corrected_label="dent", review=2)],
        [said("a", predicted_label="*"), said("r", FALSE_REJECT, review=2)],  # bad without a name, and good
    ],
)
def test_who_disagrees_is_disputed(log: list[ReworkOutcome]) -> None:
    (entry,) = entries(*log)
    assert entry.disputed


@pytest.mark.parametrize(
    "log",
    [
        [],
        [said("a", predicted_label="*")],
        [said("a", ReworkFinding.NOT_FOUND)],
        [said("a"), said("b", WITHDRAWN, supersedes="a")],
        [said("a", verdict_id=uuid5(NAMESPACE, "another verdict"))],
    ],
)
def test_a_picture_that_nobody_named_waits(log: list[ReworkOutcome]) -> None:
    assert decided([sample()], log) == ([], 1)


def test_of_several_samples_of_one_file_the_earliest_stands_for_what_was_said_of_any() -> None:
    late, early = sample("v", n=1), sample("w", n=0)
    (entry,), waiting = decided([late, early], [said("a")])
    assert (entry.sample, entry.labels, waiting) == (early, ("scratch",), 0)


def judged(pixels: str, *names: str) -> Labelled:
    """One file each of these labels, all with the same pixels or each with its own."""
    samples = [sample(f"v{n}", f"f{n}", n) for n in range(len(names))]
    log = [said(f"a{n}", verdict_id=uuid5(NAMESPACE, f"v{n}"), corrected_label=name) for n, name in enumerate(names)]
    found, _ = decided(samples, log)
    return sorted_out(found, {s.sample_id: f"{pixels}{n if pixels == 'own' else ''}" for n, s in enumerate(samples)})


def test_equal_pixels_with_one_label_are_one_picture() -> None:
    found = judged("same", "dent", "dent")
    assert ([e.sample.image_sha256 for e in found.agreed], found.conflicts, found.equal) == (["f0"], (), 1)
    assert len(found.agreed[0].says) == 2
    assert len(judged("own", "dent", "dent").agreed) == 2


def test_equal_pixels_with_different_labels_are_a_conflict_of_all_of_them() -> None:
    found = judged("same", "dent", "crack", "dent")
    assert (found.agreed, found.equal) == ((), 0)
    assert [(c.why, c.labels) for c in found.conflicts] == [(EQUAL_PIXELS, ("crack", "dent"))] * 3


def test_a_conflict_says_who_said_what() -> None:
    found, _ = decided([sample()], [said("a"), said("r", FALSE_REJECT, review=2)])
    (conflict,) = sorted_out(found, {sample().sample_id: "p"}).conflicts
    row = conflict_of(conflict, PICTURE)
    assert (row.why, row.labels, row.file) == (PEOPLE_DISAGREE, ("good", "scratch"), f"second_look/{SHA256}.png")
    assert row.outcome_ids == (str(uuid5(NAMESPACE, "a")), str(uuid5(NAMESPACE, "r")))


@pytest.mark.parametrize(
    "label", ["", ".", "..", "../up", "a/b", "a\\b", "a b", "é", "x" * 65, "x\n", "/etc", ".hidden"]
)
def test_a_label_that_is_no_class_makes_no_path(label: str) -> None:
    assert not is_class(label)
    with pytest.raises(ValueError, match="a picture's place"):
        image_place(label, SHA256, "png")


@pytest.mark.parametrize(
    ("sha256", "extension"), [("../x", "png"), (SHA256, "../x"), (SHA256.replace("0", "Z"), "png")]
)
def test_a_digest_or_extension_that_is_none_makes_no_path(sha256: str, extension: str) -> None:
    for place in (lambda: image_place("dent", sha256, extension), lambda: second_look_place(sha256, extension)):
        with pytest.raises(ValueError, match="a picture's place"):
            place()


def rows(*log: ReworkOutcome, findings: tuple[Finding, ...] = (), **of_sample: Any) -> tuple[list[Any], Counter[str]]:
    found, _ = decided([sample(**of_sample)], log)
    left_out: Counter[str] = Counter()
    pictures = {sample().sample_id: PICTURE}
    return list(items_of(found, pictures, {sample().verdict_id: findings}, left_out)), left_out


def test_a_row_says_how_its_label_came_about() -> None:
    for one, expected in (
        (said("a"), ("scratch", "confirmed")),
        (said("a", corrected_label="dent"), ("dent", "corrected")),
        (said("a", FALSE_REJECT), ("good", "found good")),
        (said("a", verdict_outcome=Outcome.OK, predicted_label="good", corrected_label="dent"), ("dent", "corrected")),
    ):
        (row,), _ = rows(one)
        assert (row.label, row.label_from) == expected
        assert (row.outcome_id, row.labelled_at, row.reviews) == (str(one.outcome_id), one.decided_at, 1)


def test_all_pictures_of_a_part_are_in_the_split_of_the_part() -> None:
    for part in ("P1", "P2", "P3"):
        (row,), _ = rows(said("a"), part_id=part)
        assert (row.part_id, row.split) == (part, split_of(part))
    (row,), _ = rows(said("a"), part_id=None)
    assert (row.part_id, row.split) == (SHA256, split_of(SHA256))


def test_what_can_be_no_class_is_counted_and_left_out() -> None:
    found, left_out = rows(said("a", corrected_label="../../etc"))
    assert (found, left_out) == ([], {"label can't be a class": 1})


def test_numbers_that_are_none_are_left_out() -> None:
    (row,), _ = rows(said("a"), score=float("nan"), inclusion_probability=float("inf"))
    assert (row.score, row.inclusion_probability) == (None, 0.0)


def test_boxes_are_cut_to_their_picture() -> None:
    """A picture of 100 x 80 pixels."""
    places = [(10, 20, 30, 40), (-5, 70, 20, 20), (100, 0, 5, 5), (2, 2, -1, 4), None, (1, 1, 1, 1)]
    boxes = [p and Box(x=p[0], y=p[1], width=p[2], height=p[3]) for p in places]
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, float("nan")]
    findings = [Finding(label="scratch", score=s, threshold=0.5, box=b) for s, b in zip(scores, boxes, strict=True)]
    (row,), _ = rows(said("a"), findings=tuple(findings))
    assert row.boxes == (PictureBox("scratch", 0.9, 10, 20, 30, 40), PictureBox("scratch", 0.8, 0, 70, 15, 10))
