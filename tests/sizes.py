"""How much tests of statistics and endurance take: what CI has time for, or with LINESIDE_TEST_LONG=1 their full size.

Both sizes meet every event and are held to the same assertions.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
LONG = os.environ.get("LINESIDE_TEST_LONG") == "1"


def size(ci: T, long: T) -> T:
    """The one that this run asks for."""
    return long if LONG else ci
