"""Splits: whole groups, even in every stratum, the same for the same seed."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.dataset import Split
from models.splitting import Stratum, assign

SHARES: dict[Split, float] = {"train": 0.7, "validation": 0.15, "test": 0.15}
PLACES = st.lists(
    st.tuples(st.integers(0, 40).map(lambda n: f"P{n}"), st.sampled_from("abc").map(lambda s: (s,))), max_size=120
)


@given(PLACES, st.integers(0, 5))
def test_each_group_has_one_split_and_seeds_alone_decide(places: list[tuple[str, Stratum]], seed: int) -> None:
    homes = assign(places, SHARES, seed)
    assert homes.keys() == {group for group, _ in places}
    assert homes == assign(reversed(places), SHARES, seed)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 5))
def test_every_stratum_is_shared_out_to_the_nearest_whole_and_so_is_all_of_it(sizes: list[int], seed: int) -> None:
    places = [(f"{s}-{n}", (str(s),)) for s, size in enumerate(sizes) for n in range(size)]
    homes = assign(places, SHARES, seed)
    of: dict[str, Counter[str]] = defaultdict(Counter)
    for group, split in homes.items():
        of[group.partition("-")[0]][split] += 1
    for s, size in enumerate(sizes):
        for split, share in SHARES.items():
            assert abs(of[str(s)][split] - size * share) < len(SHARES), "whole groups, and what others are owed"
    total = Counter(homes.values())
    assert all(abs(total[split] - sum(sizes) * share) <= 1 + 1e-9 for split, share in SHARES.items())


def test_a_part_with_one_bad_view_among_good_ones_is_spread_with_the_bad_parts() -> None:
    places = [(f"G{n}", ("good",)) for n in range(80)] + [(f"B{n}", ("scratch",)) for n in range(20)]
    places += [(f"B{n}", ("good",)) for n in range(20)]
    homes = assign(places, {"train": 0.5, "test": 0.5}, 1)
    assert Counter(homes[f"B{n}"] for n in range(20)) == {"train": 10, "test": 10}


def test_another_seed_gives_another_split() -> None:
    places = [(f"P{n}", ("good",)) for n in range(100)]
    assert assign(places, SHARES, 1) != assign(places, SHARES, 2)


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}])
def test_shares_that_are_none_are_refused(shares: dict[Split, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        assign([("P1", ("good",))], shares, 0)
