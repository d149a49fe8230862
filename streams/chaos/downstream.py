"""What works on verdicts, and whether its output is what an undisturbed run comes to.

Place in the flow: at the end of a fault that has such programs on its stage. Each check gives sentences about what is
wrong, and is asked again until nothing is or time is up. Knows no fault.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from schemas.codec import Codec, CommittedSource
from schemas.records import LineWindow
from streams.chaos.ledger import Results
from streams.chaos.programs import Programs
from streams.chaos.reading import LogReader
from streams.settings import Settings
from streams.topics import LINE_STATS

COMMANDS: Mapping[str, Sequence[str]] = {
    "parts": ["parts"],
    "statistics": ["statistics"],
    "archive": ["archive"],
    "dashboard": ["dashboard", "--port", "0"],
}
LOOK_S = 0.5
STANDS_STILL_S = 10.0  # what comes to nothing new for so long has caught up
ARCHIVE_LOOK_S = 3.0  # a look is a program of its own
ARCHIVED_S = 120.0  # and two periods, from the end of the load until its last period is closed and written
Read = Callable[[], Awaitable[Results]]


async def incomplete(
    names: Collection[str], settings: Settings, read: Read, programs: Programs, deadline: float
) -> list[str]:
    """What is wrong with the programs' outputs at `deadline` (time.monotonic()), or once they stand still.

    A machine that had more to do than it can leaves them behind; as long as they catch up, they are waited for.
    """
    done = -1
    while True:
        found, windows, problems = await read(), list[LineWindow](), list[str]()
        if "parts" in names:
            problems += wrong_parts(found)
        if "statistics" in names:
            windows = await line_windows(settings)
            problems += wrong_counts(found, windows)
        before, done = done, len(windows) + sum(map(len, found.parts.values()))
        if done > before:
            deadline = max(deadline, time.monotonic() + STANDS_STILL_S)
        if not problems or time.monotonic() > deadline:
            break
        await asyncio.sleep(LOOK_S)
    if "archive" in names:
        problems += await _wrong_archive(settings, programs, len(found.effective()))
    return problems


def wrong_parts(found: Results) -> list[str]:
    """Each part of one view has one decision, from that view's effective verdict; copies say the same. Pure."""
    decided: dict[Any, Any] = {}
    problems, of_verdict = list[str](), set[Any]()
    for log in found.parts.values():
        for _, part in log:
            first = decided.setdefault(part.decision_id, part)
            if (first.outcome, first.reason) != (part.outcome, part.reason):
                problems.append(f"part {part.part_id} was decided {first.outcome} and then {part.outcome}")
            of_verdict |= {view.verdict_id for view in first.views}
    missing = [v.part_id for v in found.effective() if v.part_id and v.verdict_id not in of_verdict]
    return problems + ([f"{len(missing)} parts were not decided, such as {missing[0]}"] if missing else [])


async def line_windows(settings: Settings) -> list[LineWindow]:
    """All revisions on `line-stats`."""
    codec, found = Codec(CommittedSource()), list[LineWindow]()
    await LogReader(
        settings, {LINE_STATS: lambda message: found.append(codec.decode(message.value, LineWindow))}
    ).read_on()
    return found


def wrong_counts(found: Results, windows: Collection[LineWindow]) -> list[str]:
    """The newest revisions count every effective verdict once, by station and outcome. Pure."""
    newest: dict[tuple[str, str, int, datetime], LineWindow] = {}
    for window in windows:
        at = (window.line, window.station, window.partition, window.window_start)
        if at not in newest or newest[at].revision < window.revision:
            newest[at] = window
    counted: dict[tuple[str, str, str], int] = defaultdict(int)
    for window in newest.values():
        for outcome, frames in window.outcomes.items():
            counted[window.line, window.station, str(outcome)] += frames
    expected: dict[tuple[str, str, str], int] = defaultdict(int)
    for verdict in found.effective():
        expected[verdict.line, verdict.station, str(verdict.outcome)] += 1
    wrong = [at for at in expected.keys() | counted.keys() if expected[at] != counted[at]]
    said = [f"{'/'.join(at)}: {counted[at]} counted, {expected[at]} issued" for at in sorted(wrong)]
    return [f"{len(wrong)} counts of line statistics are wrong, such as {said[0]}"] if wrong else []


async def _wrong_archive(settings: Settings, programs: Programs, verdicts: int) -> list[str]:
    """What `lineside archive --verify` says once all periods have closed."""
    deadline = time.monotonic() + ARCHIVED_S + 2 * settings.archive_period_s
    while await _archived(programs) < verdicts and time.monotonic() < deadline:  # noqa: ASYNC110  # other processes
        await asyncio.sleep(ARCHIVE_LOOK_S)
    check = programs.once("archive-verify", ["archive", "--verify", "--json"])
    problems = [] if await check.wait() == 0 else [f"the archive differs from the topics: {check.output()[-300:]}"]
    rows = await _archived(programs)
    return problems + ([f"{rows} verdicts are archived of {verdicts}"] if rows < verdicts else [])


async def _archived(programs: Programs) -> int:
    """Rows of verdicts in the archive, copies left out."""
    show = programs.once(f"archive-show-{time.monotonic_ns()}", ["archive", "--show", "--json"])
    if await show.wait() != 0:
        return 0
    said = show.output()
    return int(json.loads(said[said.index("{") :])["tables"]["verdicts"]["rows"])
