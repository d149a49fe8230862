"""Where a reader stands in a topic, as text that survives in a URL and a header. Pure.

A position is the next offset of every partition. `Cursor` adds what a page of history needs to go on with exactly the
question that it began with. Text comes from clients: everything is checked.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_CHARS = 20_000
_POSITION = re.compile(r"[0-9]{1,7}:[0-9]{1,18}(?:,[0-9]{1,7}:[0-9]{1,18})*")
_PARTS = {"since", "until", "at", "of"}


def position_text(position: Mapping[int, int]) -> str:
    """`partition:next offset` of every partition, such as `0:17,1:0`."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(position.items()))


def parse_position(text: str) -> dict[int, int]:
    """The reverse; ValueError for anything else."""
    if len(text) > MAX_CHARS or not _POSITION.fullmatch(text):
        raise ValueError(f"expected partition:offset pairs such as 0:17,1:0; came {text!r:.80}")
    pairs = (pair.split(":") for pair in text.split(","))
    return {int(partition): int(offset) for partition, offset in pairs}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place behind a page. `of` is the digest of the question that the pages answer; times are ms since 1970."""

    position: Mapping[int, int]
    since_ms: int
    until_ms: int | None
    of: str

    def text(self) -> str:
        """Opaque, for a URL."""
        value = {"since": self.since_ms, "until": self.until_ms, "at": position_text(self.position), "of": self.of}
        return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def parse_cursor(text: str, of: str) -> Cursor:
    """The cursor in `text`; ValueError where it is none, or of another question than `of`."""
    if len(text) > MAX_CHARS:
        raise ValueError("longer than any cursor")
    try:
        value = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise ValueError("not a cursor of this server; begin again without one") from None
    if not isinstance(value, dict) or set(value) != _PARTS or not _is_typed(value):
        raise ValueError("not a cursor of this server; begin again without one")
    if value["of"] != of:
        raise ValueError("the cursor belongs to other filters; repeat those of the first page, or begin without one")
    return Cursor(parse_position(value["at"]), value["since"], value["until"], of)


def _is_typed(value: Mapping[str, object]) -> bool:
    since, until = value["since"], value["until"]
    times = type(since) is int and (until is None or type(until) is int)
    return times and isinstance(value["at"], str) and isinstance(value["of"], str)
