"""`lineside retrain …`: the loop closed. Parse and delegate only."""

from __future__ import annotations

import getpass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli_options import Device, Json, PrecisionText, parse_precision
from streams.cli_train import BalanceName, SymmetryName
from streams.commands.options import ensure_data_dir, with_settings
from streams.errors import CallerError
from streams.inspection.recipes import ANY_SKU
from streams.settings import Settings

app = typer.Typer()
retrain = typer.Typer()
app.add_typer(retrain, name="retrain")

ProposalId = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Id or its beginning, or the proposed model's id.")]
By = Annotated[str | None, typer.Option(help="Who does it, for the audit log. Default: your login name.")]
Why = Annotated[str, typer.Option(help="Why.")]


class RetrainRule(StrEnum):
    SAME_OVERKILL = "same-overkill"
    ZERO_ESCAPE = "zero-escape"
    OVERKILL = "overkill"


@retrain.callback(invoke_without_command=True)
@with_settings()
def retrain_(
    settings: Settings,
    ctx: typer.Context,
    plant: Annotated[str | None, typer.Option(help="Plant, as in the frames.")] = None,
    line: Annotated[str | None, typer.Option(help="Line, as in the frames.")] = None,
    sku: Annotated[str, typer.Option(help="Product, or * for all of the line.")] = ANY_SKU,
    data: Annotated[
        Path | None, typer.Option(help="Data set of the line. Default: built from samples and decisions as they lie.")
    ] = None,
    build: Annotated[
        Path | None, typer.Option(help="Where the data set that is built is kept. Default: in the data directory.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="Data set that the model in force was trained on. Default: known where it was retrained."),
    ] = None,
    budget: Annotated[float | None, typer.Option(min=0.1, help="Minutes that the training may take.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times that all pictures are shown. Default: 12.")] = None,
    symmetry: Annotated[
        list[SymmetryName] | None, typer.Option(help="How the product may lie: mirror, flip, turn or none.")
    ] = None,
    balance: Annotated[BalanceName | None, typer.Option(help="Rare classes. Default: oversample.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the training.")] = None,
    rule: Annotated[
        RetrainRule,
        typer.Option(help="How the threshold is chosen; same-overkill: rejects no more than the model in force."),
    ] = RetrainRule.SAME_OVERKILL,
    overkill: Annotated[float, typer.Option(min=0, max=1, help="Share of good parts, for --rule overkill.")] = 0.01,
    prevalence: Annotated[
        float, typer.Option(min=0.000001, max=0.999999, help="Share of bad parts on the line, such as 0.01.")
    ] = 0.01,
    reviewed: Annotated[float, typer.Option(min=0, max=1, help="Share of parts that stations can look at.")] = 0.05,
    since: Annotated[
        str, typer.Option("--from", help="History that both judge: first append time, or a time ago such as 8h.")
    ] = "1h",
    until: Annotated[str | None, typer.Option("--to", help="Its end, exclusive. Default: now.")] = None,
    most_frames: Annotated[
        int, typer.Option(min=1, help="Frames of history at most; of more a random share is judged.")
    ] = 2_000,
    by: By = None,
    why: Annotated[str, typer.Option(help="Why. Default: what the comparison says.")] = "",
    device: Device = "auto",
    precision: PrecisionText = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="A training that was ended begins anew.")] = False,
    yields: Annotated[
        bool, typer.Option("--yield/--no-yield", help="Leave the processor to everything else on this machine.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train from the model in force on what the line has taught since, compare both, and propose the new one.

    The data: labelled samples of the line and SKU (`lineside dataset build`), merged with those that the model in force
    was trained on. A new kind of defect becomes a new class. Both models are measured on the same held-out parts and on
    frames of the line's recent history; report, figures and the model are kept and proposed. No line changes before
    somebody approves. What was ended goes on at the next call.

    Examples: `lineside retrain --plant plant-1 --line line-1 --sku flange-40 --base flanges-1 --budget 30`,
    `lineside retrain list`, `lineside retrain approve 3f2a --by maria --why "finds porosity"`,
    `lineside retrain reject 3f2a --by maria --why "rejects too many good parts"`.
    """
    if ctx.invoked_subcommand is not None:
        return
    if plant is None or line is None:
        raise CallerError("a retraining is for a line: give --plant and --line; `lineside retrain --help` shows more")
    from streams.commands.yielding import in_a_session_of_its_own

    if yields:
        in_a_session_of_its_own()  # before anything starts a thread
    from streams.commands.retrain import RetrainOptions
    from streams.commands.retrain import retrain as run
    from streams.recipes.history import Scope

    ensure_data_dir(settings)
    options = RetrainOptions(
        scope=Scope(plant, line, sku),
        data=data,
        build=build,
        base=base,
        changes=_changes(budget, epochs, symmetry, balance, seed),
        rule=rule.value,
        overkill=overkill,
        prevalence=prevalence,
        reviewed=reviewed,
        since=since,
        until=until,
        most_frames=most_frames,
        by=by or getpass.getuser(),
        why=why,
        device=device,
        precision=parse_precision(precision),
        fresh=fresh,
        yields=yields,
        as_json=as_json,
    )
    run(settings, options)


@retrain.command("list")
@with_settings()
def list_(settings: Settings, as_json: Json = False) -> None:
    """List what was proposed, and where it stands. Example: `lineside retrain list --json`."""
    from streams.commands.retrain_decide import list_proposals

    list_proposals(settings, as_json)


@retrain.command("approve")
@with_settings()
def approve(
    settings: Settings,
    proposal: ProposalId,
    why: Why = "",
    by: By = None,
    approved_by: Annotated[list[str] | None, typer.Option(help="Who agrees too; may be given again.")] = None,
    recipe: Annotated[bool, typer.Option("--recipe/--no-recipe", help="Put it in force too.")] = True,
    when: Annotated[
        str | None, typer.Option("--from", help="When it is in force: a time, or from now such as 30s. Default: 10s.")
    ] = None,
    below_gate: Annotated[
        bool, typer.Option("--below-gate", help="Although its evidence falls short of the gate; --why says why.")
    ] = False,
    most_escape: Annotated[float, typer.Option(min=0, max=1, help="Share of bad parts passed, at most.")] = 0.02,
    most_overkill: Annotated[float, typer.Option(min=0, max=1, help="Share of good parts rejected, at most.")] = 0.05,
    least_bad: Annotated[int, typer.Option(min=1, help="Bad parts in the evidence, at least.")] = 30,
    data: Annotated[Path | None, typer.Option(help="Data set of the evidence. Default: the proposal's.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Approve a proposal: its model is released on its evidence, and a recipe puts it in force for the line and SKU.

    Workers swap at the recipe's time without losing a frame. Where LINESIDE_RELEASE_APPROVALS or
    LINESIDE_RECIPE_APPROVALS ask for two people, whoever proposed it is not enough.

    Example: `lineside retrain approve 3f2a --by maria --why "finds porosity, overkill as before"`.
    """
    from models.qualification import Gate
    from streams.commands.retrain_decide import ApproveOptions
    from streams.commands.retrain_decide import approve as run

    options = ApproveOptions(
        proposal=proposal,
        by=by or getpass.getuser(),
        approved_by=tuple(approved_by or ()),
        why=why,
        recipe=recipe,
        below_gate=below_gate,
        gate=Gate(most_escape, most_overkill, least_bad),
        data=data,
        when=when,
        device=device,
        as_json=as_json,
    )
    run(settings, options)


@retrain.command("reject")
@with_settings()
def reject(settings: Settings, proposal: ProposalId, why: Why = "", by: By = None, as_json: Json = False) -> None:
    """Reject a proposal. Example: `lineside retrain reject 3f2a --by maria --why "rejects too many good parts"`."""
    from streams.commands.retrain_decide import reject as run

    run(settings, proposal, by or getpass.getuser(), why, as_json)


def _changes(
    budget: float | None,
    epochs: int | None,
    symmetry: list[SymmetryName] | None,
    balance: BalanceName | None,
    seed: int | None,
) -> dict[str, Any]:
    """What is trained otherwise than by default, by the names of `FitSpec` and `TrainSpec`."""
    asked = {
        "budget_s": None if budget is None else 60 * budget,
        "epochs": epochs,
        "symmetries": None if symmetry is None else tuple(s.value for s in symmetry if s is not SymmetryName.NONE),
        "balance": None if balance is None else balance.value,
        "seed": seed,
    }
    return {name: value for name, value in asked.items() if value is not None}
