"""A recipe on its way: into the audit log, onto its topic, and read back as what every worker will obey.

Place in the flow: under the recipe commands and the engineers' page. Decides nothing about a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.records import Recipe
from streams.bus.present import present
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.downstream.audit.log import AuditLog
from streams.errors import OperatorError
from streams.inspection.recipes import NOTICE
from streams.recipes.history import History, scope_of
from streams.recipes.wishes import differences
from streams.settings import Settings
from streams.topics import RECIPES


async def history(settings: Settings) -> History:
    """All recipes, as they lie in the topic now."""
    found = History()
    async for event in present(settings, RECIPES):
        found.take(event.record, event.timestamp)
    return found


async def publish(
    settings: Settings, recipe: Recipe, before: Recipe | None, action: str, evidence: Mapping[str, Any] | None = None
) -> None:
    """The change in the audit log, then the recipe; returns when it was read back and will take effect.

    `evidence`: figures that the change rests on, for the audit log.

    OperatorError where it won't: it came to the broker too late, or another recipe of the line came in between.
    """
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        audit = AuditLog(publisher, "recipes", lambda: datetime.now(UTC))
        changes = differences(before, recipe)
        await audit.record(
            recipe.author,
            action,
            str(scope_of(recipe)),
            before={name: _plain(old) for name, old, _ in changes} if before else None,
            after={name: _plain(new) for name, _, new in changes}
            | {"version": recipe.version, "effective_at": recipe.effective_at, "approved_by": list(recipe.approved_by)}
            | ({"evidence": evidence} if evidence else {}),
            reason=recipe.reason,
        )
        key = f"{recipe.plant}/{recipe.line}/{recipe.sku}".encode()
        sent = await (await publisher.send(RECIPES, recipe, key=key, partition=0))
    counted = (await history(settings)).version(scope_of(recipe), recipe.version)
    if counted is None or counted.to_avro() != recipe.to_avro():
        notice_s = recipe.effective_at.timestamp() - sent.timestamp_ms / 1000
        why = "another recipe of the line came first; look at `lineside recipe history` and try again"
        if notice_s < NOTICE.total_seconds():
            why = (
                f"the broker had it {notice_s:.1f} s before it should begin, by the broker's clock, and workers need "
                f"{NOTICE.total_seconds():g} s; try again with a later --from"
            )
        what = f"version {recipe.version} of {scope_of(recipe)} is published (offset {sent.offset})"
        raise OperatorError(f"{what} but takes no effect: {why}")


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else str(value)
