"""Small parts that all pages use: buttons, fields, marks of state, ages, empty states. Knows the theme's classes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from nicegui import ui

from streams.web.i18n import Texts

_stamps = itertools.count()


def button(text: str, on_click: Callable[..., Any] | None = None, *kinds: str) -> ui.button:
    """A neutral button. Kinds: `primary` (filled), `quiet` (no frame), `touch` (84 px, for gloves)."""
    made = ui.button(text, on_click=on_click, color=None).props("unelevated no-caps")
    return made.classes(" ".join(["ls-button", *(f"ls-{kind}" for kind in kinds)]))


def field(label: str, *, password: bool = False) -> ui.input:
    """A field of text, 56 px high, with its label inside."""
    return ui.input(label, password=password).props("outlined spellcheck=false").classes("ls-field")


def state_mark(t: Texts, state: str) -> ui.label:
    """Shape and word of a state: OK, NG, UNSURE, NOT_INSPECTED or ERROR."""
    return ui.label(t(f"state_{state}")).classes(f"ls-mark ls-{state}")


def empty(why: str, what_to_do: str) -> ui.element:
    """In place of what is not there: why it is empty, and what to do."""
    with ui.element("div").classes("ls-empty") as made:
        with ui.element("strong"):
            ui.label(why)
        ui.label(what_to_do)
    return made


def units(t: Texts) -> str:
    """The units of ages, as shell.js wants them."""
    return json.dumps([t(key, n="{n}") for key in ("age_s", "age_min", "age_h", "age_d")])


class Age:
    """A label such as "updated 2 s ago" that counts in the browser. Within an element of class `ls-ages`, all of it is
    marked stale (hollow) from 10 s on."""

    def __init__(self, t: Texts, at: datetime | None = None, now: datetime | None = None) -> None:
        self.element = ui.element("span").classes("ls-age ls-muted ls-small")
        self.element.props["data-text"] = t("updated", age="{age}")
        self.element.props["data-units"] = units(t)
        if at and now:
            self.set(at, now)

    def set(self, at: datetime, now: datetime) -> None:
        """What is shown is of time `at`."""
        self.element.props["data-age"] = str(max(0.0, (now - at).total_seconds()))
        self.element.props["data-stamp"] = str(next(_stamps))
        self.element.update()
