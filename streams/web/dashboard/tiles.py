"""The first rows: the bar with scope and span, and a tile a line. Pure: view → model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from schemas.records import Mode
from streams.downstream.overview.view import LineState, Tile, View
from streams.downstream.rework.cases import Scope
from streams.web.dashboard.address import Address, Calendar, Period, local_text, query_of
from streams.web.dashboard.wording import NONE, Model, Wording, printable

Option = list[str]
"""What it says, and the query it leads to."""


def tiles(view: View, words: Wording, address: Address, calendar: Calendar) -> Model:
    """One tile a line, and whether its plant is worth naming."""
    several = len({tile.plant for tile in view.tiles}) > 1
    made: Model = {"tiles": [_tile(tile, words, address, calendar, several) for tile in view.tiles]}
    made["trend"] = words.t("trend")
    if not view.tiles:
        made["empty"] = {"why": words.t("no_lines"), "what": words.t("no_lines_hint")}
    return made


def _tile(tile: Tile, words: Wording, address: Address, calendar: Calendar, several: bool) -> Model:
    t, scope = words.t, Scope(tile.plant, tile.line)
    is_chosen = (address.scope.plant, address.scope.line) == (tile.plant, tile.line)
    target = Address(Scope(tile.plant) if is_chosen and not address.scope.station else scope)
    plan = tile.planned_parts_per_min
    yielded = tile.first_pass_yield
    counted = t("n_parts", n=words.count(yielded.total))
    return {
        "key": [tile.plant, tile.line],
        "name": printable(f"{tile.plant} / {tile.line}" if several else tile.line),
        "go": _to(replace(address, scope=target.scope), calendar),
        "chosen": is_chosen,
        "state": tile.state,
        "word": _word(tile, words),
        "quiet": tile.state in (LineState.RUNNING, LineState.IDLE),
        "pace": words.rate(tile.parts_per_min),
        "unit": t("pace_unit") if plan is None else t("pace_of_plan", n=words.plan(plan)),
        "yield": [t("yield"), words.share(yielded), words.interval(yielded), counted],
        "counts": [
            [t("not_inspected"), words.count(tile.not_inspected), "not_inspected", tile.not_inspected > 0],
            [t("open_rework"), words.count(tile.open_rework), "open_rework", False],
            [t("alarms"), words.count(tile.alarms), "alarms", tile.alarms > 0],
        ],
        "trend": [None if pace is None else round(pace, 1) for pace in tile.trend],
        "newest": None if tile.newest_at is None else round(tile.newest_at.timestamp() * 1000),
    }


def _word(tile: Tile, words: Wording) -> str:
    """What the line does, and whether its verdicts move parts. One that collects inspects nothing, on purpose."""
    if tile.mode is Mode.COLLECT and tile.state is LineState.NOT_INSPECTED:
        return words.t("line_COLLECTS")
    state = words.t(f"line_{tile.state}")
    return state if tile.mode is Mode.UNKNOWN else f"{state} · {words.t(f'mode_{tile.mode}')}"


def bar(view: View, words: Wording, address: Address, calendar: Calendar) -> Model:
    """What is shown, and the ways to something else."""
    t = words.t
    here = " / ".join(filter(None, (address.scope.plant, address.scope.line, address.scope.station)))
    waiting = NONE if view.waiting is None else words.count(view.waiting)
    return {
        "scopes": _scopes(view, words, address, calendar),
        "periods": [
            [t(f"period_{period}"), _to(replace(address, period=period, start=None, end=None), calendar), period]
            for period in Period
            if period is not Period.CUSTOM
        ],
        "period": address.period,
        "from": local_text(view.span.start, calendar.zone),
        "to": local_text(view.span.end, calendar.zone),
        "custom": _to(replace(address, period=Period.CUSTOM, start=None, end=None), calendar),
        "wall": _to(replace(address, wall=not address.wall), calendar),
        "is_wall": address.wall,
        "live": view.span.live,
        "here": printable(here or t("all_plants")),
        "span": words.span(view.span) if address.period is Period.CUSTOM else t(f"period_long_{address.period}"),
        "waiting": t("waiting", n=waiting),
        "lagging": bool(view.waiting),
        "zone": t("zone", zone=calendar.zone.key),
    }


def _scopes(view: View, words: Wording, address: Address, calendar: Calendar) -> list[Model]:
    """Plant, line and station to choose from; each only where there is something to choose within what is chosen."""
    scope, t = address.scope, words.t
    known = {*view.stations, *((tile.plant, tile.line, "") for tile in view.tiles)}
    plants = {plant for plant, _, _ in known}
    plant = scope.plant or (next(iter(plants)) if len(plants) == 1 else None)
    lines = {line for p, line, _ in known if p == plant}
    stations = {s for p, line, s in known if (p, line) == (plant, scope.line) and s}

    def level(name: str, chosen: str | None, names: Iterable[str], whole: Scope, field: str) -> Model:
        to_whole = [t(f"all_{name}"), _to(replace(address, scope=whole), calendar)]
        listed = sorted({*names, *([chosen] if chosen else [])})
        ways = (_to(replace(address, scope=replace(whole, **{field: own})), calendar) for own in listed)
        options = [to_whole, *([printable(own), way] for own, way in zip(listed, ways, strict=True))]
        here = next((i for i, option in enumerate(options) if i and option[0] == chosen), 0)
        return {"name": t(name), "options": options, "here": here}

    return [
        level("plants", scope.plant, plants, Scope(), "plant"),
        level("lines", scope.line, lines, Scope(plant), "line"),
        level("stations", scope.station, stations, Scope(plant, scope.line), "station"),
    ]


def _to(address: Address, calendar: Calendar) -> str:
    query = query_of(address, calendar.zone)
    return f"?{query}" if query else "?"
