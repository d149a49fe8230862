"""What every source promises the gateway, run over all of them: folder, watched folder, ELPV and synthetic cameras.

ELPV is a fixture here: a package of the same shape with four tiny drawn pictures, none of them from the data set.
"""

from __future__ import annotations

import asyncio
import importlib
import io
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.codec import Codec, CommittedSource
from schemas.records import Encoding, FrameCaptured
from streams.capture.elpv import ElpvSource
from streams.capture.folder import FolderOptions, FolderSource
from streams.capture.frames import frame_captured
from streams.capture.naming import FolderLabels, NamePattern
from streams.capture.source import Camera, Clock, Shot, Source
from streams.capture.synthetic import SyntheticOptions, SyntheticSource

CAMERA = Camera("plant", "line-1", "station-1", "cam")
COUNT = 4
Make = Callable[[], Source]


def picture(grey: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((24, 32), grey, np.uint8)).save(out, kind)
    return out.getvalue()


def fake_elpv(folder: Path) -> None:
    """A package of the shape of `elpv-dataset` 1.0: a table and pictures beside it."""
    images = folder / "elpv_dataset" / "data" / "images"
    images.mkdir(parents=True)
    (folder / "elpv_dataset" / "__init__.py").write_text("")
    rows = [f"images/cell{n:04d}.png  {p}  {k}" for n, p, k in ((1, "1.0", "mono"), (2, "0.0", "mono"))]
    rows += [f"images/cell{n:04d}.png  {p}  {k}" for n, p, k in ((3, "0.3333333333333333", "poly"), (4, "0.0", "poly"))]
    (images.parent / "labels.csv").write_text("\n".join(rows) + "\n")
    for number in range(1, COUNT + 1):
        (images / f"cell{number:04d}.png").write_bytes(picture(number * 40))


def folder_of_pictures(folder: Path) -> Path:
    for number in range(1, COUNT + 1):
        label = "good" if number % 2 else "dent"
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"plate_S{number}_1.png").write_bytes(picture(number * 40))
    return folder


@pytest.fixture(params=["folder", "watched", "elpv", "synthetic", "synthetic pool"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes the source anew, over the same pictures; it yields COUNT shots."""
    kind = request.param
    if kind == "elpv":
        fake_elpv(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return lambda: ElpvSource(CAMERA)
    if kind.startswith("synthetic"):
        distinct = 2 if "pool" in kind else 0
        options = SyntheticOptions(frames=COUNT, width=64, height=48, distinct=distinct, lines=2, defect_share=0.5)
        made = Clock().now()  # a drawn part's id begins with the second in which its source was made
        return lambda: SyntheticSource(options, Clock(now=lambda: made))
    options_ = FolderOptions(
        camera=CAMERA,
        pattern=NamePattern.parse("{sku}_{part_id}_{view}.{ext}"),
        labels=FolderLabels(),
        watch=kind == "watched",
        settle_s=0.02,
        poll_s=0.02,
    )
    folder = folder_of_pictures(tmp_path / "pictures")
    return lambda: FolderSource(folder, options_)


async def take(source: Source, count: int = COUNT) -> list[Shot]:
    """The first `count` shots, then closes the source as the gateway does."""
    shots: list[Shot] = []
    async with asyncio.timeout(10):
        async with aclosing(aiter(source)) as iterator:  # type: ignore[type-var]
            async for shot in iterator:
                shots.append(shot)
                if len(shots) == count:
                    break
    return shots


async def test_every_shot_becomes_a_frame_that_survives_the_codec(make: Make) -> None:
    codec = Codec(CommittedSource())
    for number, shot in enumerate(await take(make()), 1):
        frame = frame_captured(shot, number, gateway_ms=0)
        assert codec.decode(codec.encode(frame), FrameCaptured) == frame


async def test_the_picture_is_what_the_shot_declares(make: Make) -> None:
    for shot in await take(make()):
        with Image.open(io.BytesIO(shot.data)) as image:
            assert (shot.encoding, (shot.width, shot.height)) == (Encoding(str(image.format)), image.size)
            image.load()


async def test_times_have_a_zone_and_the_trigger_lies_in_the_past(make: Make) -> None:
    for shot in await take(make()):
        assert shot.captured_at.utcoffset() is not None
        assert shot.triggered_s <= Clock().monotonic_s()


async def test_the_total_is_what_comes_where_it_is_known(make: Make) -> None:
    source = make()
    if source.total is not None:
        assert source.total == COUNT == len(await take(source, COUNT + 1))


async def test_the_same_source_gives_the_same_pictures_and_truth_again(make: Make) -> None:
    def essence(shots: list[Shot]) -> list[object]:
        return [(s.data, s.label, s.sku, s.part_id, s.camera, dict(s.attributes)) for s in shots]

    assert essence(await take(make())) == essence(await take(make()))


async def test_every_shot_is_labelled_and_known_by_its_part(make: Make) -> None:
    shots = await take(make())
    assert all(shot.label for shot in shots)
    assert len({shot.part_id for shot in shots}) == COUNT


async def test_iterating_once_more_starts_again(make: Make) -> None:
    source = make()
    assert [s.part_id for s in await take(source)] == [s.part_id for s in await take(source)]


async def test_leaving_early_leaves_nothing_running(make: Make) -> None:
    assert len(await take(make(), 1)) == 1
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_confirming_a_shot_is_always_allowed(make: Make) -> None:
    source = make()
    for shot in await take(source):
        source.confirmed(shot)
