"""Two runs over the same frames: what flips, in which groups, how scores shift, and what it costs. Pure.

`compare` gives plain figures; how they are shown is others' affair. The same inputs give the same figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.measures import mcnemar
from streams.replay.decided import Decisions, Pair, paired
from streams.replay.truth import Rates, Truths, difference, rates

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SLICES = ("camera", "view", "station", "day", "recipe_version")


@dataclass(frozen=True, slots=True)
class Flips:
    """Frames of a group: how many pass with one run alone, and McNemar's exact p for as uneven a split.

    `p_adjusted` is Holm's (1979) over all groups of one comparison; None for the whole.
    """

    group: str
    value: str
    pairs: int
    same: int
    passes_only_a: int
    passes_only_b: int
    p: float | None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """The defect score of B less that of A, over the frames that both scored."""

    n: int
    mean: float | None
    quantiles: Mapping[str, float]
    largest: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures of a comparison."""

    a: str
    b: str
    pairs: int
    left_out_a: Mapping[str, int]
    left_out_b: Mapping[str, int]
    only_a: int
    only_b: int
    matrix: Mapping[str, int]
    whole: Flips
    groups: tuple[Flips, ...]
    shift: Shift
    shifts: tuple[float, ...]  # the defect scores of B less those of A
    truth_by: str
    truth_n: int
    truth_left_out: int
    rates_a: Rates
    rates_b: Rates
    escape_difference: tuple[float, float, float] | None
    overkill_difference: tuple[float, float, float] | None
    flipped: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything but the single frames' scores."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("flipped", "shifts")}
        for name in ("whole", "shift"):
            plain[name] = asdict(plain[name])
        plain["groups"] = [asdict(group) for group in self.groups]
        for name in ("rates_a", "rates_b"):
            plain[name] = plain[name].to_json()
        flipped = [
            {"frame_id": p.a.key[0], "part_id": p.a.facts["part_id"], "a": p.a.outcome.value, "b": p.b.outcome.value}
            for p in self.flipped
        ]
        return {**plain, "flipped": flipped}


def compare(
    a: Decisions, b: Decisions, truths: Truths, *, intersect: bool = False, by: Sequence[str] = ()
) -> Comparison:
    """Compares the frames that both decided. CallerError for different frames without `intersect`."""
    pairs = paired(a, b, intersect)
    of_a = {pair.a.key: pair.a for pair in pairs}
    of_b = {pair.b.key: pair.b for pair in pairs}
    rates_a, rates_b = rates(of_a, truths), rates(of_b, truths)
    shifts = tuple(p.b.score - p.a.score for p in pairs if p.a.score is not None and p.b.score is not None)
    known = not rates_a.escape.why_not and not rates_b.escape.why_not
    return Comparison(
        a=a.run,
        b=b.run,
        pairs=len(pairs),
        left_out_a=a.left_out,
        left_out_b=b.left_out,
        only_a=len(a.seen - b.seen),
        only_b=len(b.seen - a.seen),
        matrix={f"{x}>{y}": n for (x, y), n in sorted(Counter((p.a.outcome, p.b.outcome) for p in pairs).items())},
        whole=flips_of("all", "all", pairs),
        groups=_groups(pairs, by),
        shift=_shift(shifts),
        shifts=shifts,
        truth_by=truths.by,
        truth_n=sum(pair.a.key in truths.of for pair in pairs),
        truth_left_out=truths.unknown_probability,
        rates_a=rates_a,
        rates_b=rates_b,
        escape_difference=difference(of_a, of_b, truths, bad=True) if known else None,
        overkill_difference=difference(of_a, of_b, truths, bad=False) if known else None,
        flipped=tuple(sorted((p for p in pairs if p.flips), key=_most_changed)),
    )


def flips_of(group: str, value: str, pairs: Sequence[Pair]) -> Flips:
    """The flips of some frames."""
    only_a = sum(pair.a.passes and not pair.b.passes for pair in pairs)
    only_b = sum(pair.b.passes and not pair.a.passes for pair in pairs)
    same = sum(not pair.flips for pair in pairs)
    return Flips(group, value, len(pairs), same, only_a, only_b, mcnemar(only_a, only_b))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979)."""
    order, highest = sorted(range(len(values)), key=lambda i: values[i]), 0.0
    adjusted = [0.0] * len(values)
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = highest
    return adjusted


def _groups(pairs: Sequence[Pair], by: Iterable[str]) -> tuple[Flips, ...]:
    kinds: dict[str, Callable[[Pair], str]] = {"class": lambda pair: pair.kind}
    for name in dict.fromkeys(("line", "sku", *SLICES, *by)):
        kinds[name] = lambda pair, name=name: str(pair.a.facts[name])  # type: ignore[misc]
    found: list[Flips] = []
    for group, value_of in kinds.items():
        members: dict[str, list[Pair]] = {}
        for pair in pairs:
            members.setdefault(value_of(pair), []).append(pair)
        if len(members) > 1 or group in ("class", "line", "sku", *by):
            found += [flips_of(group, value, members[value]) for value in sorted(members)]
    tested = [flips for flips in found if flips.p is not None]
    adjusted = dict(zip(map(id, tested), holm([flips.p for flips in tested if flips.p is not None]), strict=True))
    return tuple(_with(flips, adjusted.get(id(flips))) for flips in found)


def _with(flips: Flips, p_adjusted: float | None) -> Flips:
    return Flips(**{**asdict(flips), "p_adjusted": p_adjusted})


def _shift(shifts: Sequence[float]) -> Shift:
    if not shifts:
        return Shift(0, None, {}, None)
    quantiles = dict(zip((f"{q:g}" for q in QUANTILES), np.quantile(shifts, QUANTILES).tolist(), strict=True))
    return Shift(len(shifts), float(np.mean(shifts)), quantiles, max(shifts, key=abs))


def _most_changed(pair: Pair) -> tuple[bool, float, str]:
    """Frames that B lets pass first, then by how far their scores moved."""
    moved = abs((pair.b.score or 0.0) - (pair.a.score or 0.0))
    return not (pair.b.passes and not pair.a.passes), -moved, pair.a.key[0]
