"""The one partition count of all topics keyed by station: what is right, what can be worked with, what to do. Pure.

What is derived from partition p of one topic is written to partition p of the next. So every topic needs at least as
many partitions as `frames`, and only while it grows may one have more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from streams.errors import CallerError


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a topic's partitions. `refused`: no program may start on it."""

    topic: str
    expected: int
    came: int
    fix: str
    refused: bool


def findings(counts: Mapping[str, int], configured: int) -> list[Finding]:
    """Compares the topics that are there, by full name, with each other and with what is configured.

    More than configured, on all alike, is where a growth ended: known, and nothing is wrong but the setting. Derived
    topics with more than frames are where one stands or broke off: work goes on. Frames with more than a derived topic
    is a growth behind our back: workers hold the partitions that lead nowhere, the others go on.
    """
    if not counts:
        return []
    most = max(counts.values())
    target = max(most, configured)
    grow = f"run `lineside topics --grow {target}`"
    if len(set(counts.values())) > 1:
        return [Finding(name, most, count, grow, False) for name, count in counts.items() if count < most]
    if most < configured:
        fix = f"{grow}, or set LINESIDE_PARTITIONS={most}"
        return [Finding(name, configured, count, fix, True) for name, count in counts.items()]
    return []


def advice(counts: Mapping[str, int], configured: int) -> str | None:
    """Which setting to change where all topics have more than is configured."""
    if counts and len(set(counts.values())) == 1 and (there := next(iter(counts.values()))) > configured:
        return f"the topics keyed by station have {there} partitions: set LINESIDE_PARTITIONS={there} (is {configured})"
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """A growth to `target`: which topics must grow, with what they have. Frames come last; they need a pause."""

    target: int
    derived: Mapping[str, int]
    frames: Mapping[str, int]  # of every pool
    behind: int | None  # some frames had more than this count, which derived topics had, before anybody asked


def plan(counts: Mapping[str, int], frames: Collection[str], target: int) -> Plan:
    """`frames`: which of them hold frames.

    CallerError for a target below what is there, or a topic that is missing (count 0).
    """
    if missing := [name for name, count in counts.items() if not count]:
        raise CallerError(f"there is no topic {missing[0]}; create it with `lineside topics --create`, then grow")
    if target < (most := max(counts.values())):
        name = max(counts, key=counts.__getitem__)
        raise CallerError(f"{name} has {most} partitions and Kafka takes none away; came --grow {target}")
    fewest = min(count for name, count in counts.items() if name not in frames)
    short = {name: count for name, count in counts.items() if count < target}
    return Plan(
        target,
        {name: count for name, count in short.items() if name not in frames},
        {name: count for name, count in short.items() if name in frames},
        fewest if max(counts[name] for name in frames) > fewest else None,
    )
