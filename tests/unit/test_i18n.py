"""Every language says everything, with the same values in it; numbers and times are written as people there do."""

import json
import string
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from streams.web.i18n import FOLDER, LANGUAGES, Texts, choose, load

AREAS = sorted({path.stem for path in FOLDER.glob("*/*.json")})
NOW = datetime(2026, 7, 31, 21, 30, tzinfo=UTC)  # in Berlin 23:30
ENGLISH = Texts("en", "common", ZoneInfo("Europe/Berlin"))
GERMAN = Texts("de", "common", ZoneInfo("Europe/Berlin"))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("area", AREAS)
def test_all_languages_have_the_same_keys_and_placeholders(area: str) -> None:
    tables = {language: load(language, area) for language in LANGUAGES}
    english = tables["en"]
    for language, table in tables.items():
        assert set(table) == set(english), f"{language}/{area}.json"
        for key, text in table.items():
            assert placeholders(text) == placeholders(english[key]), f"{language}/{area}.json: {key}"
            assert bool(text.strip()) == bool(english[key].strip()), f"{language}/{area}.json: {key}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_key_stands_twice_in_a_file(path) -> None:
    keys = [key for key, _ in json.loads(path.read_text(), object_pairs_hook=lambda pairs: pairs)]
    assert len(keys) == len(set(keys))


def test_an_area_has_the_common_texts_too() -> None:
    t = Texts("de", "access", ZoneInfo("UTC"))
    assert t("pin_for", badge="{x}") == "Ausweis {x}"
    assert t("state_NOT_INSPECTED") == "NICHT GEPRÜFT"
    with pytest.raises(KeyError):
        t("no_such_key")


@pytest.mark.parametrize(
    ("value", "decimals", "english", "german"),
    [
        (0.825, 2, "0.82", "0,82"),
        (-1.5, 1, "\N{MINUS SIGN}1.5", "\N{MINUS SIGN}1,5"),
        (-0.001, 2, "0.00", "0,00"),
        (9999, 0, "9999", "9999"),
        (12345.6, 1, "12,345.6", "12\N{NARROW NO-BREAK SPACE}345,6"),
    ],
)
def test_numbers(value: float, decimals: int, english: str, german: str) -> None:
    assert ENGLISH.number(value, decimals) == english
    assert GERMAN.number(value, decimals) == german


def test_per_cent() -> None:
    assert GERMAN.percent(0.0082) == "0,8\N{NO-BREAK SPACE}%"


def test_times_are_the_plants_and_carry_the_date_when_it_is_not_today() -> None:
    earlier = datetime(2026, 7, 30, 21, 59, 5, tzinfo=UTC)
    assert ENGLISH.time(NOW, NOW) == "23:30:00"
    assert ENGLISH.time(earlier, NOW) == "2026-07-30 23:59:05"
    assert GERMAN.time(earlier, NOW, seconds=False) == "30.07.2026 23:59"
    after_midnight = datetime(2026, 7, 31, 22, 30, tzinfo=UTC)
    assert ENGLISH.time(after_midnight, NOW) == "2026-08-01 00:30:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (2.9, "2 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert ENGLISH.age(seconds) == text


def test_the_first_language_we_have_is_chosen() -> None:
    assert choose(None, "../en", "de") == "de"
    assert choose("fr", None) == "en"
