"""The fields of a recipe: from what holds to what an engineer wants instead.

Place in the flow: the first step of the dialog. What it gives is a wish in the person's own values; whether it can be
obeyed, `recipes/wishes.py` says. A model's limits are read when it is chosen. Publishes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from nicegui import ui

from schemas.records import Fallback, Mode, Recipe
from streams.errors import CallerError, LinesideError
from streams.inspection.decide import ANY_DEFECT
from streams.recipes.desk import RecipeDesk
from streams.recipes.wishes import Wish
from streams.web.dashboard.wording import printable
from streams.web.i18n import Texts
from streams.web.recipes.wording import defect_name, model_facts, model_text
from streams.web.widgets import button, field

MODES = (Mode.COLLECT, Mode.ADVISE, Mode.ACT)
ACTIONS = (Fallback.NOT_INSPECTED, Fallback.UNSURE, Fallback.NG)
NO_MODEL = ""
Choice = TypeVar("Choice")


class ChangeForm:
    """Built where it is made. `before`: what the change begins with; None for the first recipe of a scope."""

    def __init__(self, t: Texts, desk: RecipeDesk, before: Recipe | None) -> None:
        self._t, self._desk, self._before = t, desk, before
        self._limits: dict[str, ui.input] = {}
        self._build()

    def wish(self) -> Wish:
        """What shall be different; CallerError for a field that says nothing or no number."""
        if not self._model.value:
            raise CallerError(self._t("needs_model"))
        return Wish(
            model_id=self._model.value,
            shadow_model_id=self._shadow.value,
            mode=self._mode.value,
            thresholds=self._thresholds(),
            unsure_band=self._number(self._band, self._t("field_unsure_band")),
            late_action=self._late.value,
            error_action=self._error.value,
            part_timeout_ms=round(self._number(self._timeout, self._t("field_part_timeout_ms"))),
            other_classes=bool(self._other.value),
        )

    def _build(self) -> None:
        t, before = self._t, self._before
        released = {r.first.model_id: model_text(t, r) for r in self._desk.book.all() if not r.retired}
        held = before.model_id if before else None
        if held and held not in released:
            released[held] = t("model_gone", model=printable(held))
        with ui.element("div").classes("rc-fields rc-models"):
            self._model = _select(t("field_model_id"), released, held, self._chosen)
            shadows = {NO_MODEL: t("none")} | released
            shadow = before.shadow_model_id if before else None
            self._shadow = _select(t("field_shadow_model_id"), shadows, shadow if shadow in shadows else NO_MODEL)
        with ui.element("details").classes("rc-model") as self._about:
            with ui.element("summary"):
                ui.label(t("about_model"))
            self._figures = ui.element("dl")
        self._other = ui.checkbox(t("other_classes")).classes("rc-check")
        self._mode = Segments(t("field_mode"), [(m, t(f"mode_name_{m}")) for m in MODES], self._explain)
        self._mode_says = ui.label().classes("ls-muted rc-says")
        self._mode.choose(before.mode if before and before.mode in MODES else Mode.ADVISE)
        with ui.element("fieldset").classes("rc-limits"):
            with ui.element("legend"):
                ui.label(t("limits"))
            self._reading = ui.label().classes("ls-muted").props("role=status")
            self._limit_fields = ui.element("div").classes("rc-fields rc-numbers")
        self._build_rest(before)

    def _build_rest(self, before: Recipe | None) -> None:
        t = self._t
        actions = [(a, t(f"state_{a}")) for a in ACTIONS]
        self._late = Segments(t("field_late_action"), actions)
        self._late.choose(_known(before.late_action if before else None, ACTIONS))
        self._error = Segments(t("field_error_action"), actions)
        self._error.choose(_known(before.error_action if before else None, ACTIONS))
        with ui.element("div").classes("rc-fields rc-numbers"):
            self._timeout = field(f"{t('field_part_timeout_ms')} (ms)").props("inputmode=numeric")
            self._timeout.value = str(before.part_timeout_ms if before else 5_000)
        self._show_limits(before.thresholds if before else {}, before.unsure_band if before else 0.05)
        self._tell_model()

    def _explain(self, mode: Mode) -> None:
        self._mode_says.text = self._t(f"mode_what_{mode}")

    async def _chosen(self) -> None:
        """Another model has limits of its own; the one before keeps those that hold."""
        self._tell_model()
        model_id = self._model.value
        if self._before is not None and model_id == self._before.model_id:
            self._show_limits(self._before.thresholds, self._before.unsure_band)
            return
        self._reading.text = self._t("reading_model")
        try:
            facts = (await self._desk.facts(model_id))[model_id]
        except LinesideError as error:
            self._reading.text = str(error)
            return
        self._reading.text = ""
        if self._model.value == model_id:
            self._show_limits(dict.fromkeys(sorted(facts.defects), 0.5) | dict(facts.thresholds), facts.unsure_band)

    def _show_limits(self, thresholds: Mapping[str, float], band: float) -> None:
        limits: dict[str, float | None] = {ANY_DEFECT: None, **thresholds}
        self._limit_fields.clear()
        with self._limit_fields:
            order = sorted(limits, key=lambda label: (label == ANY_DEFECT, label))
            self._limits = {label: _number_field(defect_name(self._t, label), limits[label]) for label in order}
            self._band = _number_field(self._t("field_unsure_band"), band)

    def _tell_model(self) -> None:
        release = self._desk.book.get(self._model.value or "")
        self._about.visible = release is not None
        self._other.visible = False
        if release is None:
            return
        self._figures.clear()
        with self._figures:
            for name, value in model_facts(self._t, release, release.first_at):
                with ui.element("dt"):
                    ui.label(name)
                with ui.element("dd"):
                    ui.label(value).classes("ls-text")
        former = self._desk.book.get(self._before.model_id) if self._before else None
        self._other.visible = former is not None and set(former.first.classes) != set(release.first.classes)

    def _thresholds(self) -> dict[str, float]:
        """Empty: no limit for all together, if there was none."""
        had = self._before.thresholds if self._before else {}
        wanted = {}
        for label, box in self._limits.items():
            if label == ANY_DEFECT and not (box.value or "").strip():
                if label in had and self._before and self._model.value == self._before.model_id:
                    raise CallerError(self._t("any_defect_stays"))
                continue
            wanted[label] = self._number(box, defect_name(self._t, label))
        return wanted

    def _number(self, box: ui.input, name: str) -> float:
        text = (box.value or "").strip().replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise CallerError(self._t("no_number", name=name, came=printable(text) or self._t("nothing")))
        return value


class Segments(Generic[Choice]):
    """One of a few, all in sight: buttons of which one is pressed."""

    def __init__(
        self, name: str, choices: Sequence[tuple[Choice, str]], on_change: Callable[[Choice], None] | None = None
    ) -> None:
        self.on_change = on_change
        self.value: Choice = choices[0][0]
        with ui.element("div").classes("rc-choice").props("role=group") as group:
            group.props["aria-label"] = name
            ui.label(name).classes("rc-label")
            with ui.element("div").classes("ls-segments"):
                self._buttons = {c: button(text, lambda _, c=c: self.choose(c)) for c, text in choices}

    def choose(self, choice: Choice) -> None:
        self.value = choice
        for known, made in self._buttons.items():
            made.props(f"aria-pressed={str(known == choice).lower()}")
        if self.on_change is not None:
            self.on_change(choice)


def _known(value: Choice | None, choices: Sequence[Choice]) -> Choice:
    return value if value is not None and value in choices else choices[0]


def _number_field(name: str, value: float | None) -> ui.input:
    made = field(name).props("inputmode=decimal")
    made.value = "" if value is None else f"{value:.6g}"
    return made


def _select(
    name: str, options: dict[str, str], value: str | None, on_change: Callable[[], Awaitable[None]] | None = None
) -> ui.select:
    made = ui.select(options, label=name, value=value, on_change=on_change)
    return made.props("outlined behavior=menu options-dense").classes("ls-field")
