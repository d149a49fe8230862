"""The right side: a good part to compare with, what the model said in small print, and what is known of the part.

In a blind case the model's and others' opinions are not there at all. Does not know where a good part comes from.
"""

from __future__ import annotations

from datetime import datetime

from schemas.records import DefectDetected, PartDecided, ReworkOutcome, SampleSelected, VerdictIssued
from streams.downstream.rework.board import Event
from streams.downstream.rework.cases import Case
from streams.downstream.rework.chains import Standing
from streams.inspection.decide import ANY_DEFECT
from streams.web.i18n import Texts
from streams.web.station.elements import Group, Pager, Text, printable
from streams.web.station.queue_view import part_name
from streams.web.station.seat import Seat

LINE_PX = 20
HISTORY = 30  # entries, the newest first
SWAP = """(event) => {
  if (event.detail) event.currentTarget.blur();
  window.dispatchEvent(new CustomEvent("station-picture", { detail: "g" }));
}"""
Facts = dict[str, str]


def facts(t: Texts, case: Case, now: datetime) -> Facts:
    """What is said in small print, by the key of its name."""
    said: Facts = {} if case.blind else _of_model(t, case)
    if case.verdict is not None:
        said["view"] = t("view_of", view=case.view, views=case.views)
    if case.pass_no > 1:
        said["pass"] = str(case.pass_no)
    said["sku"] = printable(case.sku, 64)
    said["camera"] = printable(f"{case.station} / {case.camera}", 130)
    said["inspected"] = t.time(case.inspected_at, now)
    if not case.blind:
        said["model"] = t("none") if case.model_id is None else printable(case.model_id, 64)
        said["recipe"] = _recipe(t, case)
    return said


def _recipe(t: Texts, case: Case) -> str:
    """Its version, and whether it moves parts by itself."""
    if case.recipe_version is None:
        return t("none")
    mode = "" if case.verdict is None else f" · {t(f'mode_{case.verdict.mode}')}"
    return f"{case.recipe_version}{mode}"


def _of_model(t: Texts, case: Case) -> Facts:
    """Label, score and limit of the surest finding; without one, the likeliest class and why nothing was decided."""
    if case.label is not None and case.score is not None and case.threshold is not None:
        label = t("any_defect") if case.label == ANY_DEFECT else printable(case.label, 64)
        found = {"label": f"{label} {t.number(case.score, 2)}", "limit": t.number(case.threshold, 2)}
        return found | _place(case)
    if case.verdict is None:
        return {}
    said = {"reason": printable(case.verdict.detail or t(f"verdict_{case.verdict.reason.value}"), 120)}
    if case.verdict.scores:
        label, score = max(case.verdict.scores.items(), key=lambda item: item[1])
        said["label"] = f"{printable(label, 64)} {t.number(score, 2)}"
    return said


def _place(case: Case) -> Facts:
    """Where the model saw the surest finding, if it looks at parts of a picture."""
    findings = case.verdict.findings if case.verdict else ()
    region = next((f.region for f in findings if f.label == case.label and f.region), None)
    return {"place": printable(region, 100)} if region else {}


def event_text(t: Texts, event: Event) -> str:
    """One line of a part's history."""
    record = event.record
    if isinstance(record, DefectDetected):
        return _verdict_text(t, record.verdict)
    if isinstance(record, SampleSelected):
        return t("history_audit")
    if isinstance(record, PartDecided):
        return t(
            "history_part",
            pass_no=record.pass_no,
            outcome=t(f"state_{record.outcome.value}"),
            came=len(record.views),
            views=record.views_expected,
        )
    return outcome_text(t, record, event.standing)


def _verdict_text(t: Texts, verdict: VerdictIssued) -> str:
    surest = max(verdict.findings, key=lambda finding: finding.score, default=None)
    found = f" {printable(surest.label, 64)} {t.number(surest.score, 2)}" if surest else ""
    outcome = t(f"state_{verdict.outcome.value}") + found
    return t("history_view", pass_no=verdict.pass_no, view=verdict.view, outcome=outcome)


def outcome_text(t: Texts, outcome: ReworkOutcome, standing: Standing = Standing.STANDS) -> str:
    """Who decided what: `Ana: CONFIRMED scratch, rework`."""
    label = outcome.corrected_label or outcome.predicted_label or ""
    label = f" {printable(label, 64)}" if label and outcome.finding.value == "CONFIRMED" else ""
    what = t(f"finding_{outcome.finding.value}") + label
    if outcome.disposition.value != "UNKNOWN":
        what += f", {t(f'disposition_{outcome.disposition.value}')}"
    said = t("history_outcome", name=printable(outcome.operator, 64), what=what)
    return said if standing is Standing.STANDS else f"{said} ({t(f'standing_{standing.value}')})"


class SideView:
    """See the module."""

    def __init__(self, t: Texts) -> None:
        self._t = t
        self._facts: dict[str, tuple[Text, Text]] = {}
        self._history: tuple[str, ...] = ()
        with Group("aside", "st-side", aria_label=t("side")) as self.side:
            self._build(t)
            self._pager = Pager("P", ".st-side-page", t("side_turn"), LINE_PX)

    def _build(self, t: Texts) -> None:
        with Group("div", "st-side-page"):
            self._reference = _Reference(t)
            with Group("div", "st-part-head"):
                self._part = Text("bdi", css="st-part")
                self._mark = Text("span", css="ls-mark st-shape")
            self._blind = Text("p", t("blind_note"), "st-blind")
            with Group("dl", "st-facts"):
                for name in _FACT_NAMES:
                    self._facts[name] = (Text("dt", t(f"fact_{name}")), Text("dd"))
            self._history_head = Text("h3", t("history"), "st-history-head")
            self._list = Group("ol", "st-history")

    def show(self, seat: Seat, now: datetime) -> None:
        case = seat.case
        self.side.set_visibility(case is not None)
        if case is None:
            return
        self._part.set_text(part_name(self._t, case))
        self._mark.set_visibility(not case.blind)
        if not case.blind:
            state = case.outcome.value
            self._mark.classes(replace=f"ls-mark st-shape ls-{state}")
            self._mark.set_text(self._t(f"state_{state}"))
        self._blind.set_visibility(case.blind)
        said = facts(self._t, case, now)
        for name, pair in self._facts.items():
            for element in pair:
                element.set_visibility(name in said)
            pair[1].set_text(said.get(name, ""))
        self._show_history(case, seat, now)

    def show_reference(self, address: str, taken_at: datetime | None, now: datetime) -> None:
        """The good part's picture; an empty address where none is known (yet)."""
        self._reference.show(address, taken_at, now)

    def _show_history(self, case: Case, seat: Seat, now: datetime) -> None:
        t, lines = self._t, []
        if case.part_id and not case.blind:
            events = seat.desk.board.history(case.part_id, seat.operator)
            lines = [f"{t.time(event.at, now)}\n{event_text(t, event)}" for event in reversed(events[-HISTORY:])]
        self._pager.say(t("history_n", n=len(lines)) if lines else "")
        self._history_head.set_visibility(bool(lines))
        if tuple(lines) == self._history:
            return
        self._history = tuple(lines)
        self._list.clear()
        with self._list:
            for line in lines:
                at, _, text = line.partition("\n")
                with Group("li"):
                    Text("time", at)
                    Text("span", text)


_FACT_NAMES = (
    "label", "limit", "place", "reason", "view", "pass", "sku", "camera", "inspected", "model", "recipe",
)  # fmt: skip


class _Reference:
    """A picture of a good part of the same SKU and view; touched, it is shown in the part's place, and back."""

    def __init__(self, t: Texts) -> None:
        self._t = t
        with Group("figure", "st-reference"):
            with Group("button", type="button", aria_keyshortcuts="G", aria_label=t("compare")) as self._button:
                self._image = Group("img", alt="")
            self._none = Text("p", t("reference_none"))
            with Group("figcaption"):
                self._cap = Text("kbd", "G")
                self._caption = Text("span")
        self._button.on("click", js_handler=SWAP)

    def show(self, address: str, taken_at: datetime | None, now: datetime) -> None:
        for element in (self._button, self._cap):
            element.set_visibility(bool(address))
        self._none.set_visibility(not address)
        if self._image.props.get("src") != address:
            self._image.props["src"] = address
        age = "" if taken_at is None else f" · {self._t.time(taken_at, now, seconds=False)}"
        self._caption.set_text(self._t("reference") + age)
