"""Splits of a data set: whole groups, evenly in every stratum. Pure.

Place in the flow: `lineside dataset split`. A group is what must not be torn: a part, a lot, a day. Without this a
part's split is its id's alone (`models.dataset.split_of`), which needs no list of parts and never changes, but is even
only for many.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from models.dataset import Split

Stratum = tuple[str, ...]


def assign(places: Iterable[tuple[str, Stratum]], shares: Mapping[Split, float], seed: int) -> dict[str, Split]:
    """The split of each group, from (group, stratum) of every picture.

    A group with pictures of several strata counts for the rarest, so that parts with a defect are spread whatever their
    good views are. In each stratum the splits take groups as `shares` (which add up to 1) say, to the nearest whole;
    what is over goes where most is missing of all strata so far. Equal arguments give equal splits.
    """
    if not shares or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"expected shares of 0 or more that add up to 1; came {dict(shares)}")
    members = _by_stratum(places)
    homes: dict[str, Split] = {}
    owed: dict[Split, float] = dict.fromkeys(shares, 0.0)
    for stratum in sorted(members, key=lambda stratum: (len(members[stratum]), stratum)):
        groups = sorted(members[stratum], key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
        start = 0
        for split, count in _quotas(len(groups), shares, owed).items():
            homes |= dict.fromkeys(groups[start : start + count], split)
            start += count
    return homes


def _by_stratum(places: Iterable[tuple[str, Stratum]]) -> Mapping[Stratum, Sequence[str]]:
    of_group: dict[str, set[Stratum]] = defaultdict(set)
    for group, stratum in places:
        of_group[group].add(stratum)
    common = Counter(stratum for strata in of_group.values() for stratum in strata)
    members: dict[Stratum, list[str]] = defaultdict(list)
    for group, strata in of_group.items():
        members[min(strata, key=lambda stratum: (common[stratum], stratum))].append(group)
    return members


def _quotas(total: int, shares: Mapping[Split, float], owed: dict[Split, float]) -> dict[Split, int]:
    """Whole numbers that add up to `total`; `owed` is what each split has missed so far, and is carried on."""
    wanted = {split: total * share for split, share in shares.items()}
    counts = {split: int(count) for split, count in wanted.items()}
    for split in owed:
        owed[split] += wanted[split] - counts[split]
    for _ in range(total - sum(counts.values())):
        split = max(owed, key=lambda name: (round(owed[name], 9), shares[name]))
        counts[split] += 1
        owed[split] -= 1
    return counts
