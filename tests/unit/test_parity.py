"""Whether another form of a model decides as the model does: what counts as a flip, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from models.artifact import F32, ModelClass
from models.errors import ModelRefusedError
from models.examination import Rule
from models.parity import parity, refuse_worse

CLASSES = (ModelClass("good", "good"), ModelClass("scratch", "defect", 0.5))
RULE = Rule(CLASSES, any_defect_threshold=None, unsure_band=0.1)
LABELS = np.array([0, 0, 0, 1, 1, 1])
PARENT = [0.1, 0.2, 0.45, 0.55, 0.8, 0.9]  # OK OK UNSURE NG NG NG


def scores(*bad: float) -> F32:
    return np.array([[1 - score, score] for score in bad], np.float32)


def test_a_form_that_gives_the_same_scores_flips_nothing() -> None:
    found = parity(scores(*PARENT), scores(*PARENT), LABELS, RULE)
    assert found.flips.count == found.new_escapes == found.new_overkills == 0
    assert found.largest_difference == found.mean_difference == 0.0
    refuse_worse(found, most_flips=0.0)


def test_a_change_between_ok_and_unsure_is_a_flip_but_neither_escape_nor_overkill() -> None:
    found = parity(scores(*PARENT), scores(0.1, 0.41, 0.45, 0.55, 0.8, 0.9), LABELS, RULE)
    assert (found.flips.count, found.flips.total) == (1, 6)
    assert (found.new_escapes, found.new_overkills) == (0, 0)
    assert found.largest_difference == pytest.approx(0.21, abs=1e-6)


def test_a_form_that_passes_one_bad_part_more_is_refused_with_both_figures() -> None:
    found = parity(scores(*PARENT), scores(0.1, 0.2, 0.45, 0.49, 0.8, 0.9), LABELS, RULE)
    assert (found.new_escapes, found.form.escape.count, found.parent.escape.count) == (1, 1, 0)
    with pytest.raises(ModelRefusedError, match=r"lets bad parts pass.*1 of 3.*0 of 3"):
        refuse_worse(found, most_flips=1.0)


def test_a_form_that_flips_more_than_allowed_is_refused() -> None:
    found = parity(scores(*PARENT), scores(0.1, 0.2, 0.55, 0.55, 0.8, 0.9), LABELS, RULE)
    assert found.new_overkills == 1
    refuse_worse(found, most_flips=0.2)
    with pytest.raises(ModelRefusedError, match=r"decides otherwise .* allowed is 1\.00%"):
        refuse_worse(found, most_flips=0.01)


def test_one_escape_in_place_of_another_is_seen_as_a_flip_each() -> None:
    parent, form = scores(0.1, 0.1, 0.1, 0.3, 0.8, 0.9), scores(0.1, 0.1, 0.1, 0.8, 0.3, 0.9)
    found = parity(parent, form, LABELS, RULE)
    assert (found.flips.count, found.new_escapes) == (2, 1)
    assert found.form.escape.count == found.parent.escape.count == 1
    with pytest.raises(ModelRefusedError):
        refuse_worse(found, most_flips=0.3)
