"""No picture that a kept event or a pin names is ever lost, however puts, events, pins and collections interleave.

What happens during a collection happens where it can: while objects are listed, while events are read, between the
first and the last look at an object, and between two removals.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.store import FrameStore
from streams.store_gc import Candidates, collect
from tests.stored import DAY_S, AgingStore

PICTURES = st.integers(0, 5)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "publish", "pin", "derive", "expire"]), PICTURES), max_size=12)


class Line(RuleBasedStateMachine):
    """Pictures are numbers; an event is one picture's number. Time passes only while nobody has put and not named."""

    remote: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.folder = None if self.remote else tempfile.TemporaryDirectory()
        self.aging = AgingStore(Path(self.folder.name) if self.folder else None, f"promise-{id(self)}")
        self.events: list[int] = []
        self.unnamed: set[int] = set()
        self.pinned: set[int] = set()
        self.steps: list[tuple[str, int]] = []
        self.lock = threading.RLock()

    def teardown(self) -> None:
        self.aging.clear()
        if self.folder:
            self.folder.cleanup()

    @rule(steps=STEPS)
    def work(self, steps: list[tuple[str, int]]) -> None:
        for step in steps:
            self.do(*step)

    @rule(days=st.sampled_from([0.1, 5.0, 9.0]))
    def pass_days(self, days: float) -> None:
        for number in tuple(self.unnamed):
            self.do("publish", number)
        self.aging.pass_days(days)

    @rule(steps=STEPS)
    def collect(self, steps: list[tuple[str, int]]) -> None:
        self.steps = steps
        pins = FrameStore.pins

        def interrupted(store: FrameStore, sha256: str) -> set[str]:
            self.one_step()
            found = pins(store, sha256)
            self.one_step()
            return found

        with patch("streams.store_gc.REMOVERS", 1), patch.object(FrameStore, "pins", interrupted):
            collect(self.aging.store, time.time() - 8 * DAY_S, self.name_all, lambda *_: self.one_step())
        self.work_off()

    @rule()
    def end(self) -> None:
        """When all is over, a collection leaves what is needed and nothing else."""
        self.events.clear()
        self.unnamed.clear()
        self.aging.pass_days(9)
        collect(self.aging.store, time.time() - 8 * DAY_S, self.name_all)
        assert {number for number in range(6) if self.holds(number)} == self.pinned

    @invariant()
    def what_is_named_is_there(self) -> None:
        for number in {*self.events, *self.pinned, *self.unnamed}:
            assert self.holds(number)

    def name_all(self, candidates: Candidates) -> None:
        self.one_step()
        for number in tuple(self.events):  # read to the end of now
            candidates.name("events", self.uri(number).encode())
            self.one_step()

    def one_step(self) -> None:
        with self.lock:
            if self.steps:
                self.do(*self.steps.pop())

    def work_off(self) -> None:
        while self.steps:
            self.one_step()

    def do(self, step: str, number: int) -> None:
        if step == "put":
            self.put(number)
            self.unnamed.add(number)
        elif step == "publish" and number in self.unnamed:
            self.events.append(number)
            self.unnamed.discard(number)
        elif step == "pin":
            self.aging.store.pin(hashlib.sha256(b"%d" % number).hexdigest(), "sample-1")
            self.put(number)
            self.pinned.add(number)
        elif step == "derive" and number in self.events:  # a defect names its frame's claim check
            self.events.append(number)
        elif step == "expire" and number in self.events:
            self.events.remove(number)

    def put(self, number: int) -> None:
        self.aging.put(b"%d" % number)

    def holds(self, number: int) -> bool:
        return self.aging.holds(b"%d" % number)

    def uri(self, number: int) -> str:
        return self.aging.store.uri(hashlib.sha256(b"%d" % number).hexdigest(), "jpg")


class FolderLine(Line):
    remote = False


class RemoteLine(Line):
    remote = True


def cases(machines: Iterable[type[Line]]) -> Iterable[type]:
    for machine in machines:
        case = machine.TestCase
        case.settings = settings(max_examples=60, stateful_step_count=20, suppress_health_check=list(HealthCheck))
        yield case


TestFolder, TestRemote = cases((FolderLine, RemoteLine))
