"""What this process holds in memory, by Linux's own count. Peaks can be taken of each single piece of work."""

from __future__ import annotations

import ctypes
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # proc(5)


def forget_peak() -> None:
    """From here on the peak counts anew."""
    _CLEAR_REFS.write_text(_FORGET_PEAK)


def resident_and_peak_bytes() -> tuple[int, int]:
    """Resident memory now, and the most of it since `forget_peak`."""
    found = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return tuple(int(found[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def settled_bytes() -> int:
    """Resident memory after the allocator gave back what it only keeps."""
    ctypes.CDLL(None).malloc_trim(0)
    return resident_and_peak_bytes()[0]
