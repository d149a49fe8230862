"""`lineside retrain list|approve|reject`: what is proposed, and what people make of it.

Place in the flow: behind `lineside retrain`. An approval releases the model by the same code as `lineside models
release`, the gate's evidence included, and puts it in force by the same code as `lineside recipe set`; only then is the
proposal approved, so that an approval that was ended is gone on with by saying it again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models import labelled_set
from models.qualification import Gate
from schemas.records import ModelProposed, Precision, ProposalState, Recipe
from streams.commands.models import ReleaseOptions
from streams.commands.models import read as released_models
from streams.commands.models import released as release
from streams.commands.recipe import Asked, wished
from streams.commands.retrain import InForce, in_force, place_of
from streams.commands.ui import Ui
from streams.errors import CallerError
from streams.inspection.recipes import ANY_SKU
from streams.recipes.history import Scope
from streams.recipes.publishing import history
from streams.recipes.publishing import publish as publish_recipe
from streams.recipes.wishes import Wish
from streams.registry.book import uri_of
from streams.registry.shelf import Shelf
from streams.retraining.proposals import Proposal, proposals, publish
from streams.settings import Settings
from streams.tail import plain, safe


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveOptions:
    """What `lineside retrain approve` was asked for. `data` None: the data that it was trained on, where that is here.

    `recipe` False: released, and put in force by nobody. `when` as in `recipe.Asked`.
    """

    proposal: str
    by: str
    approved_by: tuple[str, ...]
    why: str
    recipe: bool
    below_gate: bool
    gate: Gate
    data: Path | None
    when: str | None
    device: str
    as_json: bool


def list_proposals(settings: Settings, as_json: bool) -> None:
    """All proposals, the oldest first, with what they showed and where they stand."""
    found = asyncio.run(proposals(settings)).all()
    if as_json:
        print(json.dumps([{**plain(p.newest), "proposed_at": plain(p.first_at)} for p in found], indent=2))
        return
    table = Table(title=f"{len(found)} proposals", title_justify="left")
    for name in ("proposal", "for", "model", "escape", "overkill", "state", "by"):
        table.add_column(name)
    for one in found:
        record = one.newest
        texts = (
            str(record.proposal_id)[:8],
            f"{record.plant}/{record.line} {record.sku}",
            f"{record.base_model_id} → {record.model_id}",
            *(_pair(record, name) for name in ("escape", "overkill")),
            record.state.value,
            record.decided_by or record.proposed_by,
        )
        table.add_row(*(escape(safe(text)) for text in texts))
    Console().print(table)


def reject(settings: Settings, proposal: str, by: str, why: str, as_json: bool) -> None:
    """Say no, with the reason. CallerError for a proposal that is decided."""
    found = _open(settings, proposal)
    _need(why)
    record = _decided(found, ProposalState.REJECTED, by, why)
    asyncio.run(publish(settings, record, found.newest))
    _say(record, None, as_json)


def approve(settings: Settings, options: ApproveOptions) -> None:
    """Release the model and, unless asked not to, put it in force.

    CallerError where too few people stand behind it, the evidence falls short, or another model is in force by now.
    """
    found = _open(settings, options.proposal)
    _need(options.why)
    _refuse_too_few(settings, found.first, options)
    scope = Scope(found.first.plant, found.first.line, found.first.sku)
    present = asyncio.run(in_force(settings, scope)) if options.recipe else None
    if present is not None:
        _refuse_stale(found.first, present, scope)
    _release(settings, found.first, options)
    recipe = _put_in_force(settings, found.first, scope, present, options) if present else None
    record = _decided(found, ProposalState.APPROVED, options.by, options.why)
    asyncio.run(publish(settings, record, found.newest))
    _say(record, recipe, options.as_json)


def _release(settings: Settings, proposed: ModelProposed, options: ApproveOptions) -> None:
    """Nothing where an approval that was ended has released it already."""
    known = asyncio.run(released_models(settings)).get(proposed.model_id)
    if known is not None and known.first.sha256 == proposed.sha256 and not known.retired:
        return
    release(
        settings,
        ReleaseOptions(
            model=Shelf(settings.model_store_dir).place(uri_of(proposed.sha256)),
            data=_data(settings, proposed, options),
            gate=options.gate,
            skus=() if proposed.sku == ANY_SKU else (proposed.sku,),
            by=options.by,
            approved_by=_others(proposed, options),
            why=options.why,
            device=options.device,
            as_json=False,
            below_gate=options.below_gate,
        ),
    )


def _data(settings: Settings, proposed: ModelProposed, options: ApproveOptions) -> Path:
    """The data whose test split is the evidence. CallerError where it is not here, or was changed."""
    name, _, version = proposed.dataset.rpartition("@")
    found = options.data or place_of(settings) / "data" / version
    if not labelled_set.is_dataset(found):
        raise CallerError(
            f"the data {name} of version {version} are not in {found}: approve where it was proposed, or name them "
            "with --data"
        )
    if labelled_set.read(found).info.manifest_sha256 != proposed.dataset_sha256:
        raise CallerError(f"{found} holds other data than {proposed.dataset}, on which the proposal rests")
    return found


def _put_in_force(
    settings: Settings, proposed: ModelProposed, scope: Scope, present: InForce, options: ApproveOptions
) -> Recipe:
    """The recipe that names it; the one of an approval that was ended, where that did so already."""
    before = asyncio.run(history(settings)).newest(scope)
    if before is not None and before.model_id == proposed.model_id:
        return before
    asked = Asked(
        by=options.by,
        approved_by=_others(proposed, options),
        why=options.why,
        when=options.when,
        dry_run=False,
        as_json=False,
    )
    recipe, before = wished(settings, scope, _wish(settings, proposed, present.recipe, before), asked)
    asyncio.run(publish_recipe(settings, recipe, before, "recipe.set"))
    return recipe


def _wish(settings: Settings, proposed: ModelProposed, present: Recipe, before: Recipe | None) -> Wish:
    """The new model, and all else as it is: also where what is in force is the recipe of SKU `*`.

    A model that has no int8 form is not asked for it.
    """
    wish = Wish(model_id=proposed.model_id, other_classes=True)
    if before is None:
        names = ("mode", "late_action", "error_action", "device", "precision", "part_timeout_ms")
        wish = replace(wish, **{name: getattr(present, name) for name in names})
    artifact = Shelf(settings.model_store_dir).get(uri_of(proposed.sha256))
    if (before or present).precision is Precision.INT8 and artifact.int8 is None:
        wish = replace(wish, precision=Precision.UNKNOWN)
    return wish


def _open(settings: Settings, text: str) -> Proposal:
    found = asyncio.run(proposals(settings)).named(text)
    if not found.is_open:
        newest = found.newest
        raise CallerError(
            f"{newest.proposal_id} was {newest.state.value.lower()} by {newest.decided_by} at "
            f"{found.newest_at:%Y-%m-%d %H:%M} UTC; a decision is final: retrain anew, or `lineside recipe set`"
        )
    return found


def _need(why: str) -> None:
    if not why.strip():
        raise CallerError("a decision about a proposal needs a reason: give --why")


def _refuse_too_few(settings: Settings, proposed: ModelProposed, options: ApproveOptions) -> None:
    """Whoever proposed it is one of the people, but never all of them where two are asked for."""
    needed = max(settings.release_approvals, settings.recipe_approvals if options.recipe else 1)
    people = {proposed.proposed_by, options.by, *options.approved_by}
    if len(people) < needed:
        raise CallerError(
            f"an approval takes {needed} different people, who proposed it among them; came "
            f"{', '.join(sorted(people))}: have somebody else approve it, or name the others with --approved-by"
        )


def _refuse_stale(proposed: ModelProposed, present: InForce, scope: Scope) -> None:
    if present.model.model_id not in (proposed.base_model_id, proposed.model_id):
        raise CallerError(
            f"{present.model.model_id} is in force for {scope} by now, and {proposed.model_id} was compared with "
            f"{proposed.base_model_id}: retrain again, or release it alone with --no-recipe"
        )


def _others(proposed: ModelProposed, options: ApproveOptions) -> tuple[str, ...]:
    """Who stands behind it beside the one who approves, the proposer first."""
    return tuple(name for name in dict.fromkeys((proposed.proposed_by, *options.approved_by)) if name != options.by)


def _decided(found: Proposal, state: ProposalState, by: str, why: str) -> ModelProposed:
    return replace(found.first, state=state, decided_by=by, reason=why, at=datetime.now(UTC))


def _say(record: ModelProposed, recipe: Recipe | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"proposal": plain(record), "recipe": plain(recipe) if recipe else None}, indent=2))
        return
    ui, verb = Ui(), record.state.value.lower()
    ui.say(f"{record.proposal_id} is {verb} by {record.decided_by}: {record.reason}")
    if recipe is not None:
        ui.say(
            f"{record.model_id} is in force from {recipe.effective_at:%Y-%m-%d %H:%M:%S} UTC on, by version "
            f"{recipe.version}; `lineside recipe revert` takes it back"
        )
    elif record.state is ProposalState.APPROVED:
        ui.say(f"{record.model_id} is released: `lineside recipe set` puts it in force")


def _pair(record: ModelProposed, name: str) -> str:
    """`62.50% → 4.17%`."""
    shown = [f"{record.metrics[key]:.2%}" if key in record.metrics else "n/a" for key in (f"base_{name}", name)]
    return " → ".join(shown)
