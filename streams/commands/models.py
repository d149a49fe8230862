"""`lineside models list|show|release|retire`: which models recipes may name, on what evidence, and who let them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.artifact import Artifact, load_artifact
from models.engines import open_engine
from models.errors import ModelRefusedError
from models.examination import Examination
from models.qualification import Gate, shortfalls
from schemas.records import ModelReleased
from streams.bus.present import present
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.commands.evaluate import examined
from streams.commands.ui import Ui
from streams.downstream.audit.log import AuditLog
from streams.errors import CallerError
from streams.registry.book import Book, Release, known_release, taken, uri_of
from streams.registry.shelf import Shelf
from streams.settings import Settings
from streams.tail import plain, safe
from streams.topics import MODELS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOptions:
    """What `lineside models release` was asked for. `data` None: without evidence, which takes a reason.

    `below_gate`: a reason lets pass what falls short.
    """

    model: Path
    data: Path | None
    gate: Gate
    skus: tuple[str, ...]
    by: str
    approved_by: tuple[str, ...]
    why: str
    device: str
    as_json: bool
    below_gate: bool = True


def list_models(settings: Settings, all_: bool, as_json: bool) -> None:
    """What is released, oldest first; retired ones too where `all_` are asked for."""
    found = [release for release in asyncio.run(read(settings)).all() if all_ or not release.retired]
    if as_json:
        print(json.dumps([_json(release) for release in found], indent=2))
        return
    table = Table(title=f"{len(found)} models", title_justify="left")
    for name in ("model", "architecture", "classes", "escape", "overkill", "released", "by", "state"):
        table.add_column(name)
    for release in found:
        record = release.first
        table.add_row(
            *(escape(safe(text)) for text in (record.model_id, record.arch, ", ".join(record.classes))),
            *(_share(record.metrics.get(name)) for name in ("escape", "overkill")),
            f"{release.first_at:%Y-%m-%d %H:%M}",
            escape(safe(record.released_by)),
            "retired" if release.retired else "released",
        )
    Console().print(table)


def show_model(settings: Settings, model_id: str, as_json: bool) -> None:
    """One release whole. CallerError for an id that was never released."""
    release = known_release(asyncio.run(read(settings)), model_id)
    if as_json:
        print(json.dumps(_json(release), indent=2))
        return
    record = release.first
    evidence = json.loads(record.evidence) if record.evidence else {}
    rows = [
        *(("model", record.model_id), ("sha256", record.sha256), ("architecture", record.arch)),
        *(("classes", ", ".join(record.classes)), ("products", ", ".join(record.skus) or "not said")),
        *((name, f"{value:.6g}") for name, value in sorted(record.metrics.items())),
        ("falls short", "; ".join(evidence.get("shortfalls", ())) or ("in nothing" if evidence else "no evidence")),
        ("released", f"{release.first_at:%Y-%m-%d %H:%M:%S} UTC by {record.released_by}"),
        ("approved by", ", ".join(record.approved_by) or "nobody else"),
        ("reason", record.reason or "none given"),
    ]
    if release.retired:
        newest = release.newest
        rows.append(("retired", f"{release.newest_at:%Y-%m-%d %H:%M:%S} UTC by {newest.released_by}: {newest.reason}"))
    Ui(Console()).table("Released model", [(name, safe(text)) for name, text in rows])


def release_model(settings: Settings, options: ReleaseOptions) -> None:
    """Evaluate, hold against the gate, keep, audit, publish, say. Nothing is published where the gate refuses."""
    record = released(settings, options)
    _say(record, options.as_json, f"{record.model_id} is released: a recipe may put it in force")


def released(settings: Settings, options: ReleaseOptions) -> ModelReleased:
    """As `release_model`, and says nothing."""
    artifact = load_artifact(options.model)
    _refuse_taken(asyncio.run(read(settings)), artifact)
    _refuse_too_few(settings, options)
    evidence, lacking = _evidence(artifact, options)
    if lacking and not (options.why and options.below_gate):
        raise ModelRefusedError(
            f"{artifact.model_id} is not released: {'; '.join(lacking)}. Train or calibrate it further, or have "
            f"somebody who may do so release it with {'' if options.below_gate else '--below-gate and '}--why"
        )
    kept = Shelf(settings.model_store_dir).put(options.model, artifact.sha256)
    record = record_of(
        kept,
        options.by,
        skus=options.skus,
        metrics=_metrics(evidence),
        evidence=json.dumps({"shortfalls": lacking} | evidence.to_json()) if evidence else None,
        approved_by=options.approved_by,
        reason=options.why,
    )
    asyncio.run(publish(settings, record, "model.release", None))
    return record


def retire_model(settings: Settings, model_id: str, by: str, why: str, as_json: bool) -> None:
    """No recipe may name it any more; its files stay, because decisions name it. CallerError for an unknown one."""
    release = known_release(asyncio.run(read(settings)), model_id)
    record = replace(release.first, released_by=by, reason=why, released_at=datetime.now(UTC), retired=True)
    if not release.retired:
        asyncio.run(publish(settings, record, "model.retire", release.newest))
    _say(record, as_json, f"{model_id} is retired; its files stay, so that its decisions can be made again")


def record_of(kept: Artifact, by: str, **more: Any) -> ModelReleased:
    """What is said of a model that lies in the store, now released by somebody; `more` are other fields."""
    return ModelReleased(
        model_id=kept.model_id,
        uri=uri_of(kept.sha256),
        sha256=kept.sha256,
        arch=kept.arch,
        classes=tuple(item.name for item in kept.classes),
        released_by=by,
        released_at=datetime.now(UTC),
        **more,
    )


async def read(settings: Settings) -> Book:
    """All releases, as they lie in the topic now; what can't be counts for nothing."""
    book = Book()
    async for event in present(settings, MODELS):
        try:
            book.take(event.record, event.timestamp)
        except ValueError as error:
            Ui().say(f"left out: record {event.offset} of {MODELS.name}: {error}")
    return book


async def publish(settings: Settings, record: ModelReleased, action: str, before: ModelReleased | None) -> None:
    """The change in the audit log, then the record itself; both are confirmed when it returns."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        audit = AuditLog(publisher, "models", lambda: datetime.now(UTC))
        await audit.record(
            record.released_by,
            action,
            record.model_id,
            before=None if before is None else {"sha256": before.sha256, "retired": before.retired},
            after={"sha256": record.sha256, "retired": record.retired, "approved_by": list(record.approved_by)},
            reason=record.reason,
        )
        await (await publisher.send(MODELS, record, key=record.model_id.encode(), partition=0))


def _evidence(artifact: Artifact, options: ReleaseOptions) -> tuple[Examination | None, list[str]]:
    """What the test split shows, by the engine that would serve, and what it falls short of."""
    if options.data is None:
        open_engine(artifact, options.device).close()
        return None, ["there is no evidence: give a data set with --data"]
    found = examined(artifact, options.data, options.device)
    return found, shortfalls(found.decided, options.gate)


def _refuse_taken(book: Book, artifact: Artifact) -> None:
    known = book.get(artifact.model_id)
    if known is not None and known.first.sha256 != artifact.sha256:
        raise CallerError(taken(known, artifact.sha256))
    if known is not None and not known.retired:
        raise CallerError(f"{artifact.model_id} is released already, since {known.first_at:%Y-%m-%d %H:%M} UTC")


def _refuse_too_few(settings: Settings, options: ReleaseOptions) -> None:
    people = {options.by, *options.approved_by}
    if len(people) < settings.release_approvals:
        raise CallerError(
            f"a release takes {settings.release_approvals} different people; came {', '.join(sorted(people))}: "
            "name the others with --approved-by"
        )


def _metrics(evidence: Examination | None) -> dict[str, float]:
    """The figures that are defined."""
    if evidence is None:
        return {}
    decided = evidence.decided
    figures = {
        "escape": decided.escape.value,
        "escape_high": decided.escape.high,
        "overkill": decided.overkill.value,
        "overkill_high": decided.overkill.high,
        "balanced_accuracy": decided.balanced_accuracy,
        "auroc": evidence.ranking.auroc.value,
    }
    return {name: value for name, value in figures.items() if value is not None}


def _json(release: Release) -> dict[str, Any]:
    said: dict[str, Any] = plain(release.first)
    said["evidence"] = json.loads(release.first.evidence) if release.first.evidence else None
    return said | {"retired": release.retired, "retired_because": release.newest.reason if release.retired else None}


def _say(record: ModelReleased, as_json: bool, text: str) -> None:
    if as_json:
        said: dict[str, Any] = plain(record)
        print(json.dumps(said | {"evidence": json.loads(record.evidence) if record.evidence else None}, indent=2))
    else:
        Ui().say(text)


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2%}"
