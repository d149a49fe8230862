"""Words, numbers and times of pages, in the reader's language and the plant's zone.

The words lie in `lang/<language>/<area>.json`, one flat table of key to text a page area; `{name}` in a text is
replaced by a value. Pure: languages and times are arguments. Does not know browsers or pages.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

FOLDER = Path(__file__).parent / "lang"
LANGUAGES = ("en", "de")
MINUS = "\N{MINUS SIGN}"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"


@functools.cache
def load(language: str, area: str) -> Mapping[str, str]:
    """The texts of one area. OSError where there is no such file."""
    table: dict[str, str] = json.loads((FOLDER / language / f"{area}.json").read_text(encoding="utf-8"))
    return table


@dataclass(frozen=True, slots=True)
class Texts:
    """`t("key", n=3)` is the text of a key in one language; keys of the area `common` are there in every area."""

    language: str
    area: str
    zone: ZoneInfo

    def __call__(self, key: str, **values: object) -> str:
        table = load(self.language, self.area)
        text = table[key] if key in table else load(self.language, "common")[key]
        return text.format_map(values) if values else text

    def number(self, value: float, decimals: int = 0) -> str:
        """A number with the language's decimal mark, and thousands set apart from 10,000 on."""
        text = f"{abs(value):,.{decimals}f}" if abs(value) >= 10_000 else f"{abs(value):.{decimals}f}"
        if self.language == "de":
            text = text.replace(",", THIN_SPACE).replace(".", ",")
        is_zero = not any(digit in "123456789" for digit in text)
        return text if value >= 0 or is_zero else MINUS + text

    def percent(self, share: float, decimals: int = 1) -> str:
        """A share of 1 as per cent, such as `0.8 %`."""
        return f"{self.number(100 * share, decimals)}\N{NO-BREAK SPACE}%"

    def time(self, at: datetime, now: datetime, seconds: bool = True) -> str:
        """A time of day in the plant's zone, 24 h, with the date where that is not today's. `at` must be aware."""
        here, today = at.astimezone(self.zone), now.astimezone(self.zone).date()
        clock = here.strftime("%H:%M:%S" if seconds else "%H:%M")
        return clock if here.date() == today else f"{self.date(here)} {clock}"

    def date(self, at: datetime) -> str:
        """A day as the language writes it: 2026-07-31, in German 31.07.2026."""
        return at.astimezone(self.zone).strftime("%d.%m.%Y" if self.language == "de" else "%Y-%m-%d")

    def age(self, seconds: float) -> str:
        """How long ago, in the largest unit that fits: `2 s`, `5 min`, `3 h`, `4 d`."""
        for limit, unit, key in ((120, 1, "age_s"), (7_200, 60, "age_min"), (172_800, 3_600, "age_h")):
            if seconds < limit:
                return self(key, n=int(max(0.0, seconds) // unit))
        return self("age_d", n=int(seconds // 86_400))


def choose(*wishes: str | None) -> str:
    """The first wish that is a language we have, else English."""
    return next((wish for wish in wishes if wish in LANGUAGES), LANGUAGES[0])
