"""A checked data set as one HTML file, with the pictures that people should look at."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from models.dataset import SPLITS
from models.dataset_rows import Item
from models.likeness import U8
from streams.datasets.checking import Checked
from streams.reports.page import png_source, render
from streams.reports.svg import BLUE, GREY, ORANGE, STYLE, svg_of

SHOWN = 48  # pictures of each kind
SIDE = 320  # pixels, the longer one


def check_page(name: str, found: Checked, pixels_of: Callable[[Item], U8]) -> str:
    """The report; `pixels_of` gives an item's picture, uint8 RGB [h, w, 3]."""
    return render(
        "streams.datasets",
        "check.html.jinja",
        {"picture": lambda item: png_source(_small(pixels_of(item)))},
        name=name,
        found=found,
        answer=answer(found),
        balance=balance_chart(found),
        pairs=found.pairs[:SHOWN],
        doubts=(found.doubts or ())[:SHOWN],
    )


def answer(found: Checked) -> str:
    """The check in one sentence."""
    if found.problems:
        return f"No: {len(found.problems)} problems would make the figures of a model wrong."
    if found.cautions:
        return "Yes, within the limits below."
    return "Yes."


def balance_chart(found: Checked) -> str:
    """Parts of each class, by split."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.8 + 0.35 * len(found.balance)), layout="constrained")
        axes = figure.subplots()
        rows = list(range(len(found.balance)))[::-1]
        left = [0] * len(rows)
        for split, color, place in zip(SPLITS, (BLUE, GREY, ORANGE), (0.0, 0.5, 1.0), strict=True):
            counts = [held.parts[split] for held in found.balance]
            axes.barh(rows, counts, left=left, color=color, height=0.7)
            align = {0.0: "left", 0.5: "center", 1.0: "right"}[place]
            text = f"{split}, n = {sum(counts)}"
            axes.annotate(text, (place, 1.02), xycoords="axes fraction", color=color, ha=align, va="bottom")
            left = [before + count for before, count in zip(left, counts, strict=True)]
        for row, total in zip(rows, left, strict=True):
            axes.annotate(str(total), (total, row), xytext=(4, 0), textcoords="offset points", va="center")
        axes.set(yticks=rows, yticklabels=[held.name for held in found.balance], xlabel="parts")
        return svg_of(figure)


def _small(pixels: U8) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
