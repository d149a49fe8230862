"""Which candidates become samples: never equal pixels, and as different as can be."""

from __future__ import annotations

import itertools
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.likeness import descriptor, near_hash, pixel_sha256
from schemas.records import Strategy
from streams.downstream.sampling.line import Shortlist
from streams.downstream.sampling.pools import Candidate, Pool
from streams.downstream.sampling.selection import Choice, Known, Look, choose
from tests.models_fixture import tiny_pictures
from tests.unit.test_sampling_line import judged

NOTHING = Known(frozenset(), ())


def look(*place: float, pixels: str | None = None, near: int = 0) -> Look:
    return Look(pixels or str(place), near or hash(place) & (2**64 - 1), np.array(place, np.float32))


def shortlist(count: int, most: int, strategy: Strategy = Strategy.UNCERTAIN) -> Shortlist:
    return Shortlist(strategy, most, tuple(Candidate(judged(n), strategy, "") for n in range(count)))


def chosen(
    looks: list[Look | None], most: int, known: Known = NOTHING, strategy: Strategy = Strategy.UNCERTAIN, bits: int = 0
) -> tuple[list[int], Choice]:
    candidates = shortlist(len(looks), most, strategy)
    by_id: dict[UUID, Look] = {
        c.verdict.verdict_id: seen for c, seen in zip(candidates.candidates, looks, strict=True) if seen
    }
    choice = choose(candidates, by_id, known, bits)
    return [pick.candidate.verdict.trigger_seq for pick in choice.picks], choice


def test_the_best_candidate_begins_and_the_farthest_follow() -> None:
    """Directions in degrees: 0 first, then 180, then 90; 5 lies beside 0."""
    looks: list[Look | None] = [look(1, 0), look(1, 0.1), look(0, 1), look(-1, 0)]
    assert chosen(looks, 3)[0] == [0, 3, 2]


def test_what_the_day_has_chosen_already_is_kept_away_from() -> None:
    looks: list[Look | None] = [look(1, 0.05), look(0, 1)]
    assert chosen(looks, 1, Known(frozenset(), [look(1, 0)]))[0] == [1]


def test_equal_pixels_are_chosen_once_and_never_again() -> None:
    looks: list[Look | None] = [look(1, 0, pixels="a"), look(1, 0, pixels="a", near=7), look(0, 1, pixels="b")]
    numbers, choice = chosen(looks, 3)
    assert (numbers, choice.equal) == ([0, 2], 1)
    assert chosen(looks, 3, Known({"a", "b"}, ()))[0] == []


def test_audits_are_as_drawn_but_for_equal_pixels() -> None:
    """Near pictures and likeness must not steer a random draw."""
    looks: list[Look | None] = [look(1, 0, near=1), look(1, 0.001, near=1), look(1, 0, pixels="x", near=1), None]
    looks.append(look(2, 0, pixels="x"))
    numbers, choice = chosen(looks, 5, Known(frozenset(), [look(1, 0, near=1)]), Strategy.PASS_AUDIT, bits=64)
    assert (numbers, choice.equal, choice.near) == ([0, 1, 2], 1, 0)


@pytest.mark.parametrize(("bits", "expected"), [(0, [0, 1]), (1, [0, 1]), (2, [0])])
def test_a_near_hash_within_the_limit_is_a_known_picture(bits: int, expected: list[int]) -> None:
    looks: list[Look | None] = [look(1, 0, near=0b1000), look(0, 1, near=0b1011)]
    assert chosen(looks, 2, bits=bits)[0] == expected
    earlier = Known(frozenset(), [look(5, 5, near=0b1000)])
    assert len(chosen(looks[1:], 1, earlier, bits=bits)[0]) == len(expected) - 1


def test_what_a_person_corrected_is_chosen_however_like_another_picture_it_is() -> None:
    """Parts in a fixture have one near hash, whatever their defects."""
    looks: list[Look | None] = [look(1, 0, near=1), look(1, 0.01, near=1), look(1, 0, pixels="x", near=1)]
    looks.append(look(2, 0, pixels="x", near=1))
    earlier = Known(frozenset(), [look(5, 5, near=1)])
    numbers, choice = chosen(looks, 4, earlier, Strategy.CORRECTED, bits=4)
    assert (sorted(numbers), choice.equal, choice.near) == ([0, 1, 2], 1, 0)
    assert chosen(looks, 4, earlier, Strategy.UNCERTAIN, bits=4)[0] == []


def test_a_candidate_without_a_picture_is_passed_over() -> None:
    assert chosen([None, look(1, 0)], 2)[0] == [1]


places = st.lists(st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)), min_size=1, max_size=12)


@given(places, st.integers(0, 12), st.sampled_from([Strategy.PASS_AUDIT, Strategy.RARE]))
def test_whatever_comes_the_budget_is_kept_no_pixels_are_equal_and_the_choice_is_the_same_again(
    where: list[tuple[float, float]], most: int, strategy: Strategy
) -> None:
    looks: list[Look | None] = [look(*place) for place in where]
    numbers, choice = chosen(looks, most, strategy=strategy)
    assert len(numbers) <= most
    assert len({pick.look.pixel_sha256 for pick in choice.picks}) == len(numbers)
    assert chosen(looks, most, strategy=strategy)[0] == numbers


@given(st.lists(st.floats(0, 6.28), min_size=4, max_size=9, unique=True), st.integers(2, 3))
def test_the_choice_covers_at_most_twice_as_badly_as_the_best_one(angles: list[float], most: int) -> None:
    """Gonzalez 1985: greedy k-center is a 2-approximation."""
    points = [np.array([np.cos(a), np.sin(a)], np.float32) for a in angles]

    def radius(centres: tuple[int, ...] | list[int]) -> float:
        return max(min(float(np.linalg.norm(p - points[c])) for c in centres) for p in points)

    looks: list[Look | None] = [look(*p, pixels=str(n), near=n + 1) for n, p in enumerate(points)]
    numbers, _ = chosen(looks, most)
    best = min(radius(centres) for centres in itertools.combinations(range(len(points)), most))
    assert radius(numbers) <= 2 * best + 1e-4


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 15)), max_size=60), st.integers(1, 6))
def test_a_pool_keeps_the_best_of_different_files(items: list[tuple[int, int]], size: int) -> None:
    pool, best = Pool(size), dict[str, tuple[int, int]]()
    for number, (rank, file) in enumerate(items):
        candidate = Candidate(judged(number, image_sha256=f"{file:064x}"), Strategy.RARE, "")
        pool.add((rank, number), candidate)
        best[f"{file:064x}"] = min(best.get(f"{file:064x}", (99, 0)), (rank, number))
    assert [c.verdict.trigger_seq for c in pool] == [number for _, number in sorted(best.values())[:size]]


def test_likeness_tells_pixels_apart_and_says_when_pictures_look_the_same() -> None:
    one, other = tiny_pictures(2)
    lighter = np.clip(one.astype(int) + 1, 0, 255).astype(np.uint8)
    assert pixel_sha256(one) == pixel_sha256(one.copy()) != pixel_sha256(lighter)
    assert pixel_sha256(one[:16]) != pixel_sha256(one[:, :16].copy())
    assert (near_hash(one) ^ near_hash(lighter)).bit_count() <= 4 < (near_hash(one) ^ near_hash(other)).bit_count()
    assert descriptor(one).shape == (192,)
    assert (
        np.linalg.norm(descriptor(one) - descriptor(lighter))
        < 0.1
        < np.linalg.norm(descriptor(one) - descriptor(other))
    )
