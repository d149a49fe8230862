"""The gateway's clocks: one monotonic within a boot, and the wall clock to go on by after the next.

Linux's monotonic clock is the same for all processes of a boot, so that a frame's age survives a restart of the
gateway. Knows nothing of frames but the moment of their trigger.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from streams.capture.captured import Moment

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_NAMESPACE = Path("/proc/self/ns/time")  # a container may have a monotonic clock of its own


def boot_id(boot: Path = BOOT_ID, namespace: Path = TIME_NAMESPACE) -> uuid.UUID:
    """Names the run of the monotonic clock; where the system doesn't tell, this process alone."""
    try:
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{boot.read_text().strip()} {namespace.readlink()}")
    except OSError:
        return uuid.uuid4()


@dataclass(frozen=True, slots=True)
class GatewayClocks:
    """Tells moments; tests bring their own."""

    boot: uuid.UUID = field(default_factory=boot_id)
    monotonic_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time

    def now(self) -> Moment:
        return Moment(self.boot, round(self.monotonic_s() * 1000), round(self.wall_s() * 1000))

    def trigger(self, triggered_s: float) -> Moment:
        """The moment of a trigger that a source told by the monotonic clock."""
        now = self.now()
        return now.before(now.monotonic_ms - round(triggered_s * 1000))
