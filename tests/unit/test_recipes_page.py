"""Recipes in words: values, differences, histories."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from schemas.records import Fallback, Mode, Precision
from streams.recipes.history import History, Scope
from streams.web.i18n import Texts
from streams.web.recipes.wording import scope_name, told, value_text, versions
from tests.builders import LONG_AGO, recipe

EN, DE = (Texts(language, "recipes", ZoneInfo("Europe/Berlin")) for language in ("en", "de"))
SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("name", "value", "english", "german"),
    [
        ("mode", Mode.ACT, "Act", "Handeln"),
        ("late_action", Fallback.NG, "NG", "NIO"),
        ("error_action", Fallback.UNKNOWN, "unknown", "unbekannt"),
        ("threshold scratch", 0.5, "0.50", "0,50"),
        ("threshold scratch", 0.625, "0.625", "0,625"),
        ("threshold scratch", None, "none", "keines"),
        ("part_timeout_ms", 5000, f"5000{SPACE}ms", f"5000{SPACE}ms"),
        ("device", "auto", "left to the worker", "wählt der Worker"),
        ("precision", Precision.UNKNOWN, "left to the worker", "wählt der Worker"),
        ("precision", Precision.INT8, "INT8", "INT8"),
        ("model_id", "a\u202eb", "a\N{REPLACEMENT CHARACTER}b", "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_a_value_is_said_with_its_unit_in_the_readers_language(
    name: str, value: object, english: str, german: str
) -> None:
    assert (value_text(EN, name, value), value_text(DE, name, value)) == (english, german)


def test_a_difference_names_what_was_and_what_will_be() -> None:
    assert told(EN, ("threshold *", 0.7, 0.65)) == "Limit all defects together 0.70 → 0.65"
    assert told(DE, ("mode", Mode.COLLECT, Mode.ADVISE)) == "Modus Sammeln → Beraten"


def test_a_history_is_newest_first_and_what_never_took_effect_is_no_base_of_a_difference() -> None:
    history = History()
    for version, thresholds, late in ((1, 0.5, 0), (2, 0.9, 60), (3, 0.6, 0), (3, 0.1, 0)):
        made = recipe(version=version, thresholds={"scratch": thresholds}, effective_at=LONG_AGO)
        history.take(made, LONG_AGO - timedelta(minutes=1) + timedelta(seconds=late))
    said = [(entry.recipe.version, text) for entry, text in versions(EN, history.of(Scope("p1", "l1")))]
    no_effect = EN("takes_no_effect")
    assert said == [(3, no_effect), (3, "Limit scratch 0.50 → 0.60"), (2, no_effect), (1, "the first")]


def test_a_scope_is_a_product_or_all_others() -> None:
    assert scope_name(EN, Scope("p", "l", "A")) == "SKU A"
    assert scope_name(DE, Scope("p", "l")) == "Alle anderen Produkte"
