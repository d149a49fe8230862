"""What a request asks for: a span of append time, filters, a form. Pure; `now` is an argument.

Knows no HTTP framework and no event; `resources.py` says which filters an event has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from streams.tail import AGO, SECONDS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class Form(StrEnum):
    """How rows are written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    NDJSON = "ndjson"


MEDIA_TYPES: Mapping[Form, str] = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.PARQUET: "application/vnd.apache.parquet",
    Form.NDJSON: "application/x-ndjson",
}
_ACCEPTED = {media_type: form for form, media_type in MEDIA_TYPES.items()} | {
    "application/*": Form.JSON,
    "*/*": Form.JSON,
    "text/*": Form.CSV,
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What an event must be to be told; None asks nothing."""

    plant: str | None = None
    line: str | None = None
    station: str | None = None
    outcome: str | None = None
    label: str | None = None
    part_id: str | None = None

    def asked(self) -> dict[str, str]:
        """The filters that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def digest(self, resource: str) -> str:
        """Tells the pages of one question from those of another."""
        return hashlib.sha256(json.dumps([resource, self.asked()]).encode()).hexdigest()[:16]


def parse_time(text: str, now: datetime) -> datetime:
    """ISO 8601 with a zone, or a time ago such as `15m`, `8h` or `2d`. ValueError for anything else."""
    try:
        if match := AGO.fullmatch(text):
            return now - min(now - EPOCH, timedelta(seconds=int(match[1]) * SECONDS[match[2]]))
        at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)  # a `+` that came unescaped
        if at.tzinfo is not None:
            return max(EPOCH, at.astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        "expected a time with its zone such as 2026-03-01T12:00Z, or a time ago such as 15m, 8h or 2d; "
        f"came {text!r:.80}"
    )


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970, rounded up: append times are whole milliseconds, so `at or later` stays exact."""
    return -((EPOCH - at) // MS)


def form_of(asked: Form | None, accept: str | None) -> Form | None:
    """The form asked for by name, else the one that an Accept header likes best; None where it likes none of ours."""
    if asked is not None or not accept:
        return asked or Form.JSON
    for media_type in _by_liking(accept.split(",")):
        if media_type in _ACCEPTED:
            return _ACCEPTED[media_type]
    return None


def _by_liking(ranges: Iterable[str]) -> list[str]:
    liked: list[tuple[float, str]] = []
    for media_range in ranges:
        media_type, *parameters = (part.strip().lower() for part in media_range.split(";"))
        weights = [p.removeprefix("q=") for p in parameters if p.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            liked.append((-weight, media_type))
    return [media_type for _, media_type in sorted(liked, key=lambda pair: pair[0])]
