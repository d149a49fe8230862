"""Decisions that stand and claims that hold: the two folds under the board."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import ReworkFinding, ReworkOutcome
from streams.downstream.rework.chains import Chains, Standing
from streams.downstream.rework.claims import TTL_MAX_MS, Claims
from streams.downstream.sampling.estimates import effective
from tests.rework import at, claim, key, outcome, read, verdict_id

FINDINGS = (ReworkFinding.CONFIRMED, ReworkFinding.FALSE_REJECT, ReworkFinding.WITHDRAWN)


@st.composite
def logs(draw: Any) -> list[ReworkOutcome]:
    """Outcomes of two verdicts in both reviews, which supersede whatever came before, and copies."""
    log: list[ReworkOutcome] = []
    for n in range(draw(st.integers(0, 12))):
        before = draw(st.sampled_from([None, *range(n)]))
        fields = {"finding": draw(st.sampled_from(FINDINGS)), "review": draw(st.sampled_from((1, 2)))}
        name = str(draw(st.sampled_from([n, before or 0])))
        log.append(outcome(draw(st.sampled_from((1, 2))), name, None if before is None else str(before), **fields))
    return log


@given(logs())
def test_what_stands_is_what_the_rule_of_the_estimates_says(log: list[ReworkOutcome]) -> None:
    chains = Chains()
    for offset, record in enumerate(log):
        chains.add(read(record, offset))
    for review in (1, 2):
        found = {verdict_id(n): chains.decision(key(n, review)) for n in (1, 2)}
        assert {v: decision for v, decision in found.items() if decision} == effective(log, review)


def test_an_outcome_that_comes_again_changes_nothing() -> None:
    chains = Chains()
    for offset, name in enumerate("aba"):
        chains.add(read(outcome(1, name, "a" if name == "b" else None), offset))
    assert chains.decision(key(1)) == outcome(1, "b", "a")
    standings = [standing for _, _, standing in chains.history(key(1))]
    assert standings == [Standing.SUPERSEDED, Standing.STANDS, Standing.NEVER_COUNTED]


def holders(*claims: tuple[float, Any], asked_at: float, n: int = 1) -> str | None:
    fold = Claims()
    for offset, (seconds, record) in enumerate(claims):
        fold.add(read(record, offset, seconds))
    held = fold.holder(key(n), at(asked_at))
    return held.operator if held else None


def test_of_overlapping_claims_the_earliest_wins() -> None:
    assert holders((0, claim(1, "ana")), (1, claim(1, "bob")), asked_at=2) == "ana"


def test_a_claim_that_lost_does_not_come_to_life_when_the_holder_goes() -> None:
    """ana |-----x  (released); bob asked while she held it and was told so: he holds nothing."""
    released = claim(1, "ana", released=True)
    assert holders((0, claim(1, "ana")), (1, claim(1, "bob")), (2, released), asked_at=3) is None
    assert holders((0, claim(1, "ana")), (2, released), (4, claim(1, "bob")), asked_at=5) == "bob"


def test_the_holders_next_claim_extends_the_hold() -> None:
    """ana |----60 s----; again at 50 s: until 110 s, so that bob's at 70 s loses."""
    claims = ((0, claim(1, "ana")), (50, claim(1, "ana")), (70, claim(1, "bob")))
    assert holders(*claims, asked_at=109) == "ana"
    assert holders(*claims, asked_at=110) is None


def test_after_its_time_a_claim_gives_way() -> None:
    assert holders((0, claim(1, "ana")), (60, claim(1, "bob")), asked_at=61) == "bob"


def test_only_the_holder_releases() -> None:
    stolen = claim(1, "bob", claim_id=claim(1, "ana").claim_id, released=True)
    assert holders((0, claim(1, "ana")), (1, stolen), asked_at=2) == "ana"


def test_the_same_operator_at_another_rework_station_is_somebody_else() -> None:
    elsewhere = claim(1, "ana", rework_station="R9")
    fold = Claims()
    fold.add(read(claim(1, "ana")))
    fold.add(read(elsewhere, 1, 1))
    assert fold.holder(key(1), at(2)) == claim(1, "ana")


def test_no_claim_holds_for_ever_or_into_the_past() -> None:
    assert holders((0, claim(1, "ana", ttl_ms=2**62)), asked_at=TTL_MAX_MS / 1000) is None
    assert holders((0, claim(1, "ana", ttl_ms=-(2**62))), asked_at=0) is None
