"""Whether another form of a model decides as the model itself does: flips, differences, escapes. Pure.

Place in the flow: quantising and benchmarks compare an engine's scores with those of the float32 parent on the same
labelled pictures; a form that lets bad parts pass which the parent rejects is refused. Knows no engine and no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.artifact import F32
from models.errors import ModelRefusedError
from models.evaluate import Evaluation, Rate, Truths, evaluate, is_bad, rate
from models.examination import Rule, outcomes


@dataclass(frozen=True, slots=True)
class Parity:
    """A form of a model beside its parent over n labelled pictures.

    `flips` are pictures whose outcome (OK, UNSURE, NG) differs; `new_escapes` are bad parts that the parent rejects and
    the form passes, `new_overkills` good parts the other way round. Differences are of probabilities, absolute.
    """

    flips: Rate
    new_escapes: int
    new_overkills: int
    largest_difference: float
    mean_difference: float
    parent: Evaluation
    form: Evaluation

    def to_json(self) -> dict[str, Any]:
        return {
            "flips": self.flips.to_json(),
            "new_escapes": self.new_escapes,
            "new_overkills": self.new_overkills,
            "largest_difference": self.largest_difference,
            "mean_difference": self.mean_difference,
            "parent": self.parent.to_json(),
            "form": self.form.to_json(),
        }


def parity(parent: F32, form: F32, labels: Truths, rule: Rule) -> Parity:
    """Of the probabilities [n, classes] that parent and form give n pictures, and what they are; n at least 1."""
    before, after = outcomes(parent, rule), outcomes(form, rule)
    bad = is_bad(labels, rule.classes)
    was_ng, is_ng = before == "NG", after == "NG"
    difference = np.abs(parent.astype(np.float64) - form)
    return Parity(
        flips=rate(int((before != after).sum()), len(labels)),
        new_escapes=int((bad & was_ng & ~is_ng).sum()),
        new_overkills=int((~bad & ~was_ng & is_ng).sum()),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        parent=evaluate(parent, labels, rule.classes, rule.any_defect_threshold),
        form=evaluate(form, labels, rule.classes, rule.any_defect_threshold),
    )


def refuse_worse(found: Parity, most_flips: float) -> None:
    """ModelRefusedError, with the figures, for a form that lets more bad parts pass, or flips more than `most_flips`,
    a share of all pictures.
    """
    if found.form.escape.count > found.parent.escape.count:
        raise ModelRefusedError(
            f"it lets bad parts pass that the float32 model rejects: escape {found.form.escape}, "
            f"the float32 model's is {found.parent.escape}; keep the float32 model, or lower its threshold first"
        )
    if found.flips.value is None or not found.flips.value <= most_flips:
        raise ModelRefusedError(
            f"it decides otherwise than the float32 model too often: {found.flips}, allowed is {most_flips:.2%}; "
            "calibrate it on more pictures, or allow more"
        )
