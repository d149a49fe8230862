"""What opens over the strip and closes again: the choice of a defect's class, and a note in the operator's words.

Both take keys or touch alike and change nothing when they are closed without a choice. Do not know the case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from nicegui import ui

from streams.downstream.rework.decisions import COMMENT_MAX
from streams.web.i18n import Texts
from streams.web.station.elements import LET_GO, Group, KeyPress, Text, printable

BY_KEY = 9  # classes that a digit chooses; more are there to be touched
CLASSES = 24
NONE_KEY = "0"


class Chooser:
    """A button a class; digits choose the likeliest."""

    def __init__(self, t: Texts, on_label: Callable[[str | None], Awaitable[None]]) -> None:
        self._t = t
        self._on_label = on_label
        self._labels: list[str] = []
        with Group("div", "st-panel", role="dialog", aria_label=t("choose_class")) as self._panel:
            Text("h3", t("choose_class"))
            self._buttons = Group("div", "st-classes")
        self._panel.set_visibility(False)

    @property
    def is_open(self) -> bool:
        return bool(self._panel.visible)

    def open(self, labels: Sequence[str]) -> None:
        self._labels = list(labels)[:CLASSES]
        self._buttons.clear()
        with self._buttons:
            for place, label in enumerate(self._labels, 1):
                cap = str(place) if place <= BY_KEY else "·"
                KeyPress(cap, partial(self._chosen, label), "", printable(label, 64))
            KeyPress(NONE_KEY, lambda _: self._choose(None), "st-quiet", self._t("no_class"))
            KeyPress("Esc", lambda _: self.close(), "st-quiet", self._t("close"))
        self._panel.set_visibility(True)

    def close(self) -> None:
        self._panel.set_visibility(False)

    async def press(self, key: str) -> None:
        """A key while the panel is open: one that chooses nothing does nothing."""
        if key in ("escape", "c"):
            self.close()
        elif key == NONE_KEY:
            await self._choose(None)
        elif key.isdecimal() and int(key) <= min(BY_KEY, len(self._labels)):
            await self._choose(self._labels[int(key) - 1])

    async def _chosen(self, label: str, _key: str) -> None:
        await self._choose(label)

    async def _choose(self, label: str | None) -> None:
        self.close()
        await self._on_label(label)


class NoteBox:
    """A box to type into."""

    def __init__(self, t: Texts, on_note: Callable[[str], Awaitable[None]]) -> None:
        self._on_note = on_note
        with Group("div", "st-panel", role="dialog", aria_label=t("note")) as self._panel:
            self._box = ui.textarea(t("note")).props(f"outlined autogrow spellcheck=false maxlength={COMMENT_MAX}")
            self._box.classes("ls-field st-note")
            self._box.on("keydown.escape", self.close, js_handler=LET_GO)
            with Group("div", "st-classes"):
                KeyPress("⏎", lambda _: self._keep(), "", t("note_keep"))
                KeyPress("Esc", lambda _: self.close(), "st-quiet", t("close"))
            self._box.on("keydown.enter.exact.prevent", self._keep, js_handler=LET_GO)
        self._panel.set_visibility(False)

    def open(self, note: str) -> None:
        self._box.value = note
        self._panel.set_visibility(True)
        self._box.run_method("focus")

    def close(self) -> None:
        self._panel.set_visibility(False)

    async def _keep(self) -> None:
        self.close()
        await self._on_note(str(self._box.value or ""))
