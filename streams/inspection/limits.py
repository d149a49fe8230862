"""How large what comes with a frame or a recipe may be, so that what follows from it can be sent and read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

TEXT_MAX_CHARS = (
    1024  # of every text that a verdict or defect repeats: together they must stay far below a topic's 1 MiB
)
ATTRIBUTES_MAX = 256  # of a frame: they stay in memory while it is under way, and a camera has a few dozen settings
DETAIL_MAX_CHARS = 1024  # of a reason in words: it may quote what came, which may be anything


def check_texts(texts: Iterable[tuple[str, str | None]]) -> None:
    """ValueError for the first of (what it is, text) that is too long."""
    for name, text in texts:
        if text is not None and len(text) > TEXT_MAX_CHARS:
            raise ValueError(f"{name} has more than {TEXT_MAX_CHARS} characters")
