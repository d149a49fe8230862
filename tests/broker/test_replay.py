"""Replays on the real broker: the same decisions as live, from topic and archive, ended and gone on with anywhere."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.errors import CallerError
from streams.inspection.engine_room import ServingModel
from streams.replay.prepare import check_recipes, make_topic, plan, recipes_for
from streams.replay.recipes_of import ReplayRecipes
from streams.replay.runs import verdicts_of
from streams.replay.selection import Selection
from streams.replay.service import ReplayWorker, Task
from streams.replay.topics import ReplayPublisher, replay_topic
from streams.settings import Settings
from streams.topics import FRAMES, RECIPES
from tests.archived import a_live_history, archive
from tests.broker.running import prepared
from tests.builders import CODEC, FakeEngine, recipe, serving_model

DECISION = ("outcome", "reason", "findings", "scores", "recipe_version", "model_sha256", "preprocess_sha256")


async def settings_of(bootstrap: str, prefix: str, data_dir: Path, **changes: Any) -> Settings:
    settings = await prepared(bootstrap, prefix, data_dir)
    return dataclasses.replace(settings, archive_period_s=2, archive_ok_share=0.25, **changes)


async def replayed(
    settings: Settings,
    run: str,
    selection: Selection = Selection(),  # noqa: B008
    *,
    engines: Sequence[FakeEngine] = (),
    recipes: ReplayRecipes | None = None,
) -> list[dict[str, Any]]:
    """A whole run by as many workers as engines, in this process; its verdicts."""
    models = [[serving_model(engine)] for engine in (engines or [FakeEngine()])]
    planned = await plan(settings, selection, lambda read: None)
    recipes = recipes or await as_live(settings, models[0])
    await make_topic(settings, run, len(planned.reach.highs))
    task = Task(run, selection, planned.reach, recipes, None)
    done = await asyncio.gather(*(ReplayWorker(settings, task, m).run(asyncio.Event()) for m in models))
    assert all(done)
    return await results(settings, run)


async def as_live(settings: Settings, models: Sequence[ServingModel]) -> ReplayRecipes:
    """What the live worker of these tests judges by: one recipe for every line."""
    found = await recipes_for(settings, "as-of", True, models)
    found.book._default = recipe(plant="*", line="*")
    return found


async def results(settings: Settings, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await verdicts_of(settings, replay_topic(run))).to_pylist()
    return found


def decisions(verdicts: Sequence[Any]) -> dict[tuple[int, int], tuple[Any, ...]]:
    """What was decided, by the frame's place."""
    from streams.bus.subscriber import Received
    from streams.columns import row
    from streams.replay.runs import COLUMNS

    names = [column.name for column in COLUMNS]
    rows = [
        v if isinstance(v, dict) else dict(zip(names, row(COLUMNS, Received(v, 0, 0, v.decided_at, None)), strict=True))
        for v in verdicts
    ]
    return {(r["source_partition"], r["source_offset"]): tuple(r[name] for name in DECISION) for r in rows}


async def delete_frames(settings: Settings, share: float = 1.0) -> None:
    """What retention does: the older share of each partition goes."""
    name = settings.topic_prefix + FRAMES.name
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        ends = await end_offsets(settings.bootstrap, name)
        await admin.delete_records(
            {TopicPartition(name, p): RecordsToDelete(before_offset=int(end * share)) for p, end in ends.items() if end}
        )
    finally:
        await admin.close()


async def test_a_replay_decides_as_live_did_frame_by_frame_and_marks_itself_simulated(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    live = await a_live_history(settings, range(200))
    before = await end_offsets(bootstrap, topic_prefix + "verdicts")
    for run, engines in (("one", [FakeEngine()]), ("two", [FakeEngine(), FakeEngine()])):
        verdicts = await replayed(settings, run, engines=engines)
        assert decisions(verdicts) == decisions(live)
        assert {(v["run"], v["simulated"]) for v in verdicts} == {(run, True)}
        assert len(verdicts) == len({v["verdict_id"] for v in verdicts}) == 200
    for topic in ("verdicts", "defects", "deadletters", "parts", "outcomes", "alarms"):
        if topic == "verdicts":
            assert await end_offsets(bootstrap, topic_prefix + topic) == before
    ends = await end_offsets(bootstrap, topic_prefix + replay_topic("two").name)
    assert sum(ends.values()) == 200


async def test_topic_and_archive_are_one_history_and_each_missing_picture_is_named_for_what_it_is(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    live = await a_live_history(settings, range(200))
    await archive(settings)
    await delete_frames(settings, 0.5)
    planned = await plan(settings, Selection(), lambda read: None)
    places = Counter(planned.frames.column("picture").to_pylist())
    assert planned.frames.num_rows == 200
    assert set(places) == {"TOPIC", "STORE", "NOT_KEPT"}
    stored = [row for row in planned.frames.to_pylist() if row["picture"] == "STORE" and row["outcome"] == "NG"]
    store = Path(settings.frame_store_url)
    kept = {path.name.partition(".")[0]: path for path in store.glob("??/*.png")}
    by_place = {(v.source_partition, v.source_offset): v for v in live}
    damaged = by_place[stored[0]["partition"], stored[0]["offset"]].image_sha256
    assert damaged is not None
    kept[damaged].write_bytes(b"not what it was")
    verdicts = {(v["source_partition"], v["source_offset"]): v for v in await replayed(settings, "mixed")}
    expected = decisions(live)
    assert len(verdicts) == 200
    for row in planned.frames.to_pylist():
        place = (row["partition"], row["offset"])
        came = verdicts[place]
        if row["picture"] == "NOT_KEPT":
            assert (came["outcome"], came["reason"]) == ("ERROR", "PICTURE_NOT_KEPT")
        elif row["picture"] == "STORE" and by_place[place].image_sha256 == damaged:
            assert (came["outcome"], came["reason"]) == ("ERROR", "PICTURE_DAMAGED")
        else:
            assert decisions([came])[place] == expected[place]
    kept[damaged].unlink()
    again = await plan(settings, Selection(), lambda read: None)
    assert "MISSING" in again.frames.column("picture").to_pylist()
    gone = {(v["source_partition"], v["source_offset"]): v for v in await replayed(settings, "gone")}
    assert (
        Counter(v["reason"] for v in gone.values())["IMAGE_UNAVAILABLE"]
        == Counter(again.frames.column("picture").to_pylist())["MISSING"]
    )


async def test_a_frame_that_expired_unarchived_is_counted_as_that(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    await a_live_history(settings, range(80))
    await delete_frames(settings, 0.5)
    planned = await plan(settings, Selection(), lambda read: None)
    places = Counter(planned.frames.column("picture").to_pylist())
    assert places["EXPIRED"] > 20
    assert sum(places.values()) == 80
    assert len(await replayed(settings, "rest")) == places["TOPIC"]
    await delete_frames(settings)
    with pytest.raises(CallerError, match="verdicts tell of 80 frames, which have expired and were not archived"):
        await plan(settings, Selection(), lambda read: None)


async def test_a_run_stopped_anywhere_and_gone_on_with_gives_each_verdict_once(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = dataclasses.replace(await settings_of(bootstrap, topic_prefix, tmp_path), max_batch=4)
    live = await a_live_history(settings, range(200))
    planned = await plan(settings, Selection(), lambda read: None)
    await make_topic(settings, "stops", len(planned.reach.highs))
    rounds, done = 0, False
    while not done:
        engine = FakeEngine()
        engine.seconds = 0.03
        models = [serving_model(engine)]
        task = Task("stops", Selection(), planned.reach, await as_live(settings, models), None)
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.6 + rounds * 0.4, stop.set)
        done = await ReplayWorker(settings, task, models).run(stop)
        rounds += 1
    assert rounds > 1
    assert decisions(await results(settings, "stops")) == decisions(live)


async def test_frames_captured_after_the_planning_are_no_part_of_the_run(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    await a_live_history(settings, range(40))
    planned = await plan(settings, Selection(), lambda read: None)
    await a_live_history(settings, range(40, 80))
    await make_topic(settings, "ends", len(planned.reach.highs))
    models = [serving_model(FakeEngine())]
    task = Task("ends", Selection(), planned.reach, await as_live(settings, models), None)
    assert await ReplayWorker(settings, task, models).run(asyncio.Event())
    assert len(await results(settings, "ends")) == 40


async def test_retention_that_passes_the_range_meanwhile_neither_takes_from_the_run_nor_adds_to_it(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    """planned (40) │ later frames (40) archived with them, all gone from the topic │ replayed: the 40."""
    settings = dataclasses.replace(await settings_of(bootstrap, topic_prefix, tmp_path), archive_ok_share=1.0)
    live = await a_live_history(settings, range(40))
    planned = await plan(settings, Selection(), lambda read: None)
    await a_live_history(settings, range(40, 80))
    await archive(settings)
    await delete_frames(settings)
    await make_topic(settings, "late", len(planned.reach.highs))
    models = [serving_model(FakeEngine())]
    task = Task("late", Selection(), planned.reach, await as_live(settings, models), None)
    assert await ReplayWorker(settings, task, models).run(asyncio.Event())
    assert decisions(await results(settings, "late")) == decisions(live)


async def test_ranges_by_line_time_part_set_and_offsets_give_just_those_frames(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    live = await a_live_history(settings, range(60))
    await asyncio.sleep(0.05)
    middle = datetime.now(UTC)
    await asyncio.sleep(0.05)
    live = await a_live_history(settings, range(60, 120))
    await archive(settings)
    await delete_frames(settings, 0.3)
    some = frozenset(str(v.frame_id) for v in live[::17])
    asked = {
        "line": (Selection(line="l1", sku="A"), lambda v: v.line == "l1" and v.sku == "A"),
        "until": (Selection(until=middle), lambda v: v.source_timestamp < middle),
        "since": (Selection(since=middle), lambda v: v.source_timestamp >= middle),
        "parts": (Selection(part_ids=frozenset({"P-00003", "P-00077"})), lambda v: v.part_id in ("P-00003", "P-00077")),
        "set": (Selection(frame_ids=some), lambda v: str(v.frame_id) in some),
        "offsets": (Selection(offsets={0: (2, 9)}), lambda v: v.source_partition == 0 and 2 <= v.source_offset < 9),
    }
    for run, (selection, matches) in asked.items():
        wanted = {(v.source_partition, v.source_offset) for v in live if matches(v)}
        assert {(v["source_partition"], v["source_offset"]) for v in await replayed(settings, run, selection)} == wanted


async def test_recipes_as_of_each_frame_are_those_that_were_in_force(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    now = datetime.now(UTC)
    strict = recipe(line="l1", version=7, thresholds={"scratch": 0.3, "dent": 0.3}, created_at=now)
    async with Publisher(bootstrap, topic_prefix, CODEC) as publisher:
        for made in (dataclasses.replace(strict, effective_at=now + timedelta(seconds=8)),):
            await (await publisher.send(RECIPES, made, key=b"p1/l1/*"))
    await a_live_history(settings, range(40))
    await asyncio.sleep(max(0.0, (now + timedelta(seconds=8.5) - datetime.now(UTC)).total_seconds()))
    live = await a_live_history(settings, range(40, 80))
    assert {v.recipe_version for v in live if v.line == "l1"} == {1, 7}
    assert decisions(await replayed(settings, "as-of")) == decisions(live)


async def test_what_a_replay_may_not_do_is_refused_with_a_sentence(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await settings_of(bootstrap, topic_prefix, tmp_path)
    live = await a_live_history(settings, range(20))
    with pytest.raises(CallerError, match="a replay can't be the run 'live'"):
        replay_topic("live")
    async with Publisher(bootstrap, topic_prefix, CODEC) as publisher:
        with pytest.raises(CallerError, match="can't be published by the replay 'r1'"):
            await ReplayPublisher(publisher, "r1").send(live[0])
    with pytest.raises(CallerError, match="there is no frame in this range"):
        await plan(settings, Selection(line="nowhere", until=datetime(2020, 1, 1, tzinfo=UTC)), lambda read: None)
    planned = await plan(settings, Selection(), lambda read: None)
    models = [serving_model(FakeEngine())]
    with pytest.raises(CallerError, match="no recipe was in force"):
        check_recipes(await recipes_for(settings, "as-of", False, models), models, planned.frames)
    other: dict[str, Any] = {"thresholds": {"scratch": 0.5, "crack": 0.4}}
    with pytest.raises(CallerError, match="limits for crack and has none for dent"):
        check_recipes(await recipes_for(settings, other, False, models), models, planned.frames)
