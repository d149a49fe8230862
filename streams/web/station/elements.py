"""The page's own elements: text in any tag, plain buttons, and the two that the browser itself works: keys and picture.

Whatever comes from events or scanners is put in as text or as a property, never as HTML or as a list of properties to
be parsed. Knows no case and no desk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from schemas.records import Box

TEXT_MAX_CHARS = 200  # longer texts are cut: nobody reads them, and a page must not grow by them
LET_GO = "(event) => { event.target.blur(); emit(); }"
"""A handler in the browser: the focus leaves a text box at once, so that the next key is a decision's again."""
UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, max_chars: int = TEXT_MAX_CHARS) -> str:
    """Foreign text as a person can trust it: what can't be seen or turns the writing around is marked, and cut."""
    seen = "".join(c if c.isprintable() else UNPRINTABLE for c in text[: max_chars + 1])
    return seen if len(seen) <= max_chars else seen[:max_chars] + "…"


class Text(TextElement):
    """Text in a tag: `Text("dt", "Camera")`."""

    def __init__(self, tag: str = "span", text: str = "", css: str = "") -> None:
        super().__init__(tag=tag, text=text)
        if css:
            self.classes(css)


class Group(Element):
    """A tag with others in it: `with Group("section", "st-side"):`."""

    def __init__(self, tag: str = "div", css: str = "", **properties: str) -> None:
        super().__init__(tag)
        self.classes(css)
        for name, value in properties.items():
            self.props[name.replace("_", "-")] = value


class Press(Element):
    """A plain button; what it says stands in it. It lets go of the focus, so that a scanner's Enter can't press it."""

    def __init__(self, on_press: Callable[[], Any], css: str = "", name: str | None = None) -> None:
        super().__init__("button")
        self.classes(css)
        self.props["type"] = "button"
        if name is not None:
            self.props["aria-label"] = name
        self.on("click", on_press, js_handler="(event) => { if (event.detail) event.currentTarget.blur(); emit(); }")

    def state(self, *, enabled: bool = True, pressed: bool | None = None, name: str | None = None) -> None:
        """Says what is different from before, and nothing where nothing is."""
        wanted: dict[str, str | bool | None] = {"disabled": not enabled or None, "aria-label": name}
        wanted["aria-pressed"] = None if pressed is None else str(pressed).lower()
        for key, value in wanted.items():
            if value is not None and self.props.get(key) != value:
                self.props[key] = value
            elif value is None and key in self.props and key != "aria-label":
                del self.props[key]


class KeyPress(Press):
    """A button that a key presses too: the key's cap, what it does, and a second line where there is one."""

    def __init__(self, key: str, on_key: Callable[[str], Any], css: str = "", text: str = "") -> None:
        super().__init__(lambda: on_key(key), f"st-key {css}".strip())
        self.props["aria-keyshortcuts"] = key.upper()
        with self:
            Text("kbd", key.upper())
            with Group("span", "st-key-text"):
                self._does = Text("span", text)
                self._line = Text("bdi")

    def say(self, text: str, line: str = "") -> None:
        self._does.set_text(text)
        self._line.set_text(line)


class Keys(Element, component="keys.js"):
    """Keys and scanner, wherever the focus is."""

    def __init__(
        self, on_press: Callable[[str], Any], on_scan: Callable[[str], Any], on_cut_off: Callable[[], Any]
    ) -> None:
        super().__init__()
        self.on("press", lambda event: on_press(str(event.args)))
        self.on("scan", lambda event: on_scan(str(event.args)))
        self.on("cut-off", lambda: on_cut_off())

    def tone(self) -> None:
        """The short tone that says: saved."""
        self.run_method("tone")


class PictureView(Element, component="picture.js"):
    """A picture with zoom, rings, outlines and heatmap."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__()
        self.props.update({"src": "", "heat": "", "good": "", "boxes": [], "outlines": [], "texts": dict(texts)})

    def show(
        self, src: str, heat: str = "", boxes: Sequence[Box] = (), outlines: Sequence[Sequence[float]] = ()
    ) -> None:
        """A picture by its address, none by an empty one. The same picture again changes nothing.

        `outlines`: of each, x and y in turn of a closed polygon in the picture's pixels; fewer than three are none.
        """
        drawn = [" ".join(f"{number:g}" for number in outline) for outline in outlines if len(outline) >= 6]
        wanted = {"src": src, "heat": heat, "boxes": [box.to_avro() for box in boxes], "outlines": drawn}
        if any(self.props.get(key) != value for key, value in wanted.items()):
            self.props.update(wanted)

    def compare_with(self, good: str) -> None:
        """The address of a good part's picture, empty where there is none."""
        if self.props["good"] != good:
            self.props["good"] = good


class Pager(Element, component="pager.js"):
    """A button that turns the list of a CSS class by pages; `unit_px` is the height of what must not be cut in two."""

    def __init__(self, key: str, target: str, name: str, unit_px: int) -> None:
        super().__init__()
        self.props.update({"target": target, "cap": key, "name": name, "text": "", "unit": unit_px})

    def say(self, text: str) -> None:
        """What stands on the button; without a text it is not there."""
        if self.props["text"] != text:
            self.props["text"] = text


def set_class(element: ui.element, name: str, on: bool) -> None:
    """Have a class or not."""
    if (name in element.classes) != on:
        element.classes(add=name) if on else element.classes(remove=name)
