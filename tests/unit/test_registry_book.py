"""Which models are released: one sha256 for an id for ever, and the newest record says whether it is retired."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.records import ModelReleased
from streams.registry.book import Book, uri_of
from tests.contracts.samples import MODEL

T0 = datetime(2026, 3, 1, tzinfo=UTC)
RETIRED = replace(MODEL, retired=True, reason="too many escapes")


def book(*records: ModelReleased) -> Book:
    made = Book()
    for number, record in enumerate(records):
        made.take(record, T0 + timedelta(hours=number))
    return made


def test_a_release_is_found_by_its_id_and_listed_in_the_order_of_time() -> None:
    other = replace(MODEL, model_id="flange-42", sha256="ab" * 32, uri=uri_of("ab" * 32))
    found = book(other, MODEL)
    assert [release.first.model_id for release in found.all()] == ["flange-42", "flange-41"]
    release = found.get("flange-41")
    assert release is not None
    assert (release.first, release.first_at, release.retired) == (MODEL, T0 + timedelta(hours=1), False)
    assert found.get("flange-43") is None


def test_a_retired_model_keeps_its_first_release_and_can_be_released_again() -> None:
    release = book(MODEL, RETIRED).get(MODEL.model_id)
    assert release is not None
    assert release.retired
    assert release.first == MODEL
    again = book(MODEL, RETIRED, MODEL).get(MODEL.model_id)
    assert again is not None
    assert not again.retired
    assert again.first_at == T0


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (replace(MODEL, sha256="ab" * 32, uri=uri_of("ab" * 32)), r"needs another id"),
        (replace(MODEL, uri="models/../secrets"), r"is not that of its sha256"),
        (replace(MODEL, uri="https://elsewhere/" + MODEL.sha256), r"is not that of its sha256"),
        (replace(MODEL, sha256="CD" * 32, uri=uri_of("CD" * 32)), r"is not that of its sha256"),
        (replace(RETIRED, model_id="never"), r"was never released"),
    ],
)
def test_a_record_that_cannot_be_counts_for_nothing(wrong: ModelReleased, why: str) -> None:
    made = book(MODEL)
    with pytest.raises(ValueError, match=why):
        made.take(wrong, T0)
    (release,) = made.all()
    assert release.newest == MODEL
