"""How plots of reports look, and their text: the same figures give the same bytes."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "lineside",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#6b7280"  # Okabe and Ito


def svg_of(figure: Figure) -> str:
    """An SVG element, without a date."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
