"""An evaluation as one HTML file: no script, nothing fetched, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.examination import Examination
from models.measures import Figure
from streams.evaluation.answer import answer, shown, what_would_change_it
from streams.evaluation.charts import reliability_chart, robustness_chart, scores_chart, training_chart
from streams.evaluation.robustness import Robustness
from streams.reports.page import render


@dataclass(frozen=True, slots=True)
class Mistake:
    """A part that was decided wrongly. `picture` and `heat` are PNG files; the heat says where the network looked."""

    part_id: str
    label: str
    score: float
    picture: bytes
    heat: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What a report shows. `good` and `bad` are the bad-part scores of good and bad parts; `about` the data's facts;
    `losses` of training and `aurocs` of validation are by epoch, as the model's artifact has them.
    """

    model_id: str
    examination: Examination
    threshold: float | None
    good: Sequence[float]
    bad: Sequence[float]
    about: Mapping[str, str]
    escapes: Sequence[Mistake] = ()
    overkills: Sequence[Mistake] = ()
    robustness: Robustness | None = None
    losses: Sequence[float] = ()
    aurocs: Sequence[float] = ()


def evaluation_page(found: Evaluated) -> str:
    """The report."""
    e = found.examination
    return render(
        "streams.evaluation",
        "evaluation.html.jinja",
        {"rate": shown, "figure": figure},
        found=found,
        e=e,
        answer=answer(e),
        change=what_would_change_it(e),
        scores=scores_chart(found.good, found.bad, found.threshold),
        reliability=reliability_chart(e.calibration.bins),
        training=training_chart(found.losses, found.aurocs) if found.losses and found.aurocs else "",
        robust=robustness_chart(found.robustness.rates, found.robustness.pictures) if found.robustness else "",
    )


def figure(value: Figure, digits: int = 4) -> str:
    """The number, or why there is none."""
    return f"{value.value:.{digits}f}" if value.value is not None else f"n/a: {value.why}"
