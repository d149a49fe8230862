"""`lineside tail TOPIC`: one line for every event, for people (coloured) or for programs (JSON lines).

Formatting is pure; `tail` is a thin loop around the subscriber. Text of events is untrusted: what could steer a
terminal is replaced. Does not know the command line, which `streams.cli` parses.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TextIO
from uuid import UUID

from rich.console import Console
from rich.text import Text

from schemas import records
from streams.bus.positions import Start
from streams.bus.subscriber import Received, subscribe_events
from streams.errors import CallerError
from streams.settings import Settings

AGO = re.compile(r"([0-9]{1,6}) ?(s|m|h|d)(?: ago)?")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
OUTCOME_STYLES = {"OK": "green", "NG": "bold red", "UNSURE": "yellow", "ERROR": "magenta"}
_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def parse_ago(option: str, text: str) -> timedelta:
    """How long ago, such as `10m` or `7d`; CallerError for another form."""
    if match := AGO.fullmatch(text):
        return timedelta(seconds=int(match[1]) * SECONDS[match[2]])
    raise CallerError(f"{option} needs a time ago such as 30m, 24h or 7d; came {text!r:.80}")


def parse_start(text: str, now: datetime) -> Start:
    """What `--from` says: earliest, latest, offset, partition:offset, `10m` (ago) or ISO 8601 (local without zone)."""
    if text in ("earliest", "latest"):
        return "earliest" if text == "earliest" else "latest"
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    if match := re.fullmatch(r"([0-9]{1,9}):([0-9]{1,18})", text):
        return {int(match[1]): int(match[2])}
    if match := AGO.fullmatch(text):
        return now - timedelta(seconds=int(match[1]) * SECONDS[match[2]])
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CallerError(
            f"--from {text!r} is neither earliest, latest, an offset, partition:offset, a time ago such as 10m or 2h, "
            "nor a time such as 2026-03-01T12:00Z"
        ) from None


def plain(value: Any) -> Any:
    """A record's value for JSON: UUIDs and times as text, bytes as size and digest, NaN and infinities as text."""
    if type(value) in _AS_THEY_ARE:  # most values: asked first, because an archive asks it of every field
        return value
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, Enum | UUID):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def json_line(event: Received[records.Event]) -> str:
    """One event as one line of JSON (ASCII), without its newline."""
    return json.dumps(
        {
            "partition": event.partition,
            "offset": event.offset,
            "timestamp": _utc(event.timestamp),
            "key": None if event.key is None else event.key.decode(errors="backslashreplace"),
            "type": type(event.record).__name__,
            "record": plain(event.record),
        }
    )


def human_line(event: Received[records.Event]) -> Text:
    """One event as one line: append time, key, then what the kind of event says."""
    key = "-" if event.key is None else event.key.decode(errors="backslashreplace")
    head = Text.assemble((_utc(event.timestamp).replace("T", " "), "dim"), "  ", (safe(key), "bold"), "  ")
    return head + _body(event.record)


def _body(record: records.Event) -> Text:
    match record:
        case records.FrameCaptured():
            size = "claim check" if record.image is None else f"{len(record.image) / 1000:.1f} kB"
            picture = f"{record.encoding} {record.width}x{record.height} {size}"
            return Text(safe(_words(_part(record), f"{record.camera} #{record.trigger_seq}", picture, record.label)))
        case records.VerdictIssued():
            return _verdict(record)
        case records.DefectDetected():
            return _verdict(record.verdict) + Text("  " + safe(record.image_ref), style="dim")
        case records.DeadLetter():
            origin = f"{record.source_topic} {record.source_partition}:{record.source_offset}"
            size = "no value" if record.value is None else f"{len(record.value)} bytes"
            return Text(str(record.reason), style="magenta") + Text(safe(f"  {origin}  {size}  {record.detail}"))
        case records.Recipe():
            limits = ", ".join(f"{label} {limit:g}" for label, limit in record.thresholds.items())
            by = f"from {_utc(record.effective_at)} by {record.author}: {record.reason}"
            return Text(safe(_words(f"v{record.version} {record.mode}", record.model_id, limits, by)))
        case records.PartDecided():
            return _part_decided(record)
        case records.AlarmRaised():
            state = "cleared" if record.cleared else f"since {_utc(record.since)}"
            return Text(safe(_words(record.severity, f"{record.kind} {record.value:g}", state, record.detail)))
        case _:
            return Text(safe(_downstream(record)))


def _downstream(record: records.Event) -> str:
    match record:
        case records.ReworkOutcome():
            finding = _words(record.finding, record.corrected_label or record.predicted_label, record.disposition)
            return _words(record.sku, record.part_id, finding, f"by {record.operator} at {record.rework_station}")
        case records.SampleSelected():
            return _words(record.sku, record.part_id, record.strategy, record.why)
        case records.LineWindow():
            counts = ", ".join(f"{name} {count}" for name, count in record.outcomes.items())
            return f"{_utc(record.window_start)} r{record.revision}{' final' if record.final else ''}  {counts}"
        case records.StationClaim():
            verb = "releases" if record.released else "takes"
            return _words(f"{record.operator} at {record.rework_station} {verb}", record.part_id)
        case records.AuditEntry():
            return _words(f"{record.chain_id} #{record.chain_seq}", record.actor, record.action, record.subject)
        case records.GateSignal():
            return _words(record.kind, f"by {record.sender}", record.detail)
        case records.DefectLocated():
            found = ", ".join(f"{p.label} {p.score:.2f} at {p.box.x},{p.box.y}" for p in record.places)
            why = "nothing found" if record.reason == records.Reason.SCORE else f"{record.reason} {record.detail}"
            return _words(record.sku, record.part_id, found or why, f"by {record.model_id}")
        case _:
            return _of_models(record)


def _of_models(record: records.Event) -> str:
    match record:
        case records.ShadowCompared(live=live, shadow=shadow):
            said = f"{live.outcome} by {live.model_id}, {shadow.outcome} by {shadow.model_id}"
            return _words(live.sku, live.part_id, said)
        case records.CameraReference():
            return _words(record.sku, record.camera, f"{record.frames} frames", f"by {record.taught_by}", record.reason)
        case records.ModelProposed():
            by = record.decided_by or record.proposed_by
            return _words(record.sku, record.model_id, f"{record.state} by {by}", record.reason)
        case records.ModelReleased():
            verb = "retired" if record.retired else "released"
            return _words(record.model_id, record.arch, f"{verb} by {record.released_by}", record.reason)
    return ""


def _part_decided(part: records.PartDecided) -> Text:
    seen = f"{len(part.views)} of {part.views_expected} views"
    text = _words(part.sku, part.part_id, seen, ", ".join(part.labels), part.detail, f"mode {part.mode}")
    return Text(f"{part.outcome:<13}", style=OUTCOME_STYLES.get(part.outcome, "magenta")) + Text("  " + safe(text))


def _finding(found: records.Finding) -> str:
    place = f" at {found.region}" if found.region else ""
    return f"{found.label} {found.score:.3f}{place} (limit {found.threshold:g})"


def _verdict(verdict: records.VerdictIssued) -> Text:
    if verdict.reason == records.Reason.SCORE:
        found = ", ".join(_finding(f) for f in verdict.findings)
        scores = ", ".join(f"{k} {v:.3f}" for k, v in sorted(verdict.scores.items(), key=lambda s: -s[1])[:3])
        why = found or scores
    else:
        why = f"{verdict.reason} {verdict.detail}".strip()
    marks = "simulated" if verdict.simulated else "" if verdict.deadline_met else "late"
    text = _words(_part(verdict), f"{verdict.camera} #{verdict.trigger_seq}", why, marks)
    return Text(f"{verdict.outcome:<6}", style=OUTCOME_STYLES.get(verdict.outcome, "")) + Text("  " + safe(text))


def _part(record: records.FrameCaptured | records.VerdictIssued) -> str:
    return _words(record.sku, record.part_id)


def _words(*parts: str | None) -> str:
    return "  ".join(part for part in parts if part)


def safe(text: str) -> str:
    """Text of an event without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def tail(
    settings: Settings,
    topic: str,
    start: str,
    as_json: bool,
    count: int | None,
    follow: bool,
    out: TextIO,
) -> int:
    """Writes events to `out` until `count` of them or, without `follow`, the present end; how many were written.

    `start` is the text of `--from`, see `parse_start`. A closed pipe (`| head`) ends it quietly, and so does cancelling
    it (Ctrl-C under asyncio.run).
    """
    console = Console(file=out, highlight=False, soft_wrap=True)
    written = 0
    begin = parse_start(start, datetime.now(UTC))
    async with aclosing(aiter(subscribe_events(topic, begin, settings=settings, follow=follow))) as events:
        async for event in events:
            try:
                out.write(json_line(event) + "\n" if as_json else _rendered(console, human_line(event)))
                out.flush()
            except BrokenPipeError:
                _discard_rest(out)
                break
            written += 1
            if written == count:
                break
    return written


def _rendered(console: Console, line: Text) -> str:
    with console.capture() as captured:  # rich itself would end the process at a closed pipe
        console.print(line)
    return captured.get()


def _discard_rest(out: TextIO) -> None:
    """Points a broken pipe elsewhere, so that the interpreter's flush at exit doesn't fail once more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, out.fileno())
    os.close(null)
