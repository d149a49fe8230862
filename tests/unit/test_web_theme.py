"""The colours of both themes can be read: 4.5:1, and 7:1 for what decides (WCAG 2.2, 1.4.3 and 1.4.6)."""

import re

import pytest

from streams.web.frame import STATIC

CSS = (STATIC / "theme.css").read_text()
GROUNDS = ("bg", "surface", "raised")
DECIDES = ("text", "ng", "unsure", "uninspected", "error")


def variables(selector: str) -> dict[str, str]:
    block = CSS[CSS.index(f"\n{selector} {{") :].split("}", 1)[0]
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))


LIGHT = variables(":root")
THEMES = {"light": LIGHT, "dark": LIGHT | variables(':root[data-theme="dark"]')}


def luminance(colour: str) -> float:
    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", GROUNDS)
def test_texts_and_states_can_be_read_on_every_ground(theme: str, ground: str) -> None:
    colours = THEMES[theme]
    low = {c: round(contrast(colours[c], colours[ground]), 2) for c in (*DECIDES, "muted", "ok")}
    needed = 4.5 if ground == "raised" else 7.0
    assert all(low[c] >= needed for c in DECIDES), low
    assert low["muted"] >= 4.5, low
    assert low["ok"] >= 4.5, low


@pytest.mark.parametrize("theme", THEMES)
def test_buttons_and_shapes_stand_out(theme: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours["on-ink"], colours["ink"]) >= 7.0
    for shape in ("edge", "ng-fill", "unsure-fill", "uninspected-fill"):
        for ground in ("bg", "surface"):
            assert contrast(colours[shape], colours[ground]) >= 3.0, shape


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in STATIC.rglob("*"):
        if path.suffix in (".css", ".js", ".svg"):
            outside = re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s'\")]+", path.read_text())
            assert outside == [], path.name
