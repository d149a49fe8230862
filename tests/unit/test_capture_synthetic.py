"""Synthetic cameras: the asked-for lines, views, shares and pace, the same for the same seed."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.capture.source import Clock, Shot
from streams.capture.surface import DEFECTS, GOOD
from streams.capture.synthetic import SyntheticOptions, SyntheticSource, trigger
from streams.errors import CallerError


def options(**changes: Any) -> SyntheticOptions:
    return SyntheticOptions(**{"width": 64, "height": 48} | changes)


async def shots_of(asked: SyntheticOptions) -> list[Shot]:
    return [shot async for shot in SyntheticSource(asked)]


async def test_every_line_station_camera_and_view_takes_its_pictures() -> None:
    shots = await shots_of(options(frames=2 * 3 * 2 * 2 * 5, lines=2, stations=3, cameras=2, views=2))
    assert set(Counter(s.camera for s in shots).values()) == {10}
    assert len({(s.camera.line, s.camera.station) for s in shots}) == 6
    views = defaultdict(list)
    for shot in shots:
        views[shot.part_id].append((shot.view, shot.views))
    assert len(views) == 30
    assert all(v == [(1, 4), (2, 4), (3, 4), (4, 4)] for v in views.values())


async def test_every_shot_says_that_it_is_synthetic_and_defects_tell_their_severity() -> None:
    for shot in await shots_of(options(frames=60, defect_share=0.5, severity=(0.2, 0.6))):
        assert shot.attributes["synthetic"] == "true"
        assert ("severity" in shot.attributes) == (shot.label != GOOD)
        assert shot.label == GOOD or 0.2 <= float(shot.attributes["severity"]) <= 0.6


def test_defects_come_in_their_share_and_all_kinds() -> None:
    labels = Counter(trigger(options(defect_share=0.2), n).part.label for n in range(3000))
    assert 0.17 < 1 - labels[GOOD] / 3000 < 0.23
    assert all(labels[d] > 70 for d in DEFECTS)
    assert {trigger(options(defect_share=0.0), n).part.label for n in range(100)} == {GOOD}


def test_a_bad_part_shows_its_defect_in_exactly_one_view() -> None:
    asked = options(defect_share=1.0, cameras=2, views=2)
    bad = Counter(trigger(asked, n).part_number for n in range(400) if trigger(asked, n).part.defect)
    assert set(bad.values()) == {1}
    assert len(bad) == 100


async def test_a_second_run_with_the_same_seed_shows_other_parts() -> None:
    """Else its parts would count as decided already."""
    runs = [
        SyntheticSource(options(frames=3), Clock(now=lambda at=at: datetime(2026, 3, 1, 6, 0, at, tzinfo=UTC)))
        for at in (0, 1)
    ]
    first, second = [[shot.part_id async for shot in run] for run in runs]
    assert len({*first, *second}) == 6


def test_the_seed_decides_everything() -> None:
    def plan(seed: int) -> list[object]:
        return [trigger(options(seed=seed), n).part for n in range(50)]

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


async def test_distinct_parts_are_drawn_once_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("streams.capture.synthetic.draw", lambda part, w, h: drawn.append(part) or _blank(w, h))
    shots = await shots_of(options(frames=100, distinct=5, views=2))
    assert len(drawn) == len(set(drawn)) == 10
    assert len({s.part_id for s in shots}) == 50


def _blank(width: int, height: int) -> Any:
    import numpy as np

    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.alone
async def test_parts_come_at_their_rate_in_bursts() -> None:
    # 12 parts, 40 a second, 4 at once: |xxxx      xxxx      xxxx   at 0, 100 and 200 ms
    start_s = time.monotonic()
    shots = await shots_of(options(frames=12, parts_per_s=40, burst=4, distinct=1))
    at_ms = [(s.triggered_s - shots[0].triggered_s) * 1000 for s in shots]
    assert at_ms[3] < 90 <= at_ms[4]
    assert at_ms[7] < 190 <= at_ms[8]
    assert time.monotonic() - start_s < 5


@pytest.mark.parametrize(
    "bad",
    [
        {"lines": 0},
        {"views": 0},
        {"burst": 0},
        {"parts_per_s": -1},
        {"defect_share": 1.1},
        {"severity": (0.5, 0.2)},
        {"severity": (0, 2)},
        {"skus": ()},
        {"quality": 0},
        {"frames": -1},
        {"width": 8},
    ],
)
def test_options_that_make_no_sense_are_the_callers_mistake(bad: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match="came"):
        options(**bad)
