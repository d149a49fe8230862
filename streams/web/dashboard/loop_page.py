"""The page of the loop: where the retraining of each line and SKU stands, and what comes next. Read only.

Place in the flow: `/loop` of the dashboard, over `retraining/standing.py`, which all pages share and which follows the
topics. People approve on the command line. Texts of others (lines, models, names) are shown as text alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nicegui import ui

from schemas.records import ModelProposed
from streams.downstream.overview.log import BEGINNING
from streams.downstream.rework.bus import Feed
from streams.downstream.rework.kafka_bus import KafkaBus
from streams.inspection.recipes import ANY_SKU
from streams.retraining.proposals import Proposal
from streams.retraining.standing import Row, Standing
from streams.settings import Settings
from streams.topics import OUTCOMES, PROPOSALS, RECIPES, SAMPLES
from streams.web.access.doors import require
from streams.web.dashboard.wording import NONE, printable
from streams.web.i18n import Texts
from streams.web.shell import page, page_shell, texts
from streams.web.widgets import Age, empty

LOOP_PATH = "/loop"
LOOK_S = 1.0
AGAIN = timedelta(seconds=3)
SHOWN = 5  # proposals of a row, the newest first
DASH = "\N{EN DASH}"


@dataclass(slots=True)
class Loop:
    """What all pages of the loop share."""

    standing: Standing
    clock: Callable[[], datetime]
    _shown: tuple[int, datetime, list[Row]] | None = None

    def rows(self) -> list[Row]:
        """Counted anew when anything changed, and now and then, because a recipe may have begun."""
        now, version = self.clock(), self.standing.version
        if self._shown is None or self._shown[0] != version or now - self._shown[1] >= AGAIN:
            self._shown = (version, now, self.standing.rows(now))
        return self._shown[2]


@contextlib.asynccontextmanager
async def open_loop(settings: Settings) -> AsyncIterator[Loop]:
    """Follows the topics; what they hold is read when it begins."""
    standing, bus = Standing(), KafkaBus(settings, BEGINNING)
    feeds = (
        Feed(SAMPLES, standing.sample),
        Feed(OUTCOMES, standing.outcome),
        Feed(RECIPES, standing.recipe),
        Feed(PROPOSALS, standing.proposal),
    )
    try:
        await bus.start(feeds, lambda: None)
        yield Loop(standing, lambda: datetime.now(UTC))
    finally:
        await bus.stop()


def add_loop_page(loop: Loop) -> None:
    """Makes the page known."""

    @page(LOOP_PATH)
    def loop_page() -> None:
        require()
        t = texts("loop")
        with page_shell("loop", t("title")) as frame, frame.main:
            _Content(loop, t)


class _Content:
    """Drawn anew when anything changed, and as a time comes at which a recipe begins."""

    def __init__(self, loop: Loop, t: Texts) -> None:
        self._loop, self._t = loop, t
        self._rows: list[Row] = []
        self._drawn = False
        with ui.element("div").classes("lp-head"):
            ui.label(t("intro")).classes("ls-muted")
            self._age = Age(t)
        self._place = ui.element("div").classes("lp-rows")
        self._look()
        ui.timer(LOOK_S, self._look)

    def _look(self) -> None:
        now = self._loop.clock()
        rows = self._loop.rows()
        self._age.set(now, now)
        if self._drawn and rows == self._rows:
            return
        self._rows, self._drawn = rows, True
        self._place.clear()
        with self._place:
            if not rows:
                empty(self._t("nothing"), self._t("nothing_hint"))
            for row in rows:
                _row(self._t, row, now)


def _row(t: Texts, row: Row, now: datetime) -> None:
    with ui.element("section").classes("ls-card lp-row"):
        with ui.element("div").classes("lp-title"):
            sku = t("every_sku") if row.scope.sku == ANY_SKU else printable(row.scope.sku)
            _text("h2", f"{printable(row.scope.plant)} / {printable(row.scope.line)} · {sku}")
            _text("p", _next(t, row)).classes("lp-next")
        with ui.element("div").classes("lp-facts"):
            _fact(t("in_force"), *_in_force(t, row, now))
            _fact(t("samples"), t.number(row.samples), _strategies(t, row))
            _fact(t("labelled"), t("of", n=t.number(row.labelled), total=t.number(row.samples)), _waiting(t, row))
            _fact(t("escapes"), t.number(row.escapes), t("escapes_hint"))
            _fact(t("overkill"), t.number(row.overkill), t("overkill_hint"))
            _fact(t("dataset"), *_dataset(t, row))
        if row.proposals:
            _proposals(t, row, now)


def _next(t: Texts, row: Row) -> str:
    waiting = next((proposal.first for proposal in row.proposals if proposal.is_open), None)
    return t(
        f"next_{row.next.value}",
        unlabelled=t.number(row.unlabelled),
        samples=t.number(row.samples),
        labelled=t.number(row.labelled),
        model=printable(waiting.model_id) if waiting else "",
        proposal=str(waiting.proposal_id)[:8] if waiting else "",
    )


def _in_force(t: Texts, row: Row, now: datetime) -> tuple[str, str]:
    if row.recipe is None or row.since is None:
        return NONE, t("in_force_none")
    version = t("version", n=row.recipe.version)
    return printable(row.recipe.model_id), t("since", at=t.time(row.since, now, seconds=False), version=version)


def _strategies(t: Texts, row: Row) -> str:
    told = [f"{t(f'strategy_{name}')} {t.number(n)}" for name, n in row.chosen.items()]
    return ", ".join(told) or t("samples_none")


def _waiting(t: Texts, row: Row) -> str:
    return t("unlabelled", n=t.number(row.unlabelled)) if row.unlabelled else ""


def _dataset(t: Texts, row: Row) -> tuple[str, str]:
    if row.dataset is None:
        return NONE, t("dataset_none")
    name, _, version = row.dataset.rpartition("@")
    return printable(version), printable(name)


def _proposals(t: Texts, row: Row, now: datetime) -> None:
    with ui.element("table").classes("lp-proposals"):
        with ui.element("thead"), ui.element("tr"):
            for name in ("proposal", "escape_rate", "overkill_rate", "state"):
                _text("th", t(name))
        with ui.element("tbody"):
            for proposal in row.proposals[:SHOWN]:
                _proposal(t, proposal, now)
    if len(row.proposals) > SHOWN:
        _text("p", t("more", n=t.number(len(row.proposals) - SHOWN))).classes("ls-muted ls-small")


def _proposal(t: Texts, proposal: Proposal, now: datetime) -> None:
    first, newest = proposal.first, proposal.newest
    with ui.element("tr"):
        with ui.element("td"):
            _text("div", printable(first.model_id)).classes("lp-strong")
            proposed = t("proposed", by=printable(first.proposed_by), at=t.time(proposal.first_at, now, seconds=False))
            _text("div", f"{str(first.proposal_id)[:8]} · {proposed}").classes("ls-muted ls-small")
        for name in ("escape", "overkill"):
            with ui.element("td"):
                _text("div", f"{_share(t, first, f'base_{name}')} → {_share(t, first, name)}").classes("lp-strong")
                intervals = f"{_interval(t, first, f'base_{name}')} → {_interval(t, first, name)}"
                _text("div", intervals).classes("ls-muted ls-small")
        with ui.element("td"):
            _text("div", t(f"state_{newest.state.value}")).classes("lp-strong")
            if newest.decided_by is not None:
                decided = t("decided", by=printable(newest.decided_by), at=t.time(proposal.newest_at, now, False))
                _text("div", f"{decided}: {printable(newest.reason)}").classes("ls-muted ls-small")


def _share(t: Texts, record: ModelProposed, name: str) -> str:
    value = record.metrics.get(name)
    return NONE if value is None else t.percent(value)


def _interval(t: Texts, record: ModelProposed, name: str) -> str:
    low, high = (record.metrics.get(f"{name}_{end}") for end in ("low", "high"))
    return NONE if low is None or high is None else f"[{t.number(100 * low, 1)}{DASH}{t.number(100 * high, 1)}]"


def _fact(name: str, value: str, hint: str) -> None:
    with ui.element("div").classes("lp-fact"):
        _text("div", name).classes("ls-muted ls-small")
        _text("div", value).classes("lp-value")
        _text("div", hint).classes("ls-muted ls-small")


def _text(tag: str, text: str) -> ui.element:
    """An element with text in it, which is never markup."""
    with ui.element(tag) as made:
        ui.label(text).classes("ls-text")
    return made
