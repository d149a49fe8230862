"""What comes with a frame or a recipe is bounded, so that what follows from it can be sent: no recipe ends a worker."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.decoding.contract import MAX_PIXELS
from models.decoding.pixel_room import SMALL_PIXELS, pixel_room
from schemas.records import Outcome, Reason
from streams.bus.publisher import cloud_event_headers
from streams.inspection.decide import judge, unqualified
from streams.inspection.inspector import check
from streams.inspection.limits import ATTRIBUTES_MAX, DETAIL_MAX_CHARS, TEXT_MAX_CHARS
from streams.inspection.recipes import NOTICE, RecipeBook
from streams.topics import VERDICTS
from tests.builders import CODEC, ROLES, Bench, frame, picture, recipe

LONG = "x" * (TEXT_MAX_CHARS + 1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({str(n): "" for n in range(ATTRIBUTES_MAX + 1)}, f"at most {ATTRIBUTES_MAX}"),
        ({LONG: ""}, "an attribute has more than"),
        ({"k": LONG}, "an attribute has more than"),
    ],
)
def test_attributes_without_end_are_refused(attributes: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(frame(attributes=attributes))
    check(frame(attributes={str(n): LONG[1:] for n in range(ATTRIBUTES_MAX)}))


@pytest.mark.parametrize("name", ["model_id", "sku", "shadow_model_id", "author", "reason", "device"])
def test_a_recipe_with_texts_that_no_verdict_could_repeat_takes_no_effect(name: str) -> None:
    book, good = RecipeBook(), recipe(sku="A")
    assert book.add(good, good.effective_at - NOTICE)
    bad = dataclasses.replace(good, version=2, **{name: LONG})
    assert not book.add(bad, bad.effective_at - NOTICE)
    assert book.in_force("p1", "l1", "A", good.effective_at + timedelta(days=1)) is good


async def test_a_recipe_for_a_model_with_the_longest_name_gives_verdicts_that_can_be_sent(bench: Bench) -> None:
    bench.recipes.add(recipe(sku="A", model_id=LONG[1:]), recipe().effective_at - NOTICE)
    await bench.run(frame(1, image=picture(100)))
    (verdict,) = bench.verdicts
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSURE, Reason.UNQUALIFIED)
    size = len(CODEC.encode(verdict)) + sum(len(k) + len(v) for k, v in cloud_event_headers(verdict, b"k"))
    assert size < VERDICTS.max_message_bytes // 16
    assert not bench.deaths


def test_words_of_what_is_unqualified_are_cut() -> None:
    assert len(unqualified("x" * 1_000_000).detail) == DETAIL_MAX_CHARS


@pytest.mark.parametrize("band", [math.nan, math.inf, -math.inf])
def test_a_band_that_is_no_number_lets_nothing_pass(band: float) -> None:
    judged = judge([1.0, 0.0, 0.49], ROLES, recipe(unsure_band=band))
    assert (judged.outcome, judged.reason) == (Outcome.UNSURE, Reason.UNQUALIFIED)
    assert "unsure band" in judged.detail


def _in_room(size: tuple[int, int], seen: list[float], hold_s: float) -> threading.Thread:
    def work() -> None:
        with pixel_room(*size):
            seen.append(time.monotonic())
            time.sleep(hold_s)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_large_pictures_share_one_room_and_small_ones_never_wait_for_it() -> None:
    hold_s = 0.3
    seen: dict[str, list[Any]] = {"first": [], "second": [], "small": []}
    first = _in_room((10_000, MAX_PIXELS // 10_000), seen["first"], hold_s)
    while not seen["first"]:
        time.sleep(0.001)
    second = _in_room((SMALL_PIXELS + 1, 1), seen["second"], 0)
    small = _in_room((SMALL_PIXELS, 1), seen["small"], 0)
    for thread in (first, second, small):
        thread.join(5)
    assert seen["small"][0] - seen["first"][0] < hold_s
    assert seen["second"][0] - seen["first"][0] >= hold_s


def test_a_room_is_left_by_a_picture_that_fails() -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), pixel_room(10_000, 10_000):
            raise ZeroDivisionError
    done: list[float] = []
    _in_room((10_000, 10_000), done, 0).join(5)
    assert done
