"""What settings and options the sampler takes, and what it says of those it doesn't."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.records import Strategy
from streams.commands.sampler import SamplerOptions, parse_time, plan_of, run_sampler
from streams.downstream.sampling.plan import ORDER
from streams.errors import CallerError
from streams.settings import Settings


def test_the_default_settings_are_a_plan_of_every_strategy() -> None:
    plan = plan_of(Settings(), None)
    assert set(plan.shares) == set(ORDER)
    assert sum(map(plan.of_day, ORDER)) == plan.budget == 50
    assert plan_of(Settings(), 7).seed == 7


def test_strategies_without_a_share_are_not_sampled() -> None:
    plan = plan_of(dataclasses.replace(Settings(), sample_shares=" PASS_AUDIT = 0.5 ,RARE=0.25"), None)
    assert plan.shares == {Strategy.PASS_AUDIT: 0.5, Strategy.RARE: 0.25}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"sample_shares": ""}, "must name each of PASS_AUDIT, .* once at most; came ''"),
        ({"sample_shares": "UNKNOWN=0.1"}, "once at most; came 'UNKNOWN=0.1'"),
        ({"sample_shares": "RARE=0.1,RARE=0.2"}, "once at most; came 'RARE=0.2'"),
        ({"sample_shares": "RARE"}, "needs RARE=0.1 or another share; came 'RARE'"),
        ({"sample_shares": "RARE=much"}, "needs RARE=0.1 or another share"),
        ({"sample_shares": "RARE=0.7,UNCERTAIN=0.7"}, "1 together at most; came RARE=0.7, UNCERTAIN=0.7"),
        ({"sample_shares": "RARE=nan"}, "none below 0"),
        ({"sample_period_s": 7}, "a period that divides the day"),
        ({"sample_budget_per_line": 0}, "a budget of at least 1"),
        ({"sample_near_bits": -1}, "0 to 64 bits"),
    ],
)
def test_settings_that_are_no_plan_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(CallerError, match=match):
        plan_of(dataclasses.replace(Settings(), **settings), None)


@pytest.mark.parametrize("options", [{"dry_run": True}, {"until": "1h"}])
async def test_a_dry_run_and_an_end_go_with_once(options: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match="go with --once"):
        await run_sampler(Settings(), SamplerOptions(**options), lambda: None)


@pytest.mark.parametrize("text", ["17", "latest", "0:5", "yesterday"])
def test_what_is_no_time_is_refused_in_the_options_own_name(text: str) -> None:
    with pytest.raises(CallerError, match=f"--since needs a time such as .* came '{text}'"):
        parse_time("--since", text)


def test_times_are_taken_as_they_are_elsewhere() -> None:
    assert parse_time("--since", None) is None
    assert parse_time("--since", "2026-03-01T12:00Z") == datetime(2026, 3, 1, 12, tzinfo=UTC)
    ago = parse_time("--since", "2d")
    assert ago is not None
    assert ago.tzinfo is not None
