"""The order in which open cases are offered. Pure.

Cases of one part stand together, at the place of the oldest or the worst of them. Parts without an id can only be
found by their place on the line: their order within a camera is that of trigger_seq. An index keeps a queue of
50,000 cases quick.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Literal

from streams.downstream.rework.cases import Case, CaseKey, Kind

Order = Literal["oldest", "worst"]
SortKey = tuple[float, str, float, bytes, int]
_Entry = tuple[SortKey, Case]


def _age(case: Case) -> float:
    return case.inspected_at.timestamp()


def _badness(case: Case) -> float:
    """Ascending, the worst first; a case without a score stands behind all that have one."""
    return 1.0 if case.score is None else -case.score


RANKS: dict[Order, Callable[[Case], float]] = {"oldest": _age, "worst": _badness}


class Queue:
    """The open cases in both orders. Sorting happens when asked for, on what is sorted already but for a few."""

    def __init__(self) -> None:
        self._cases: dict[CaseKey, Case] = {}
        self._groups: defaultdict[str, set[CaseKey]] = defaultdict(set)
        self._sorted = {order: _Sorted() for order in RANKS}
        self._kinds: Counter[Kind] = Counter()
        self._changed: set[str] = set()  # groups whose members must be placed anew
        self._asked: dict[Order, list[Case]] = {}  # since the last change

    def __contains__(self, key: CaseKey) -> bool:
        return key in self._cases

    def put(self, case: Case) -> None:
        if case.key in self._cases:
            return
        self._cases[case.key] = case
        self._kinds[case.kind] += 1
        self._groups[_group(case)].add(case.key)
        self._changed.add(_group(case))
        self._asked.clear()

    def drop(self, key: CaseKey) -> None:
        case = self._cases.pop(key, None)
        if case is None:
            return
        self._kinds[case.kind] -= 1
        for entries in self._sorted.values():
            entries.drop(key)
        group = _group(case)
        self._changed.add(group)
        self._asked.clear()
        self._groups[group].discard(key)
        if not self._groups[group]:
            del self._groups[group]

    def cases(self, order: Order) -> list[Case]:
        """All open cases in this order: the same list until something changes, not to be written to."""
        if order not in self._asked:
            for group in self._changed:
                self._place([self._cases[key] for key in self._groups.get(group, ())])
            self._changed.clear()
            cases = self._sorted[order].cases()
            self._asked[order] = _in_physical_order(cases) if order == "oldest" else cases
        return self._asked[order]

    def count(self, kind: Kind) -> int:
        return self._kinds[kind]

    def _place(self, members: list[Case]) -> None:
        for order, rank in RANKS.items():
            first = min(map(rank, members), default=0.0)
            for case in members:
                place = (first, _group(case), _age(case), case.verdict_id.bytes, case.review)
                self._sorted[order].put(place, case)


class _Sorted:
    """Entries by their place: what came and went since the last look is merged in at the next."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._new: list[_Entry] = []
        self._valid: dict[CaseKey, _Entry] = {}

    def put(self, place: SortKey, case: Case) -> None:
        known = self._valid.get(case.key)
        if known is None or known[1] is not case or known[0] != place:
            self._valid[case.key] = entry = (place, case)
            self._new.append(entry)

    def drop(self, key: CaseKey) -> None:
        self._valid.pop(key, None)

    def cases(self) -> list[Case]:
        if self._new or len(self._entries) != len(self._valid):
            present = set(map(id, self._valid.values()))
            self._entries = [entry for entry in (*self._entries, *self._new) if id(entry) in present]
            self._entries.sort(key=lambda entry: entry[0])
            self._new.clear()
        return [case for _, case in self._entries]


def _group(case: Case) -> str:
    """What stands together: all cases of a part; where the part has no id, those of one verdict."""
    return f"{case.plant}/{case.part_id}" if case.part_id else case.verdict_id.hex


def _in_physical_order(cases: list[Case]) -> list[Case]:
    """The places that a camera's parts without id have among all stay; who stands on them goes by trigger_seq."""
    places: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for place, case in enumerate(cases):
        if not case.part_id and case.trigger_seq is not None:
            places[case.plant, case.line, case.station, case.camera].append(place)
    ordered = list(cases)
    for taken in places.values():
        for place, case in zip(taken, sorted((cases[p] for p in taken), key=lambda c: c.trigger_seq or 0), strict=True):
            ordered[place] = case
    return ordered
