"""What a shadow's pairs say of it, and what keeps it from being put in force."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from schemas.records import Outcome, Reason, ReworkFinding, ReworkOutcome, ShadowCompared
from streams.downstream.shadow.comparing import is_compared
from streams.downstream.shadow.evidence import Evidence, Split, evidence, lacking
from streams.inspection.decide import LIVE
from tests.contracts.samples import AT, OUTCOME, VERDICT

OK, NG, UNSURE, ERROR = Outcome.OK, Outcome.NG, Outcome.UNSURE, Outcome.ERROR
GOOD = frozenset({"good"})
NUMBERS = count(1)


def pairs(n: int, live: Outcome, shadow: Outcome, label: str | None = None, **changes: Any) -> list[ShadowCompared]:
    made = []
    for _ in range(n):
        number = next(NUMBERS)
        one = replace(
            VERDICT, frame_id=UUID(int=number), verdict_id=UUID(int=10**6 + number), label=label, outcome=live,
            model_id="old",
        )  # fmt: skip
        other = replace(one, verdict_id=UUID(int=10**9 + number), outcome=shadow, model_id="new", run="shadow:new")
        made.append(ShadowCompared(live=one, shadow=replace(other, **changes), compared_at=AT))
    return made


def decided(pair: ShadowCompared, finding: ReworkFinding) -> tuple[UUID, ReworkOutcome]:
    at = pair.live.verdict_id
    return at, replace(OUTCOME, verdict_id=at, finding=finding)


def of(*groups: list[ShadowCompared], decisions: dict[UUID, ReworkOutcome] | None = None) -> Evidence:
    return evidence([pair for group in groups for pair in group], decisions or {}, GOOD, "new")


def test_labels_say_what_one_alone_lets_pass_or_rejects() -> None:
    found = of(
        pairs(300, OK, OK, "good"),
        pairs(5, OK, NG, "dent"),
        pairs(2, NG, OK, "dent"),
        pairs(3, NG, OK, "good"),
        pairs(1, UNSURE, NG, "good"),
        pairs(4, OK, OK, "dent"),
    )
    assert (found.pairs, found.alike, found.known, found.beside) == (315, 304, 315, ("old",))
    assert (found.escapes, found.overkills) == (Split(5, 2), Split(3, 1))
    assert (found.freed, found.more_rejected) == (0, 0)
    assert found.escapes.p == pytest.approx(0.4531, abs=1e-4)
    assert lacking(found) == []


def test_people_at_rework_stations_say_it_where_there_is_no_label() -> None:
    rejected, more = pairs(2, NG, OK), pairs(2, OK, NG)
    decisions = dict(
        [decided(rejected[0], ReworkFinding.FALSE_REJECT), decided(rejected[1], ReworkFinding.CONFIRMED),
         decided(more[0], ReworkFinding.CONFIRMED)]
    )  # fmt: skip
    found = of(rejected, more, decisions=decisions)
    assert (found.escapes, found.overkills, found.freed) == (Split(1, 1), Split(1, 0), 0)
    assert found.more_rejected == 1


def test_pairs_of_other_shadows_say_nothing_of_this_one() -> None:
    assert of(pairs(9, OK, NG, model_id="another")).pairs == 0


def test_what_could_not_be_read_is_known_by_its_reason_whatever_the_recipe_makes_of_it() -> None:
    found = of(pairs(300, OK, OK), pairs(2, NG, NG, reason=Reason.ENGINE_FAILED), pairs(1, NG, NG))
    assert found.unread == 2


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, True),
        ({"outcome": UNSURE, "reason": Reason.UNQUALIFIED}, True),
        ({"outcome": ERROR, "reason": Reason.UNQUALIFIED}, False),
        ({"outcome": NG, "reason": Reason.CORRUPT}, False),
        ({"outcome": ERROR, "reason": Reason.CORRUPT}, False),
        ({"outcome": UNSURE, "reason": Reason.LATE}, False),
        ({"simulated": True}, False),
    ],
)
def test_the_shadow_is_asked_about_what_was_looked_at_alone(changes: dict[str, Any], asked: bool) -> None:
    assert is_compared(replace(VERDICT, **{"run": LIVE, "simulated": False, **changes})) is asked


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ([pairs(299, OK, OK)], "299 frames were compared, 300 are needed"),
        ([pairs(300, OK, OK), pairs(1, NG, OK, "dent")], "it alone passes 1 bad parts, what is in force alone 0"),
        ([pairs(300, OK, OK), pairs(1, NG, OK)], "1 frames that were rejected would pass, and nobody has decided"),
        ([pairs(300, OK, OK), pairs(4, OK, NG)], "it rejects 4 of 304 frames that passed and that nobody found bad"),
        (
            [pairs(300, OK, OK), pairs(1, OK, ERROR, reason=Reason.CORRUPT)],
            "it could not read or decide about 1 frames",
        ),
    ],
)
def test_what_is_not_enough_is_said_in_a_sentence(groups: list[list[ShadowCompared]], sentence: str) -> None:
    (why,) = lacking(of(*groups))
    assert why.startswith(sentence)


def test_more_rejects_up_to_a_share_are_no_reason() -> None:
    assert lacking(of(pairs(300, OK, OK), pairs(3, OK, NG))) == []
