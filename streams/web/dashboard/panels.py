"""The panels under the tiles: title, what is counted, chart, figures, rows, or why there is nothing. Pure.

Place in the flow: view → here → JSON → the browser, which draws every panel alike. A figure or row with `open` shows
the pictures behind it (see `choices.py`), one with `go` leads to another address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from schemas.records import AlarmKind, AlarmRaised, Estimate
from streams.downstream.overview.view import InForce, View
from streams.downstream.parts.blocks import Block
from streams.downstream.rework.cases import Scope
from streams.web.dashboard.address import Address, query_of
from streams.web.dashboard.count_charts import latency_chart, pareto_chart
from streams.web.dashboard.strokes import Chart
from streams.web.dashboard.time_charts import PART_STATES, control_chart, pace_chart
from streams.web.dashboard.wording import NONE, Model, Wording, printable, station_name

ROWS = 50  # of a list; beyond, a line says how many more
THUMBNAILS = 4  # of an alarm
IN_WORDS = (AlarmKind.PICTURE_DRIFT, AlarmKind.SCORE_DRIFT, AlarmKind.CAMERA_STUCK, AlarmKind.NO_REJECTS)
_STORED = re.compile(r"/([0-9a-f]{64})\.")  # a picture's digest, in where the frame store keeps it

Maker = Callable[[View, Wording, Address], Model]


def control(view: View, words: Wording, address: Address) -> Model:
    """Is the process in control?"""
    inspected = sum(point.n for point in view.chart.points)
    made = _panel("control", words, words.t("n_parts", n=words.count(inspected)), view)
    signals = sum(1 for point in view.chart.points if point.rules)
    if signals:
        made["verdict"] = words.t("signals", n=signals)
    return made | _drawn(control_chart(view, words), "no_parts", words)


def pace(view: View, words: Wording, address: Address) -> Model:
    """How many parts come, and what becomes of them."""
    made = _panel("pace", words, words.t("n_parts", n=words.count(sum(view.parts.values()))), view)
    made["figures"] = [_figure(words.t("pace"), words.rate(view.parts_per_min), words.t("pace_unit"))]
    for state in PART_STATES:
        count = view.parts.get(state, 0)
        made["figures"].append(
            {"name": words.t(f"state_{state}"), "mark": state, "value": words.count(count)}
            | ({"open": state} if count else {})
        )
    return made | _drawn(pace_chart(view, words, _plan(view, address.scope)), "no_parts", words)


def _plan(view: View, scope: Scope) -> float | None:
    """The plan of the line in scope; a plan is a line's, so there is none of anything else."""
    own = [tile for tile in view.tiles if (tile.plant, tile.line) == (scope.plant or tile.plant, scope.line)]
    return own[0].planned_parts_per_min if len(own) == 1 and scope.station is None else None


def pareto(view: View, words: Wording, address: Address) -> Model:
    """Which defects there are."""
    n = sum(bar.count for bar in view.pareto)
    made = _panel("pareto", words, words.t("n_ng", n=words.count(n), frames=words.count(view.frames)), view)
    return made | _drawn(pareto_chart(view.pareto, words), "no_defects" if view.frames else "no_frames", words)


def latency(view: View, words: Wording, address: Address) -> Model:
    """How long verdicts take, against the deadline."""
    held = view.latency
    made = _panel("latency", words, words.t("n_frames", n=words.count(held.frames)), view)
    quantiles = (("p50", held.p50_ms), ("p95", held.p95_ms), ("p99", held.p99_ms))
    made["figures"] = [_figure(name, words.ms(value)) for name, value in quantiles]
    if held.deadline_ms is not None:
        share = words.t.percent(held.missed / held.frames, 2) if held.frames else ""
        missed = _figure(words.t("missed"), words.count(held.missed), share)
        made["figures"].append(missed | ({"alert": "NG"} if held.missed else {}))
    return made | _drawn(latency_chart(held, words), "no_frames", words)


def quality(view: View, words: Wording, address: Address) -> Model:
    """What inspection lets pass and what it rejects for nothing, from people's looks."""
    t, agreed = words.t, view.agreement
    made = _panel("quality", words, "", view)
    waiting = t("audits_waiting", n=words.count(view.audits_waiting)) if view.audits_waiting else ""
    note = " · ".join(filter(None, (t("n_audits", n=words.count(view.escape.n)), waiting)))
    made["estimates"] = [
        _estimate("escape", view.escape, note, words),
        _estimate("overkill", view.overkill, t("n_decisions", n=words.count(view.overkill.n)), words),
    ]
    kappa = agreed.finding
    value = NONE if kappa is None else f"κ {t.number(kappa.value, 2)}"
    around = "" if kappa is None else f"[{t.number(kappa.low, 2)}\N{EN DASH}{t.number(kappa.high, 2)}]"
    count = t("n_reviews", n=words.count(agreed.reviewed))
    agreement: Model = {"name": t("agreement"), "value": value, "range": around, "note": count}
    if kappa is None:
        agreement["hint"] = t("agreement_hint")
    else:
        agreement["scale"] = _scale(max(0.0, kappa.low), max(0.0, kappa.value), kappa.high, 1.0)
        agreement["end"] = t.number(1)
    made["estimates"].append(agreement)
    return made


def missing(view: View, words: Wording, address: Address) -> Model:
    """What went by without being inspected."""
    t, held = words.t, view.missing
    made = _panel("missing", words, words.t("n_frames", n=words.count(view.frames)), view)
    triggers = words.count(held.missing_triggers)
    parts = words.count(held.parts_not_inspected)
    made["figures"] = [
        _figure(t("missing_triggers"), triggers) | ({"alert": "NOT_INSPECTED"} if held.missing_triggers else {}),
        _figure(t("repeated_triggers"), words.count(held.repeated_triggers)),
        _figure(t("parts_not_inspected"), parts)
        | ({"alert": "NOT_INSPECTED", "open": "NOT_INSPECTED"} if held.parts_not_inspected else {}),
    ]
    made["rows"] = [_block(block, words) for block in held.blocks[:ROWS]] + [
        {"text": words.reason(reason), "side": t("n_frames_short", n=words.count(n)), "open": f"reason:{reason}"}
        for reason, n in sorted(held.reasons.items(), key=lambda item: -item[1])
        if n
    ]
    if not made["rows"]:
        missed = "triggers_missing" if held.missing_triggers else "all_inspected"
        made["empty"] = _empty(missed if view.frames else "no_frames", words)
    return made


def alarms(view: View, words: Wording, address: Address) -> Model:
    """What somebody should look at."""
    t = words.t
    is_open = sum(1 for alarm in view.alarms if alarm.cleared is None)
    made = _panel("alarms", words, t("n_alarms", n=is_open, cleared=len(view.alarms) - is_open), view)
    made["rows"] = [_alarm(alarm, words, address) for alarm in view.alarms[:ROWS]]
    if len(view.alarms) > ROWS:
        made["more"] = t("more", n=len(view.alarms) - ROWS)
    if not view.alarms:
        made["empty"] = _empty("no_alarms", words)
    return made


def in_force(view: View, words: Wording, address: Address) -> Model:
    """With which recipe and model every station works."""
    made = _panel("in_force", words, words.t("n_stations", n=len(view.in_force)), None)
    made["rows"] = [_working(station, words) for station in view.in_force]
    if not made["rows"]:
        made["empty"] = _empty("no_recipes", words)
    return made


PANELS: Mapping[str, Maker] = {
    "control": control,
    "pareto": pareto,
    "pace": pace,
    "latency": latency,
    "quality": quality,
    "alarms": alarms,
    "missing": missing,
    "in_force": in_force,
}
TABLES = tuple(name for name in PANELS if name != "in_force")


def _panel(name: str, words: Wording, counted: str, view: View | None) -> Model:
    note = [counted] if view is None else [counted, words.span(view.span)]
    made: Model = {"title": words.t(f"panel_{name}"), "note": " · ".join(filter(None, note))}
    if view is not None and name in ("control", "pace"):
        made["note"] += " · " + words.t("step", length=words.length(view.step))
    return made


def _drawn(chart: Chart | None, why_not: str, words: Wording) -> Model:
    return {"empty": _empty(why_not, words)} if chart is None else {"chart": chart.model()}


def _empty(key: str, words: Wording) -> Model:
    return {"why": words.t(key), "what": words.t(f"{key}_hint")}


def _figure(name: str, value: str, note: str = "") -> Model:
    return {"name": name, "value": value, "note": note}


def _estimate(name: str, estimate: Estimate, note: str, words: Wording) -> Model:
    made = {"name": words.t(name), "what": words.t(f"{name}_what"), "value": words.share(estimate), "note": note}
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return made | {"hint": words.t(f"{name}_hint")}
    end = _round_up(estimate.high)
    scale = _scale(estimate.low, estimate.value, estimate.high, end)
    return made | {
        "range": words.interval(estimate),
        "scale": scale,
        "end": words.t.percent(end, 1 if end < 0.1 else 0),
        "open": name,
    }


def _scale(low: float, value: float, high: float, end: float) -> list[float]:
    return [round(share / end, 4) for share in (low, value, high)]


def _round_up(share: float) -> float:
    """The end of a scale that begins at zero."""
    return next((end for end in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if share <= end), 1.0)


def _block(block: Block, words: Wording) -> Model:
    reasons = words.reasons({f"PART_{reason}": n for reason, n in block.reasons.items()})
    station = station_name((block.plant, block.line, block.station))
    return {
        "mark": "NOT_INSPECTED",
        "text": words.t("block_one" if block.count == 1 else "block", n=words.count(block.count)),
        "detail": f"{station} · {words.stretch(block.started_at, block.ended_at)} · {reasons}",
        "open": f"block:{block.first.decision_id}",
    }


def _alarm(alarm: AlarmRaised, words: Wording, address: Address) -> Model:
    t = words.t
    since = t("alarm_since", at=words.time(alarm.since))
    if alarm.cleared is not None:
        since = t("alarm_cleared", start=words.time(alarm.since), end=words.time(alarm.cleared))
    made: Model = {
        "mark": alarm.severity,
        "word": words.word("severity", alarm.severity),
        "text": words.word("alarm", alarm.kind),
        "detail": f"{printable(' / '.join(alarm.subject.split('/')[1:]))} · {_measured(alarm, words)}",
        "side": since,
        "quiet": alarm.cleared is not None,
    }
    if thumbnails := [f"/pictures/{found[1]}" for uri in alarm.evidence if (found := _STORED.search(uri))]:
        made["pictures"] = thumbnails[:THUMBNAILS]
    plant, line, station, *_ = [*alarm.subject.split("/"), "", ""]
    if plant and line and station:
        scope = Scope(plant, line, station)
        made["go"] = "?" + query_of(Address(scope, address.period, address.start, address.end), t.zone)
    return made


def _measured(alarm: AlarmRaised, words: Wording) -> str:
    """How much, against which limit; of a camera in words, since no single number says it."""
    if alarm.kind in IN_WORDS:
        return printable(alarm.detail)
    if alarm.kind is AlarmKind.RUN_RULE:
        value = words.t.percent(alarm.value)
        limit = None if alarm.limit is None else words.t.percent(alarm.limit)
    else:
        unit = words.word("alarm_unit", alarm.kind)
        value = f"{words.count(alarm.value)} {unit}".strip()
        limit = None if alarm.limit is None else f"{words.count(alarm.limit)} {unit}".strip()
    return value if limit is None else words.t("of_limit", value=value, limit=limit)


def _working(station: InForce, words: Wording) -> Model:
    recipes = [f"{printable(recipe.sku)}@{recipe.version}" for recipe in station.recipes]
    modes = dict.fromkeys(words.word("mode", recipe.mode) for recipe in station.recipes)
    return {
        "text": station_name(station.station),
        "detail": " · ".join(filter(None, (_listed(recipes), _listed(list(modes))))) or words.t("no_recipe"),
        "side": _listed([printable(model) for model in station.models]) or NONE,
    }


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
