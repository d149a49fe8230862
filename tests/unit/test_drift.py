"""Drift: quiet windows stay quiet, what is broken is noticed soon, and what is over ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from models.reference import Reference, Told, quantiles_of
from schemas.records import AlarmKind, CameraReference, FigureReference, Outcome, Reason
from streams.downstream.drift.comparison import Usual, compare, sure
from streams.downstream.drift.figures import NAMES, SCORE, matters, told
from streams.downstream.drift.product import alpha_of
from streams.downstream.drift.rejects import Rejects
from streams.downstream.drift.stuck import RUNNING
from streams.downstream.drift.watch import LESSON, State, Watch
from streams.downstream.drift.window import SIZES
from streams.inspection.recipes import RecipeBook
from tests.drifting import AT, SKU, Pixels, blurred, darkened, feed, frames, moved, seen, shot


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def taught(rng: np.random.Generator, **options: Any) -> tuple[Watch, int]:
    """A watch that knows the camera, and the number of its next frame."""
    watch = Watch(RecipeBook(), **options)
    assert feed(watch, 0, frames(rng, LESSON)) == []
    return watch, LESSON


# --- the tests themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["normal", "exponential", "uniform", "two values"])
@pytest.mark.parametrize("size", SIZES)
def test_a_quiet_window_of_any_size_and_shape_is_seldom_called_otherwise(shape: str, size: int) -> None:
    rng, called = np.random.default_rng(size), 0
    draws: dict[str, Callable[[int], Any]] = {
        "normal": lambda n: rng.normal(size=n),
        "exponential": lambda n: rng.exponential(size=n),
        "uniform": lambda n: rng.uniform(size=n),
        "two values": lambda n: rng.integers(0, 2, n),
    }
    draw = draws[shape]
    for _ in range(300):
        usual = {name: Usual(quantiles_of(draw(LESSON)), LESSON) for name in NAMES}
        shifts = {name: compare(draw(size).astype(float), usual[name]) for name in NAMES}
        called += bool(sure(shifts, 0.05))
    assert called / 300 <= 0.09, "0.05 and what 300 tries may add"


def test_the_smaller_a_shift_the_larger_the_window_that_is_sure_of_it() -> None:
    def evenly(count: int) -> np.ndarray:
        return np.array([NormalDist().inv_cdf((n + 0.5) / count) for n in range(count)])

    usual = Usual(quantiles_of(evenly(LESSON)), LESSON)
    found = {
        shift: [size for size in SIZES if compare(evenly(size) + shift, usual).p < alpha_of(size) / len(NAMES)]
        for shift in (0.05, 0.35, 0.5, 0.7, 1.0)
    }
    assert found == {0.05: [], 0.35: [1000], 0.5: [200, 1000], 0.7: [100, 200, 1000], 1.0: list(SIZES)}


def test_another_spread_with_the_same_middle_is_found(rng: np.random.Generator) -> None:
    usual = Usual(quantiles_of(rng.normal(size=LESSON)), LESSON)
    assert compare(rng.normal(0, 4, 200), usual).p < 1e-6


def test_what_is_sure_but_next_to_nothing_does_not_matter(rng: np.random.Generator) -> None:
    usual = Usual(quantiles_of(rng.normal(0.5, 0.001, LESSON)), LESSON)
    less, far = compare(rng.normal(0.495, 0.001, 1000), usual), compare(rng.normal(0.45, 0.001, 1000), usual)
    assert less.p < 1e-12
    assert not matters("brightness", less, usual)
    assert matters("brightness", far, usual)
    assert told("brightness", far, usual) == "brightness 0.45, usual 0.499 to 0.501: is the light weaker?"


def test_figures_that_are_often_equal_are_no_shift_because_of_their_digits(rng: np.random.Generator) -> None:
    def counted(count: int) -> np.ndarray:
        """Shares of 4,131 levels, as few as those that are clipped."""
        found = frames(rng, count)
        found[:, 3] = rng.poisson(2, count) / 4131
        return found

    watch = Watch(RecipeBook())
    assert feed(watch, 0, counted(LESSON)) == []
    _, product = next(iter(watch.products))
    assert feed(watch, LESSON, counted(1000)) == []
    assert product.shifts(1000)["clipped"][0].effect < 0.1


def test_a_reference_below_a_limit_is_that_of_the_parts_below_it(rng: np.random.Generator) -> None:
    values = rng.uniform(size=2000)
    usual = Usual(quantiles_of(values), 2000).below(0.5)
    assert usual.frames == pytest.approx(1000, abs=60)
    assert usual.quantiles[-1] == pytest.approx(0.5, abs=0.01)
    assert compare(rng.uniform(0, 0.5, 1000), usual).p > 0.01
    assert Usual((0.6, 0.7), 100).below(0.5).quantiles == ()


# --- cameras ----------------------------------------------------------------------------------------------------------


def test_quiet_windows_of_real_figures_raise_nothing(rng: np.random.Generator) -> None:
    alarms = 0
    for _ in range(10):
        watch, first = taught(rng)
        alarms += len(feed(watch, first, frames(rng, 1000)))
    assert alarms == 0


@pytest.mark.parametrize(
    ("look", "says"), [(blurred, "out of focus?"), (darkened, "weaker?"), (moved, "has the camera or the part moved?")]
)
def test_a_broken_camera_is_noticed_within_a_hundred_frames_and_ends_when_it_is_mended(
    look: Callable[[Pixels], Pixels], says: str, rng: np.random.Generator
) -> None:
    watch, first = taught(rng)
    assert feed(watch, first, frames(rng, 230)) == []
    ((number, state),) = feed(watch, first + 230, frames(rng, 150, look, first=1000))
    assert number <= 100
    assert (state.alarm.kind, state.alarm.subject) == (AlarmKind.PICTURE_DRIFT, "p1/l1/s1/c1")
    assert state.alarm.detail.startswith(f"{SKU}: ")
    assert says in state.alarm.detail
    assert 0 < state.alarm.limit <= state.alarm.value <= 1  # type: ignore[operator]
    assert [v.source_offset for v in state.shown] == [first + 230 + number - n for n in (4, 3, 2, 1)]
    ((number, over),) = feed(watch, first + 380, frames(rng, 1200))
    assert number <= 250
    assert over.alarm.alarm_id == state.alarm.alarm_id
    assert over.alarm.cleared is not None


def test_the_camera_of_a_line_that_only_collects_is_watched_too(rng: np.random.Generator) -> None:
    watch, collected = Watch(RecipeBook()), {"outcome": Outcome.ERROR, "reason": Reason.UNQUALIFIED}
    assert feed(watch, 0, frames(rng, LESSON), **collected) == []
    raised = feed(watch, LESSON, frames(rng, 100, darkened), **collected)
    assert [state.alarm.kind for _, state in raised] == [AlarmKind.PICTURE_DRIFT]


def test_another_product_has_a_reference_of_its_own(rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    assert feed(watch, first, frames(rng, 1000, darkened), sku="other") == []


def test_a_frozen_camera_is_noticed_at_once_and_tells_nothing_of_light(rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    same = frames(rng, 1)[0]
    ((number, state),) = feed(watch, first, [same] * 300, image_sha256="ab" * 32)
    assert (number, state.alarm.kind) == (RUNNING, AlarmKind.CAMERA_STUCK)
    ((number, over),) = feed(watch, first + 300, frames(rng, 60))
    assert number <= 2 * RUNNING
    assert over.alarm.cleared is not None


def test_the_same_figures_in_another_file_are_the_same_picture_unless_it_is_dark(rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    ((number, state),) = feed(watch, first, [frames(rng, 1)[0]] * 20)
    assert (number, state.alarm.kind) == (RUNNING, AlarmKind.CAMERA_STUCK)
    dark = Watch(RecipeBook())
    assert feed(dark, 0, [(0.0, 0.0, 0.0, 1.0, 0.5, 0.5)] * 20) == []


def test_old_pictures_that_come_again_are_noticed_unless_their_label_says_that_it_is_a_demo(
    rng: np.random.Generator,
) -> None:
    rows = frames(rng, 40)
    for label, kinds in ((None, [AlarmKind.CAMERA_STUCK]), ("good", [])):
        watch, states = Watch(RecipeBook()), []
        for number in range(120):
            at, again = AT + timedelta(seconds=number), number % 40
            frame = shot(number, rows[again], image_sha256=f"{again:016x}" * 4, label=label)
            states += watch.take(frame, at)
        assert [state.alarm.kind for state in states if isinstance(state, State)] == kinds


@pytest.mark.parametrize(
    "changes",
    [
        {"simulated": True},
        {"run": "trial-7"},
        {"attempt": 2},
        {"outcome": Outcome.ERROR, "reason": Reason.CORRUPT},
        {"outcome": Outcome.NG, "reason": Reason.CORRUPT},
        {"outcome": Outcome.NG, "reason": Reason.LATE},
        {"camera": "a/b"},
    ],
)
def test_what_tells_nothing_of_a_camera_raises_nothing(changes: dict[str, Any], rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    assert feed(watch, first, frames(rng, 200, blurred), **changes) == []


def test_figures_that_are_no_numbers_are_not_known(rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    assert feed(watch, first, [(float("nan"), float("inf"), 0.1, 0.0, float("nan"), 0.5)] * 3) == []


# --- references -------------------------------------------------------------------------------------------------------


def references(watch: Watch, first: int, rows: np.ndarray, **changes: Any) -> list[CameraReference]:
    found = []
    for number, row in enumerate(rows):
        at = AT + timedelta(seconds=first + number)
        found += [n for n in watch.take(shot(first + number, row, **changes), at) if isinstance(n, CameraReference)]
    return found


def test_the_first_frames_become_the_reference_and_a_restart_goes_on_with_it(rng: np.random.Generator) -> None:
    (learned,) = references(Watch(RecipeBook()), 0, frames(rng, 700))
    assert (learned.frames, learned.taught_by, len(learned.figures)) == (LESSON, "drift", 6)
    assert (learned.first_at, learned.last_at) == (AT, AT + timedelta(seconds=LESSON - 1))
    after = Watch(RecipeBook())
    after.teach(learned)
    assert references(after, 700, frames(rng, 100)) == []
    ((number, _),) = feed(after, 800, frames(rng, 60, blurred))
    assert number <= 60


def test_a_person_teaches_it_anew_and_what_was_before_counts_no_more(rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    ((_, raised),) = feed(watch, first, frames(rng, 300, darkened))
    (new,) = references(Watch(RecipeBook()), 0, frames(rng, LESSON, darkened))
    watch.teach(dataclasses.replace(new, taught_by="ana"))
    ((number, over),) = feed(watch, first + 300, frames(rng, 1500, darkened))
    assert number <= 60
    assert over.alarm.alarm_id == raised.alarm.alarm_id
    assert over.alarm.cleared is not None


def test_a_restart_finds_its_alarm_standing_and_looks_at_old_frames_without_a_word(rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    bad = frames(rng, 100, blurred)
    ((_, state),) = feed(watch, first, bad)
    after = Watch(RecipeBook())
    scope, _ = next(iter(watch.products))
    reference = watch.taught(scope)
    assert reference is not None
    after.teach(reference)
    after.stand(state.alarm)
    for number, row in enumerate(bad):
        assert after.remember(shot(first + number, row), AT) == []
    assert feed(after, first + 100, frames(rng, 100, blurred)) == []
    ((_, over),) = feed(after, first + 200, frames(rng, 300))
    assert (over.alarm.alarm_id, over.alarm.since) == (state.alarm.alarm_id, state.alarm.since)


@pytest.mark.parametrize(
    "figure",
    [
        FigureReference(name="smell", quantiles=(0.0, 1.0)),
        FigureReference(name="contrast", quantiles=(1.0, 0.0)),
        FigureReference(name="contrast", quantiles=(0.0, float("nan"))),
        FigureReference(name="contrast", quantiles=()),
    ],
)
def test_a_reference_that_cannot_be_one_is_refused(figure: FigureReference, rng: np.random.Generator) -> None:
    (learned,) = references(Watch(RecipeBook()), 0, frames(rng, LESSON))
    with pytest.raises(ValueError, match="no figure with ascending quantiles"):
        Watch(RecipeBook()).teach(dataclasses.replace(learned, figures=(figure,)))


# --- scores and rejects -----------------------------------------------------------------------------------------------


def scores(watch: Watch, first: int, said: np.ndarray) -> list[tuple[int, State]]:
    """OK verdicts with these scores of all defects together."""
    found = []
    for number, score in enumerate(map(float, said)):
        frame = shot(first + number, frames(RNG, 1)[0], scores={"good": 1 - score, "dent": score}, model_id="m1")
        notices = watch.take(frame, AT + timedelta(seconds=first + number))
        found += [(number + 1, notice) for notice in notices if isinstance(notice, State)]
    return found


RNG = np.random.default_rng(3)


def test_scores_are_held_against_the_models_own_and_without_them_against_its_first_frames(
    rng: np.random.Generator,
) -> None:
    def good(count: int, scale: float = 0.03) -> np.ndarray:
        return rng.exponential(scale, count).clip(max=0.45)

    known, unknown = Watch(RecipeBook()), Watch(RecipeBook())
    reference = Reference(400, quantiles_of(good(400)))
    known.know(Told("m1", frozenset({"dent"}), 0.4, reference))
    ((number, state),) = scores(known, 0, good(100, 0.2))
    assert (number, state.alarm.kind) == (50, AlarmKind.SCORE_DRIFT), "it need not learn first"
    assert f"{SCORE} " in state.alarm.detail
    assert scores(unknown, 0, good(2 * LESSON + 200)) == []
    ((number, state),) = scores(unknown, 2 * LESSON + 200, good(120, 0.2))
    assert number <= 100
    assert state.alarm.kind is AlarmKind.SCORE_DRIFT


def rejected(watch: Watch, first: int, count: int, every: int, rows: np.ndarray) -> list[tuple[int, State]]:
    """Of `count` frames each `every`-th is rejected; none for 0."""
    found = []
    for number in range(count):
        outcome = Outcome.NG if every and number % every == 0 else Outcome.OK
        frame = shot(first + number, rows[number % len(rows)], outcome=outcome, reason=Reason.SCORE)
        found += [
            (number + 1, notice)
            for notice in watch.take(frame, AT + timedelta(seconds=first + number))
            if isinstance(notice, State) and notice.alarm.kind is AlarmKind.NO_REJECTS
        ]
    return found


def test_an_hour_without_rejects_where_they_were_usual_is_told_and_the_next_one_ends_it(
    rng: np.random.Generator,
) -> None:
    watch, rows = Watch(RecipeBook()), frames(rng, 400)
    assert rejected(watch, 0, 4000, 50, rows) == []
    ((number, state),) = rejected(watch, 4000, 4000, 0, rows)
    assert 3500 <= number <= 3610, "an hour after the last"
    assert state.alarm.detail.startswith(f"{SKU}: no reject among 3600 frames since 2026-03-02 07:05 UTC, usual ")
    ((number, over),) = rejected(watch, 8000, 20, 50, rows)
    assert number == 1
    assert over.alarm.cleared is not None


@pytest.mark.parametrize("every", [0, 3600, 20_000])
def test_rejects_that_were_never_usual_are_not_missed_after_an_hour(every: int) -> None:
    watched, at = Rejects(timedelta(hours=1)), AT
    for number in range(40_000):
        at += timedelta(seconds=1)
        watched.take(bool(every) and number % every == every - 1, at)
        assert not (number % 100 == 0 and watched.are_missing(at))


def test_a_break_of_the_line_is_no_hour_without_rejects() -> None:
    watched, at = Rejects(timedelta(hours=1)), AT
    for number in range(4000):
        at += timedelta(seconds=1)
        watched.take(number % 50 == 0, at)
    watched.take(False, at + timedelta(hours=8))
    assert not watched.are_missing(at + timedelta(hours=8))


def test_real_pictures_seen_as_they_are_say_nothing(rng: np.random.Generator) -> None:
    watch, first = taught(rng)
    assert feed(watch, first, frames(rng, 100, seen, first=1000)) == []
