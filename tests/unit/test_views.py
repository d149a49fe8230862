"""Regions and tiles: where a model looks, what its views say together, and which of them teach what.

picture  ┌────────┐   tiles  ┌──┬┐     a tile that holds a defect is one, a tile that holds half of it teaches nothing
         │  ·     │          │· │┤  ─▶ NG where one view is, with the view's name and box
         └────────┘          └──┴┘
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact import Artifact, load_artifact, save_artifact
from models.explain import heatmap
from models.preprocess import EncodedImage, Preprocessing, RejectedImageError, load_views, prepare, views_in
from models.views import MAX_VIEWS, Region, View, combined, strongest, views_of
from schemas.records import Outcome
from streams.cli_train import parse_region
from streams.errors import CallerError, FrameRejectedError
from streams.inspection.decide import ANY_DEFECT, ClassRoles, judge
from streams.inspection.decode_pool import DecodePool, ExpiredError
from streams.inspection.engine_room import IN_PARTS_AT_ONCE, EngineRoom, RoomLimits, Unwatched
from tests.builders import DENT_LEVEL, OK_LEVEL, SCRATCH_LEVEL, Deaths, FakeEngine, recipe, scores_of, serving_model
from tests.models_fixture import TINY_SIDE, tiny_artifact, tiny_pictures
from tests.pictures import saved

LID = Region("lid", 0.25, 0.0, 0.5, 0.5)
ASKEW = dataclasses.asdict(LID)


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), tile=st.integers(32, 2000), overlap=st.floats(0, 0.75))
def test_tiles_cover_every_pixel_lie_inside_and_share_what_they_must(
    width: int, height: int, tile: int, overlap: float
) -> None:
    try:
        views = views_of((), tile, overlap, width, height)
    except ValueError:
        area = max(width, tile) * max(height, tile)
        assert area / tile**2 > MAX_VIEWS / 20  # refused for their number alone
        return
    for starts, size, side in (
        (sorted({v.x for v in views}), views[0].width, width),
        (sorted({v.y for v in views}), views[0].height, height),
    ):
        assert size == min(tile, side)
        assert starts[0] == 0
        assert starts[-1] + size == side
        assert all(b - a <= max(1, math.ceil(tile * (1 - overlap))) for a, b in pairwise(starts))
    assert len({(v.x, v.y) for v in views}) == len(views) == len({v.name for v in views})


def test_a_picture_as_a_whole_is_one_view_without_a_name() -> None:
    assert views_of((), 0, 0.25, 640, 480) == (View(None, 0, 0, 640, 480),)


def test_regions_are_shares_of_the_picture_and_tiles_lie_in_them() -> None:
    assert views_of((LID,), 0, 0.25, 640, 480) == (View("lid", 160, 0, 320, 240),)
    tiles = views_of((LID,), 200, 0.0, 640, 480)
    assert [(v.name, v.x, v.y) for v in tiles] == [
        ("lid row 1 column 1", 160, 0),
        ("lid row 1 column 2", 280, 0),
        ("lid row 2 column 1", 160, 40),
        ("lid row 2 column 2", 280, 40),
    ]
    assert {(v.width, v.height) for v in tiles} == {(200, 200)}


@given(left=st.floats(0, 1), top=st.floats(0, 1), side=st.floats(0.001, 1), picture=st.integers(1, 3000))
def test_a_region_is_never_empty_and_never_outside(left: float, top: float, side: float, picture: int) -> None:
    width, height = min(side, 1 - left), min(side, 1 - top)
    if min(width, height) <= 0:
        return
    (view,) = views_of((Region("r", left, top, width, height),), 0, 0.25, picture, picture)
    assert view.width >= 1
    assert view.height >= 1
    assert 0 <= view.x <= view.x + view.width <= picture
    assert 0 <= view.y <= view.y + view.height <= picture


def test_a_picture_is_as_bad_as_its_worst_view_and_as_novel_as_its_most_novel() -> None:
    rows = np.array(
        [[0.9, 0.1, 0.0, 1.0], [0.2, 0.3, 0.5, 0.1], [0.4, 0.6, 0.0, 0.2], [0.7, 0.1, 0.2, 3.0]], np.float32
    )
    found = combined(rows, [3, 1], [False, True, True])
    assert found == pytest.approx(np.array([[0.2, 0.6, 0.5, 1.0], [0.7, 0.1, 0.2, 3.0]]))
    assert strongest(rows[:3], ("good", "scratch", "dent"), [False, True, True], "*") == {
        "scratch": 2, "dent": 1, "*": 1,
    }  # fmt: skip
    rows[1, 2] = np.nan
    assert np.isnan(combined(rows, [3, 1], [False, True, True])[0, 2])


def test_a_specification_with_views_survives_json_and_an_artifact(tmp_path: Path) -> None:
    spec = Preprocessing(width=TINY_SIDE, height=TINY_SIDE, regions=(LID,), tile=64, overlap=0.5)
    assert Preprocessing.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    save_artifact(dataclasses.replace(tiny_artifact(), preprocessing=spec), tmp_path / "tiled")
    assert load_artifact(tmp_path / "tiled").preprocessing == spec


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"overview": None}, "goes with tiles"),
        ({"surprise": 1}, "views must be an object with exactly"),
        ({"regions": {}}, "views must be an object with exactly"),
        ({"regions": [[1, 2]]}, "a region must be an object with exactly"),
        ({"tile": 8}, "a tile must be 0 .none. or 32 to"),
        ({"tile": True}, "a tile must be 0 .none. or 32 to"),
        ({"overlap": 0.9}, "must overlap by 0 to 0.75"),
        ({"tile": 0, "overview": True}, "goes with tiles"),
        ({"overview": 1}, "goes with tiles"),
        ({"regions": [ASKEW] * 2}, "each with its own name"),
        ({"regions": [ASKEW | {"left": 0.6}]}, "must lie in the picture"),
        ({"regions": [ASKEW | {"top": math.nan}]}, "four finite numbers"),
        ({"regions": [ASKEW | {"name": "a\nb"}]}, "printable"),
    ],
)
def test_views_that_can_not_be_meant_are_refused(views: dict[str, object], message: str) -> None:
    sound = {"regions": [], "tile": 64, "overlap": 0.25, "overview": False}
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_json({**Preprocessing().to_json(), "views": sound | views})


def test_what_the_network_sees_are_the_views_at_its_size() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    spec = Preprocessing(width=32, height=32, tile=80)
    seen = views_in(pixels, spec)
    assert seen.pixels.shape == (len(seen.views), 32, 32, 3)
    for view, came in zip(seen.views, seen.pixels, strict=True):
        inside = pixels[view.y : view.y + view.height, view.x : view.x + view.width]
        assert np.array_equal(came, prepare(inside, Preprocessing(width=32, height=32)))


def test_a_picture_of_too_many_tiles_is_rejected() -> None:
    picture = EncodedImage(saved(np.zeros((2000, 2000, 3), np.uint8), "PNG"), "PNG")
    with pytest.raises(RejectedImageError, match=r"TOO_LARGE: a picture of 2000 x 2000 pixels makes .* at most 256"):
        load_views(picture, Preprocessing(width=32, height=32, tile=64))


@pytest.mark.parametrize(
    ("text", "message"),
    [("lid", "must look like"), ("lid=1,2,3", "must look like"), ("lid=0,0,2,1", "must lie in the picture")],
)
def test_a_region_on_the_command_line_is_read_or_refused(text: str, message: str) -> None:
    assert parse_region("the lid = 0.25,0,0.5,0.5") == dataclasses.replace(LID, name="the lid")
    with pytest.raises(CallerError, match=message):
        parse_region(text)


# ---------------------------------------------------------------- on the line


def tiled(tile: int = TINY_SIDE) -> Artifact:
    spec = Preprocessing(width=TINY_SIDE, height=TINY_SIDE, tile=tile, overlap=0.0)
    return dataclasses.replace(tiny_artifact(), preprocessing=spec)


def test_a_finding_says_where_it_is() -> None:
    roles = ClassRoles(("good", "scratch", "dent"), frozenset({"scratch", "dent"}))
    views = {"scratch": View("row 1 column 2", 100, 0, 100, 80), ANY_DEFECT: View("row 2 column 1", 0, 80, 100, 80)}
    judged = judge([0.1, 0.9, 0.2], roles, recipe(thresholds={"scratch": 0.5, "dent": 0.5, ANY_DEFECT: 0.9}), views)
    assert judged.outcome is Outcome.NG
    found = {f.label: (f.region, f.box and (f.box.x, f.box.y, f.box.width, f.box.height)) for f in judged.findings}
    assert found == {
        "scratch": ("row 1 column 2", (100, 0, 100, 80)),
        ANY_DEFECT: ("row 2 column 1", (0, 80, 100, 80)),
    }
    as_a_whole = judge([0.1, 0.9, 0.2], roles, recipe(thresholds={"scratch": 0.5, "dent": 0.5}))
    assert [(f.region, f.box) for f in as_a_whole.findings] == [(None, None)]


def grey(height: int, width: int, level: int) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def png(pixels: np.ndarray) -> EncodedImage:
    return EncodedImage(saved(pixels, "PNG"), "PNG")


@pytest.fixture
def room() -> Iterator[EngineRoom]:
    pool, served = DecodePool(1), serving_model(FakeEngine())
    spec = Preprocessing(width=8, height=8, tile=32, overlap=0.0)
    made = EngineRoom(
        dataclasses.replace(served, preprocessing=spec), pool, RoomLimits(4, 0.01, 5.0), Unwatched(), Deaths()
    )
    yield made
    made.close()
    pool.close()


async def test_every_view_has_a_place_in_a_batch_and_the_worst_one_speaks(room: EngineRoom) -> None:
    pixels = grey(64, 96, OK_LEVEL)
    pixels[32:, 64:] = SCRATCH_LEVEL
    pixels[:32, :32] = DENT_LEVEL
    scores, provenance, places = await room.score(png(pixels), math.inf)
    assert scores.tolist() == [0, 1, 1]
    assert provenance.batch_size == 4  # six views, in batches of four and two
    assert places["scratch"] == View("row 2 column 3", 64, 32, 32, 32)
    assert places["dent"] == View("row 1 column 1", 0, 0, 32, 32)
    assert isinstance(room.model.engine, FakeEngine)
    assert sorted(map(len, room.model.engine.batches)) == [2, 4]
    plain, _, _ = await room.score(png(grey(64, 96, OK_LEVEL)), math.inf)
    assert plain.tolist() == list(scores_of(grey(1, 1, OK_LEVEL)))


async def test_a_view_at_fault_costs_its_own_picture_and_a_late_picture_takes_no_room(room: EngineRoom) -> None:
    assert isinstance(room.model.engine, FakeEngine)
    room.model.engine.fails_at = {7}
    faulty = grey(64, 96, OK_LEVEL)
    faulty[:32, :32] = 7
    good = png(grey(64, 96, OK_LEVEL))
    found = await asyncio.gather(
        *(room.score(image, math.inf) for image in (good, png(faulty), good)), return_exceptions=True
    )
    assert [type(each).__name__ for each in found] == ["Scored", "FrameRejectedError", "Scored"]
    for bad, error in ((EncodedImage(b"damaged", "PNG"), FrameRejectedError), (good, ExpiredError)):
        with pytest.raises(error):
            await room.score(bad, 0.0 if error is ExpiredError else math.inf)
    many = [asyncio.create_task(room.score(good, math.inf)) for _ in range(3 * IN_PARTS_AT_ONCE)]
    assert all(np.isfinite(each.scores).all() for each in await asyncio.gather(*many))


async def test_few_pictures_that_are_looked_at_in_parts_are_held_at_once(room: EngineRoom) -> None:
    assert isinstance(room.model.engine, FakeEngine)
    room.model.engine.gate.clear()
    many = [asyncio.create_task(room.score(png(grey(64, 96, OK_LEVEL)), math.inf)) for _ in range(10)]
    await asyncio.sleep(0.3)
    assert len(room._batcher) <= 6 * IN_PARTS_AT_ONCE
    late = asyncio.create_task(room.score(png(grey(64, 96, OK_LEVEL)), time.monotonic() + 0.05))
    with pytest.raises(ExpiredError):
        await late
    room.model.engine.gate.set()
    assert len(await asyncio.gather(*many)) == 10


def test_the_heat_lies_in_the_view_that_says_most() -> None:
    blocks = tiny_pictures(4, seed=3)
    pixels = np.concatenate([np.concatenate(blocks[:2], axis=1), np.concatenate(blocks[2:], axis=1)])
    artifact = tiled()
    heat = heatmap(artifact, pixels, "scratch")
    assert heat.shape == pixels.shape[:2]
    rows, columns = np.nonzero(heat)
    assert rows.size
    assert (rows // TINY_SIDE == rows[0] // TINY_SIDE).all()
    assert (columns // TINY_SIDE == columns[0] // TINY_SIDE).all()
    place = 2 * int(rows[0] // TINY_SIDE) + int(columns[0] // TINY_SIDE)
    assert heat.max() == pytest.approx(heatmap(artifact, blocks[place], "scratch", is_view=True).max())
