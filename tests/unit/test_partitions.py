"""The one partition count of all topics keyed by station: what is right, what can be worked with, what is refused."""

from __future__ import annotations

import pytest

from streams.errors import CallerError
from streams.partitions import Plan, advice, findings, plan

FRAMES = "x.frames"


def counts(frames: int, verdicts: int, parts: int) -> dict[str, int]:
    return {FRAMES: frames, "x.verdicts": verdicts, "x.parts": parts}


def test_as_many_as_configured_are_right() -> None:
    assert findings(counts(4, 4, 4), 4) == []
    assert advice(counts(4, 4, 4), 4) is None


def test_more_than_configured_on_all_is_where_a_growth_ended_and_only_the_setting_is_old() -> None:
    assert findings(counts(6, 6, 6), 4) == []
    assert advice(counts(6, 6, 6), 4) == (
        "the topics keyed by station have 6 partitions: set LINESIDE_PARTITIONS=6 (is 4)"
    )


def test_fewer_than_configured_are_refused_with_both_ways_out() -> None:
    found = findings(counts(4, 4, 4), 12)
    assert [(f.came, f.expected, f.refused) for f in found] == [(4, 12, True)] * 3
    assert {f.fix for f in found} == {"run `lineside topics --grow 12`, or set LINESIDE_PARTITIONS=4"}


@pytest.mark.parametrize(
    ("there", "short"),
    [
        pytest.param(counts(6, 4, 4), ["x.verdicts", "x.parts"], id="frames grown behind our back"),
        pytest.param(counts(4, 6, 4), [FRAMES, "x.parts"], id="a growth that broke off"),
        pytest.param(counts(4, 6, 6), [FRAMES], id="a growth under way"),
    ],
)
def test_counts_that_differ_are_told_with_the_fix_but_do_not_stop_what_can_work(
    there: dict[str, int], short: list[str]
) -> None:
    found = findings(there, 4)
    assert [f.topic for f in found] == short
    assert {(f.expected, f.fix, f.refused) for f in found} == {(6, "run `lineside topics --grow 6`", False)}
    assert advice(there, 4) is None


def test_a_fix_never_names_fewer_partitions_than_configured() -> None:
    assert {f.fix for f in findings(counts(6, 4, 4), 8)} == {"run `lineside topics --grow 8`"}


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param(counts(4, 4, 4), Plan(6, {"x.verdicts": 4, "x.parts": 4}, {FRAMES: 4}, None), id="all"),
        pytest.param(counts(4, 6, 4), Plan(6, {"x.parts": 4}, {FRAMES: 4}, None), id="what an earlier run left"),
        pytest.param(counts(4, 6, 6), Plan(6, {}, {FRAMES: 4}, None), id="frames alone are left"),
        pytest.param(counts(6, 6, 6), Plan(6, {}, {}, None), id="nothing"),
        pytest.param(counts(6, 4, 5), Plan(6, {"x.verdicts": 4, "x.parts": 5}, {}, 4), id="behind our back"),
        pytest.param(
            counts(5, 4, 4), Plan(6, {"x.verdicts": 4, "x.parts": 4}, {FRAMES: 5}, 4), id="behind our back, and more"
        ),
    ],
)
def test_only_what_is_short_grows_and_frames_come_last(there: dict[str, int], expected: Plan) -> None:
    assert plan(there, [FRAMES], 6) == expected


def test_what_kafka_can_not_do_is_refused() -> None:
    with pytest.raises(CallerError, match=r"x\.verdicts has 8 partitions and Kafka takes none away; came --grow 6"):
        plan(counts(4, 8, 4), [FRAMES], 6)
    with pytest.raises(CallerError, match=r"there is no topic x\.parts; create it with `lineside topics --create`"):
        plan(counts(4, 4, 0), [FRAMES], 6)
