"""The middle of the page: the picture of the open case, a block of uninspected parts, or why there is nothing to do.

Does not decide what is open; draws no conclusion from the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from streams.downstream.parts.blocks import Block
from streams.downstream.rework.cases import Case
from streams.web.i18n import Texts
from streams.web.station.draft import first_label
from streams.web.station.elements import Group, KeyPress, PictureView, Text, printable
from streams.web.station.seat import Seat

PICTURE_TEXTS = (
    "picture", "tools", "loading", "failed", "heating", "smaller", "larger", "fit", "left", "right", "up", "down",
    "overlay", "ring", "heat", "off", "full", "good",
)  # fmt: skip
UNTIL = " \N{EN DASH} "
NOTHING = "\N{EN DASH}"


def picture_address(case: Case) -> str:
    """Where the case's picture is served; raw pictures say how their bytes are laid out."""
    layout = {"encoding": case.encoding.value, "width": case.width, "height": case.height}
    layout |= {name: value for name in ("stride", "bits") if (value := getattr(case, name)) is not None}
    return f"/pictures/{case.image_sha256}?{urlencode(layout)}"


def heat_address(case: Case, label: str) -> str:
    return f"/station/heatmaps/{case.verdict_id}?{urlencode({'label': label})}"


class StageView:
    """See the module. `explains` says whether the model of a case is at hand."""

    def __init__(self, t: Texts, on_key: Callable[[str], Any], explains: Callable[[Case], bool]) -> None:
        self._t = t
        self._explains = explains
        with Group("section", "st-stage", aria_label=t("stage")):
            self._picture = PictureView({name: t(f"picture_{name}") for name in PICTURE_TEXTS})
            self._block = _BlockCard(t, on_key)
            with Group("div", "st-nothing") as self._empty:
                self._why = Text("strong")
                self._do = Text("p")

    def show(self, seat: Seat, now: datetime) -> None:
        self._picture.set_visibility(seat.case is not None)
        self._block.card.set_visibility(seat.block is not None)
        self._empty.set_visibility(seat.case is None and seat.block is None)
        if seat.case is not None:
            self._show_case(seat.case, seat)
        elif seat.block is not None:
            self._block.show(seat.block, now)
        else:
            self._picture.show("")
            self._show_nothing(seat)

    def compare_with(self, good: str) -> None:
        """The address of a good part's picture, empty where there is none."""
        self._picture.compare_with(good)

    def _show_case(self, case: Case, seat: Seat) -> None:
        findings = case.verdict.findings if case.verdict and not case.blind else ()
        places = seat.desk.board.places(case)
        boxes = [place.box for place in places] or [finding.box for finding in findings if finding.box]
        label = first_label(case, seat.good)
        heat = heat_address(case, label) if label is not None and self._explains(case) else ""
        self._picture.show(picture_address(case), heat, boxes, [place.outline for place in places])

    def _show_nothing(self, seat: Seat) -> None:
        held = len(seat.queue())
        kind = "lost" if not seat.desk.connected else "held" if held else "empty"
        self._why.set_text(self._t(f"{kind}_why", n=held))
        self._do.set_text(self._t(f"{kind}_do"))


class _BlockCard:
    """Uninspected parts in a row: why, when, how many, and what can be done."""

    def __init__(self, t: Texts, on_key: Callable[[str], Any]) -> None:
        self._t = t
        with Group("article", "st-block") as self.card:
            Text("span", t("state_NOT_INSPECTED"), "ls-mark ls-NOT_INSPECTED")
            self._count = Text("strong", css="st-block-count")
            with Group("dl", "st-facts"):
                self._facts = {name: _fact(t(f"block_{name}")) for name in ("where", "when", "why", "first", "last")}
            with Group("div", "st-block-actions"):
                KeyPress("i", on_key, "", t("block_inspect"))
                KeyPress("l", on_key, "", t("block_send"))

    def show(self, block: Block, now: datetime) -> None:
        t = self._t
        self._count.set_text(t("block_count", n=block.count))
        when = f"{t.time(block.started_at, now)}{UNTIL}{t.time(block.ended_at, now)}"
        why = ", ".join(t("block_reason", reason=t(f"reason_{r}"), n=n) for r, n in sorted(block.reasons.items()))
        texts = {
            "where": printable(f"{block.plant} / {block.line} / {block.station}"),
            "when": when,
            "why": why,
            "first": printable(block.first.part_id or NOTHING),
            "last": printable(block.last.part_id or NOTHING),
        }
        for name, text in texts.items():
            self._facts[name].set_text(text)


def _fact(name: str) -> Text:
    Text("dt", name)
    return Text("dd")
