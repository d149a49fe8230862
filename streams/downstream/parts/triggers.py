"""Watches the trigger numbers of cameras: each grows by 1 with every trigger, so a gap is a missing frame. Pure.

Place in the flow: sees every verdict of a partition in log order and puts alarms into the book.

    number    1  2  3     6        4        6'           1
    alarm              4 to 5   5 only   6 came twice   the counter started again

Gaps close together are one alarm; a number that comes late leaves it, and without any left it is cleared. Numbers come
from outside: a leap is one range, never counted out. Another attempt at a frame only closes gaps. Knows no Kafka.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas.records import AlarmKind, AlarmRaised, Severity, VerdictIssued
from streams.downstream.parts.alarms import AlarmBook, alarm_id
from streams.downstream.parts.ranges import Ranges
from streams.downstream.parts.views import spelled

MAX_CAMERAS = 1024  # of a partition; the longest silent one is forgotten
RECENT = 64  # numbers of a camera whose frames are remembered
MAX_ALARMS = 16  # gaps of a camera that can still be closed
NEAR = 32  # numbers: gaps no further apart are one alarm, and repeats end when so many came once
FAR_BACK = 1000  # numbers: nothing comes that late; the counter started again


@dataclass(slots=True, eq=False)
class _Condition:
    """An alarm about numbers of one camera."""

    kind: AlarmKind
    alarm_id: UUID
    since: datetime
    numbers: Ranges = field(default_factory=Ranges)
    unlisted: int = 0  # numbers for which the ranges had no room; late ones among them are not noticed
    reach: int = 0  # the highest number it is about

    @property
    def over(self) -> bool:
        return not self.numbers and not self.unlisted

    def add(self, first: int, last: int) -> None:
        self.reach = last
        if not self.numbers.add(first, last):
            self.unlisted += last - first + 1


@dataclass(slots=True, eq=False)
class _Camera:
    subject: str
    newest: int
    recent: OrderedDict[int, UUID] = field(default_factory=OrderedDict)
    gaps: OrderedDict[UUID, _Condition] = field(default_factory=OrderedDict)
    repeats: _Condition | None = None

    def remember(self, number: int, frame_id: UUID) -> None:
        self.recent[number] = frame_id
        self.recent.move_to_end(number)
        if len(self.recent) > RECENT:
            self.recent.popitem(last=False)


class Triggers:
    """The cameras of one partition."""

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._cameras: OrderedDict[str, _Camera] = OrderedDict()
        self._open: dict[str, list[AlarmRaised]] = {}  # on the topic, of cameras that were not seen yet

    def start_at(self, subject: str, number: int) -> None:
        """The number that a camera had reached; nothing is raised."""
        self._camera(subject, number).newest = number

    def go_live(self, book: AlarmBook, alarms: Iterable[AlarmRaised]) -> None:
        """End of the rehearsal on old verdicts: alarms go to `book` now, beginning with those open on the topic."""
        self._book, self._open = book, {}
        for alarm in alarms:
            if alarm.kind in (AlarmKind.MISSING_TRIGGER, AlarmKind.REPEATED_TRIGGER):
                self._open.setdefault(alarm.subject, []).append(alarm)
        for camera in self._cameras.values():
            camera.gaps, camera.repeats = OrderedDict(), None
            self._adopt(camera)

    def see(self, verdict: VerdictIssued, at: datetime) -> None:
        """Take in the next verdict; `at` is the broker's append time."""
        subject = f"{verdict.plant}/{verdict.line}/{verdict.station}/{verdict.camera}"
        number, frame_id = verdict.trigger_seq, verdict.frame_id
        if verdict.attempt > 1:
            if subject in self._cameras or subject in self._open:
                self._fill(self._camera(subject, number), number, at)
            return
        camera = self._camera(subject, number)
        known = camera.recent.get(number)
        if known == frame_id:
            return
        if number > camera.newest:
            self._grow(camera, number, at)
        elif camera.recent and _started_again(camera, number):
            self._reset(camera, number, frame_id, at)
        elif known is not None:
            self._repeat(camera, number, at)
        else:
            self._fill(camera, number, at)
        camera.remember(number, frame_id)

    def _camera(self, subject: str, number: int) -> _Camera:
        camera = self._cameras.get(subject)
        if camera is None:
            camera = self._cameras[subject] = _Camera(subject, number)
            self._adopt(camera)
        self._cameras.move_to_end(subject)
        if len(self._cameras) > MAX_CAMERAS:
            self._cameras.popitem(last=False)
        return camera

    def _adopt(self, camera: _Camera) -> None:
        for alarm in self._open.pop(camera.subject, ()):
            condition = _Condition(alarm.kind, alarm.alarm_id, alarm.since, Ranges(alarm.ranges))
            condition.reach = condition.numbers.last if condition.numbers else camera.newest
            condition.unlisted = max(0, int(alarm.value) - condition.numbers.size)
            self._book.published(alarm)
            if alarm.kind is AlarmKind.REPEATED_TRIGGER:
                camera.repeats = condition
            else:
                camera.gaps[alarm.alarm_id] = condition

    def _grow(self, camera: _Camera, number: int, at: datetime) -> None:
        if number > camera.newest + 1:
            self._gap(camera, camera.newest + 1, number - 1, at)
        camera.newest = number
        if camera.repeats and number > camera.repeats.reach + NEAR:
            self._put(camera, camera.repeats, at, cleared=True)
            camera.repeats = None

    def _gap(self, camera: _Camera, first: int, last: int, at: datetime) -> None:
        kind = AlarmKind.MISSING_TRIGGER
        own_id = alarm_id(kind, camera.subject, first)
        newest = next(reversed(camera.gaps.values()), None)
        if newest and newest.alarm_id != own_id and first <= newest.reach + NEAR:
            newest.add(first, last)
            self._put(camera, newest, at)
            return
        camera.gaps[own_id] = _Condition(kind, own_id, at)
        camera.gaps[own_id].add(first, last)
        camera.gaps.move_to_end(own_id)
        if len(camera.gaps) > MAX_ALARMS:
            camera.gaps.popitem(last=False)
        self._put(camera, camera.gaps[own_id], at)

    def _fill(self, camera: _Camera, number: int, at: datetime) -> None:
        for gap in camera.gaps.values():
            if gap.numbers.remove(number):
                self._put(camera, gap, at, cleared=gap.over)
                if gap.over:
                    del camera.gaps[gap.alarm_id]
                return

    def _repeat(self, camera: _Camera, number: int, at: datetime) -> None:
        kind = AlarmKind.REPEATED_TRIGGER
        if camera.repeats is None:
            camera.repeats = _Condition(kind, alarm_id(kind, camera.subject, number), at)
        camera.repeats.add(number, number)
        self._put(camera, camera.repeats, at)

    def _reset(self, camera: _Camera, number: int, frame_id: UUID, at: datetime) -> None:
        """The old numbers can't come any more, so what was open about them is over."""
        for condition in (*camera.gaps.values(), *filter(None, [camera.repeats])):
            self._put(camera, condition, at, cleared=True)
        kind = AlarmKind.TRIGGER_RESET
        self._book.put(
            AlarmRaised(
                alarm_id=alarm_id(kind, camera.subject, f"{number}/{frame_id}"),
                kind=kind,
                severity=Severity.INFO,
                subject=camera.subject,
                value=float(camera.newest - number),
                since=at,
                at=at,
                cleared=at,
                detail=f"trigger {number} came after {camera.newest}: the counter started again",
            )
        )
        self._cameras[camera.subject] = _Camera(camera.subject, number)
        self._cameras[camera.subject].remember(number, frame_id)

    def _put(self, camera: _Camera, condition: _Condition, at: datetime, cleared: bool = False) -> None:
        ranges = condition.numbers.as_records()
        what = "missing" if condition.kind is AlarmKind.MISSING_TRIGGER else "came again with another frame"
        self._book.put(
            AlarmRaised(
                alarm_id=condition.alarm_id,
                kind=condition.kind,
                severity=Severity.WARNING,
                subject=camera.subject,
                value=float(condition.numbers.size + condition.unlisted),
                since=condition.since,
                at=at,
                cleared=at if cleared else None,
                detail=f"trigger {spelled(ranges)} {what}" if ranges else "",
                ranges=ranges,
            )
        )


def _started_again(camera: _Camera, number: int) -> bool:
    """True for a number far back, or the first ones of a counter: 0 and 1."""
    return camera.newest - number > FAR_BACK or (number <= 1 < camera.newest)
