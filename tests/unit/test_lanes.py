"""Order of one partition: whatever finishes first, offsets leave and are acknowledged in order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.inspection.lanes import Lane, Slot, State


def test_a_decided_frame_waits_for_the_open_one_before_it() -> None:
    """
    offset      5        6
    t0        OPEN    DECIDED     nothing to take
    t1       DECIDED  DECIDED     both, in order
    """
    lane: Lane[str] = Lane()
    five, six = lane.open(5, "five"), lane.open(6, "six")
    assert not lane.decide(six)
    assert lane.take_decided() == []
    assert lane.decide(five)
    assert lane.take_decided() == [five, six]


def test_a_confirmed_frame_is_acknowledged_only_after_all_before_it() -> None:
    lane: Lane[None] = Lane()
    slots = [lane.open(offset, None) for offset in (1, 2, 3)]
    for slot in slots:
        lane.decide(slot)
    lane.take_decided()
    assert lane.confirm(slots[2]) == []
    assert lane.confirm(slots[0]) == [slots[0]]
    assert lane.confirm(slots[1]) == [slots[1], slots[2]]
    assert len(lane) == 0


def test_gaps_in_offsets_are_fine() -> None:
    lane: Lane[None] = Lane()
    for offset in (0, 7, 1000):
        lane.open(offset, None)
    assert len(lane) == 3


@pytest.mark.parametrize("again", [5, 4])
def test_an_offset_that_does_not_grow_is_refused(again: int) -> None:
    lane: Lane[None] = Lane()
    lane.open(5, None)
    with pytest.raises(ValueError, match=f"offset {again} after 5"):
        lane.open(again, None)


def test_a_finished_offset_may_not_come_again_either() -> None:
    lane: Lane[None] = Lane()
    slot = lane.open(5, None)
    lane.decide(slot)
    lane.take_decided()
    lane.confirm(slot)
    with pytest.raises(ValueError, match="redelivery needs a new lane"):
        lane.open(5, None)


def test_a_frame_is_decided_once_and_confirmed_only_after_it_was_sent() -> None:
    lane: Lane[None] = Lane()
    slot = lane.open(0, None)
    with pytest.raises(ValueError, match="OPEN, expected SENT"):
        lane.confirm(slot)
    lane.decide(slot)
    with pytest.raises(ValueError, match="DECIDED, expected OPEN"):
        lane.decide(slot)


class AnyInterleaving(RuleBasedStateMachine):
    """Frames come, are decided and confirmed in whatever order; what leaves must stay a contiguous prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.lane: Lane[int] = Lane()
        self.opened: list[Slot[int]] = []
        self.sent: list[Slot[int]] = []
        self.acked: list[Slot[int]] = []

    def _in(self, state: State) -> list[Slot[int]]:
        return [slot for slot in self.opened if slot.state is state]

    @rule(gap=st.integers(1, 3))
    def a_frame_comes(self, gap: int) -> None:
        offset = gap + (self.opened[-1].offset if self.opened else -1)
        self.opened.append(self.lane.open(offset, offset))

    @precondition(lambda self: self._in(State.OPEN))
    @rule(data=st.data())
    def one_is_decided(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(self._in(State.OPEN)))
        is_next = slot is self.opened[len(self.sent)]
        assert self.lane.decide(slot) is is_next, "whoever publishes must be told, and only then"

    @rule()
    def what_can_be_sent_is(self) -> None:
        self.sent += self.lane.take_decided()

    @precondition(lambda self: self._in(State.SENT))
    @rule(data=st.data())
    def one_is_confirmed(self, data: st.DataObject) -> None:
        self.acked += self.lane.confirm(data.draw(st.sampled_from(self._in(State.SENT))))

    @invariant()
    def sent_and_acked_are_prefixes_in_offset_order(self) -> None:
        assert self.sent == self.opened[: len(self.sent)]
        assert self.acked == self.opened[: len(self.acked)]
        assert len(self.acked) <= len(self.sent)
        assert len(self.lane) == len(self.opened) - len(self.acked)

    @invariant()
    def the_first_frame_that_is_not_acked_is_not_confirmed(self) -> None:
        if len(self.acked) < len(self.opened):
            assert self.opened[len(self.acked)].state is not State.CONFIRMED

    def teardown(self) -> None:
        for slot in self._in(State.OPEN):
            self.lane.decide(slot)
        self.sent += self.lane.take_decided()
        for slot in reversed(self._in(State.SENT)):
            self.acked += self.lane.confirm(slot)
        assert self.acked == self.opened, "every lane can be brought to its end"


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=60, stateful_step_count=40)
