"""`lineside recipe …`: thresholds and model of a line and SKU. Parse and delegate only."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from schemas.records import Fallback, Mode, Precision
from streams.cli_options import Json, parse_precision
from streams.commands.options import with_settings
from streams.errors import CallerError
from streams.inspection.recipes import ANY_SKU
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.commands.recipe import Asked
    from streams.commands.recipe_evidence import Terms
    from streams.recipes.wishes import CanaryWish

app = typer.Typer()
recipe = typer.Typer(no_args_is_help=True, help="Recipes: model and thresholds for a line and SKU.")
app.add_typer(recipe, name="recipe")

Plant = Annotated[str, typer.Option(help="Plant, as in the frames.")]
Line = Annotated[str, typer.Option(help="Line, as in the frames.")]
Sku = Annotated[str, typer.Option(help="Product, or * for every one without a recipe of its own.")]
By = Annotated[str | None, typer.Option(help="Who does it, for the audit log. Default: your login name.")]
ApprovedBy = Annotated[list[str] | None, typer.Option(help="Who agrees; may be given again.")]
Why = Annotated[str, typer.Option(help="Why.")]
SHADOW_HELP = "Model that judges the same frames beside it and acts on nothing (`lineside shadow`); none: no more."
CANARY_HELP = "Model that judges a share of the parts, taken back by itself if it does badly; none: no more."
When = Annotated[
    str | None, typer.Option("--from", help="When it begins: a time, or from now such as 30s or 2h. Default: 10s.")
]
DryRun = Annotated[bool, typer.Option(help="Check and show it; publish nothing.")]
OF_HELP = "The shadow model. Default: of the newest recipe."
Since = Annotated[str, typer.Option(help="How far back pairs count, such as 24h or 7d.")]
LeastPairs = Annotated[int, typer.Option(min=1, help="Frames that must have been compared.")]
MostMore = Annotated[
    float, typer.Option(min=0, max=1, help="Share of frames that it alone may reject, unless they are known bad.")
]
Choice = TypeVar("Choice", Mode, Fallback)


@recipe.command("show")
@with_settings()
def show(
    settings: Settings,
    plant: Annotated[str | None, typer.Option(help="This plant alone.")] = None,
    line: Annotated[str | None, typer.Option(help="This line alone.")] = None,
    sku: Annotated[str | None, typer.Option(help="This product alone, or *.")] = None,
    as_json: Json = False,
) -> None:
    """Show what is in force now, and what will be. Example: `lineside recipe show --line line-1`."""
    from streams.commands.recipe import show_recipes

    show_recipes(settings, plant, line, sku, as_json)


@recipe.command("history")
@with_settings()
def history(settings: Settings, plant: Plant, line: Line, sku: Sku = ANY_SKU, as_json: Json = False) -> None:
    """Show all recipes of a line and SKU, and what each changed.

    Example: `lineside recipe history --plant plant-1 --line line-1 --sku flange-40`.
    """
    from streams.commands.recipe import show_history
    from streams.recipes.history import Scope

    show_history(settings, Scope(plant, line, sku), as_json)


@recipe.command("diff")
@with_settings()
def diff(
    settings: Settings,
    a: Annotated[int, typer.Argument(metavar="VERSION", help="The former version.")],
    b: Annotated[int, typer.Argument(metavar="VERSION", help="The later version.")],
    plant: Plant,
    line: Line,
    sku: Sku = ANY_SKU,
    as_json: Json = False,
) -> None:
    """Show what one version has otherwise than another. Example: `lineside recipe diff 3 4 --plant p1 --line l1`."""
    from streams.commands.recipe import show_difference
    from streams.recipes.history import Scope

    show_difference(settings, Scope(plant, line, sku), a, b, as_json)


@recipe.command("set")
@with_settings()
def set_(
    settings: Settings,
    plant: Plant,
    line: Line,
    sku: Sku = ANY_SKU,
    model: Annotated[str | None, typer.Option(help="Id of a released model. Default: as it was.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="CLASS=LIMIT, * for the sum of all defects; may be given again.")
    ] = None,
    shadow: Annotated[str | None, typer.Option(help=SHADOW_HELP)] = None,
    canary: Annotated[str | None, typer.Option(help=CANARY_HELP)] = None,
    canary_share: Annotated[float, typer.Option(help="Share of the parts that the canary judges, 0 to 1.")] = 0.1,
    canary_threshold: Annotated[
        list[str] | None, typer.Option(help="CLASS=LIMIT of the canary; may be given again. Default: its own.")
    ] = None,
    unsure_band: Annotated[
        float | None, typer.Option(help="Width below a threshold within which a frame is UNSURE.")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="COLLECT (no decision), ADVISE (decides, acts not) or ACT.")] = None,
    late_action: Annotated[str | None, typer.Option(help="NG, UNSURE or NOT_INSPECTED for late frames.")] = None,
    error_action: Annotated[str | None, typer.Option(help="NG, UNSURE or NOT_INSPECTED for unreadable ones.")] = None,
    part_timeout_ms: Annotated[int | None, typer.Option(help="Wait for a part's missing views, ms.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, openvino:CPU, torch:cpu or torch:cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16, fp16 or int8.")] = None,
    other_classes: Annotated[bool, typer.Option(help="The model may know other classes than the one before.")] = False,
    why: Why = "",
    by: By = None,
    approved_by: ApprovedBy = None,
    when: When = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put a model or thresholds in force for a line and SKU. What is not said stays as it was.

    Every worker knows it before it begins, and the same frame is judged by the same version on each of them, and in any
    replay. Examples: `lineside recipe set --plant plant-1 --line line-1 --model flange-41 --why "finds porosity"`,
    `lineside recipe set --plant plant-1 --line line-1 --sku flange-40 --threshold scratch=0.55 --from 06:00 --why …`.
    """
    from streams.commands.recipe import set_recipe
    from streams.recipes.history import Scope
    from streams.recipes.wishes import Wish, parsed_thresholds

    wish = Wish(
        model_id=model,
        shadow_model_id=None if shadow is None else _or_none(shadow),
        canary=_canary(canary, canary_share, canary_threshold or ()),
        mode=_chosen(Mode, "--mode", mode),
        thresholds=parsed_thresholds(threshold or ()),
        unsure_band=unsure_band,
        late_action=_chosen(Fallback, "--late-action", late_action),
        error_action=_chosen(Fallback, "--error-action", error_action),
        device=device,
        precision=_precision(precision),
        part_timeout_ms=part_timeout_ms,
        other_classes=other_classes,
    )
    set_recipe(settings, Scope(plant, line, sku), wish, _asked(why, by, approved_by, when, dry_run, as_json))


@recipe.command("revert")
@with_settings()
def revert(
    settings: Settings,
    plant: Plant,
    line: Line,
    sku: Sku = ANY_SKU,
    to: Annotated[int | None, typer.Option(help="Version whose content comes back. Default: the one before.")] = None,
    why: Why = "",
    by: By = None,
    approved_by: ApprovedBy = None,
    when: When = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Bring a former recipe back, as a new version.

    Example: `lineside recipe revert --plant plant-1 --line line-1 --why "too many good parts rejected"`.
    """
    from streams.commands.recipe import revert_recipe
    from streams.recipes.history import Scope

    revert_recipe(settings, Scope(plant, line, sku), to, _asked(why, by, approved_by, when, dry_run, as_json))


@recipe.command("compare")
@with_settings()
def compare(
    settings: Settings,
    plant: Plant,
    line: Line,
    sku: Sku = ANY_SKU,
    model: Annotated[str | None, typer.Option(help=OF_HELP)] = None,
    since: Since = "7d",
    least_pairs: LeastPairs = 300,
    most_more_rejects: MostMore = 0.01,
    as_json: Json = False,
) -> None:
    """Show what a shadow model said beside what was decided, and whether that is enough to put it in force.

    Example: `lineside recipe compare --plant plant-1 --line line-1 --since 24h`.
    """
    from streams.commands.recipe_evidence import compare_shadow
    from streams.recipes.history import Scope

    compare_shadow(settings, Scope(plant, line, sku), _terms(since, model, least_pairs, most_more_rejects), as_json)


@recipe.command("promote")
@with_settings()
def promote(
    settings: Settings,
    plant: Plant,
    line: Line,
    sku: Sku = ANY_SKU,
    model: Annotated[str | None, typer.Option(help=OF_HELP)] = None,
    since: Since = "7d",
    least_pairs: LeastPairs = 300,
    most_more_rejects: MostMore = 0.01,
    anyway: Annotated[bool, typer.Option(help="Also where the comparison is not enough; --why says why.")] = False,
    why: Why = "",
    by: By = None,
    approved_by: ApprovedBy = None,
    when: When = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put a shadow model in force, if what it said beside the line is enough; the comparison goes into the audit log.

    Refused where it passes more bad parts than what is in force, where rejected frames would pass and nobody has
    decided about them, or where it rejects many more. Example:
    `lineside recipe promote --plant plant-1 --line line-1 --why "a week in the shadow"`.
    """
    from streams.commands.recipe_evidence import promote_shadow
    from streams.recipes.history import Scope

    terms = _terms(since, model, least_pairs, most_more_rejects)
    promote_shadow(
        settings, Scope(plant, line, sku), terms, anyway, _asked(why, by, approved_by, when, dry_run, as_json)
    )


def _terms(since: str, model: str | None, least_pairs: int, most_more_rejects: float) -> Terms:
    from streams.commands.recipe_evidence import Terms
    from streams.tail import parse_ago

    return Terms(parse_ago("--since", since), model, least_pairs, most_more_rejects)


def _asked(
    why: str, by: str | None, approved_by: list[str] | None, when: str | None, dry_run: bool, as_json: bool
) -> Asked:
    from streams.commands.recipe import Asked

    return Asked(
        by=by or getpass.getuser(),
        approved_by=tuple(approved_by or ()),
        why=why,
        when=when,
        dry_run=dry_run,
        as_json=as_json,
    )


def _chosen(kind: type[Choice], option: str, text: str | None) -> Choice | None:
    if text is None:
        return None
    names = [name for name in kind.__members__ if name != "UNKNOWN"]
    if text.upper() not in names:
        raise CallerError(f"{option} must be one of {', '.join(names)}; came {text!r:.80}")
    return kind[text.upper()]


def _or_none(model_id: str) -> str:
    from streams.recipes.wishes import NO_MODEL

    return NO_MODEL if model_id == "none" else model_id


def _canary(model_id: str | None, share: float, thresholds: Sequence[str]) -> CanaryWish | None:
    from streams.recipes.wishes import CanaryWish, parsed_thresholds

    if model_id is None:
        return None
    return CanaryWish(_or_none(model_id), share, parsed_thresholds(thresholds))


def _precision(text: str | None) -> Precision | None:
    return None if text is None else parse_precision(text)
