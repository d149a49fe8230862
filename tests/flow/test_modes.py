"""The three modes of a recipe, from frames to parts: who decides, who is asked to look, and what may be moved."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from schemas.records import Fallback, FrameCaptured, Mode, Outcome, PartDecided, PartOutcome, PartReason, Reason
from streams.downstream.parts.partition import Before, Partition
from streams.inspection.decide import is_collected
from streams.inspection.pictures import Pictures
from streams.inspection.recipes import RecipeBook
from streams.replay.judging import PastJudge
from streams.replay.past import Kept, Past
from streams.replay.recipes_of import AS_OF, ReplayRecipes
from tests.builders import (
    DENT_LEVEL,
    LONG_AGO,
    OK_LEVEL,
    SCRATCH_LEVEL,
    UNSURE_LEVEL,
    Bench,
    frame,
    picture,
    recipe,
    source,
)
from tests.parts import at, seen

LEVELS = (OK_LEVEL, UNSURE_LEVEL, SCRATCH_LEVEL, DENT_LEVEL)
DECIDED = [Outcome.OK, Outcome.UNSURE, Outcome.NG, Outcome.NG]
NOT_DECIDED = [Outcome.ERROR] * len(LEVELS)
BOTH = (Mode.ADVISE, Mode.ACT)


def shots() -> list[FrameCaptured]:
    """A good part, one near the limit, a scratch and a dent, one picture each."""
    return [frame(n, image=picture(level), part_id=f"P{n}") for n, level in enumerate(LEVELS)]


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def put(bench: Bench, mode: Mode, **changes: object) -> None:
    """A recipe of this mode in force, as the only one."""
    bench.inspector._recipes = bench.recipes = RecipeBook(recipe(mode=mode, **changes))


def parts_of(bench: Bench) -> tuple[list[PartDecided], list[object]]:
    """What the part agent makes of the verdicts: decisions and alarms."""
    partition = Partition(lambda _: 5_000, Before(), 0, LONG_AGO)
    steps = [partition.take(seen(v, n, 10 * n), at(10 * n)) for n, v in enumerate(bench.verdicts)]
    return [part for step in steps for part in step.parts], [alarm for step in steps for alarm in step.alarms]


@pytest.mark.parametrize("mode", BOTH)
async def test_advise_and_act_decide_alike_and_say_who_may_move_the_part(bench: Bench, mode: Mode) -> None:
    put(bench, mode)
    await bench.run(*shots())
    assert [v.outcome for v in bench.verdicts] == DECIDED
    assert {v.mode for v in bench.verdicts} == {mode}
    assert len(bench.sender.records("defects")) == 3
    parts, _ = parts_of(bench)
    assert [p.outcome for p in parts] == [PartOutcome.OK, PartOutcome.UNSURE, PartOutcome.NG, PartOutcome.NG]
    assert {p.mode for p in parts} == {mode}


async def test_collect_scores_everything_and_decides_asks_and_passes_nothing(bench: Bench) -> None:
    put(bench, Mode.COLLECT)
    await bench.run(*shots())
    assert [(v.outcome, v.reason) for v in bench.verdicts] == [(Outcome.ERROR, Reason.UNQUALIFIED)] * len(LEVELS)
    assert [max(v.scores, key=v.scores.__getitem__) for v in bench.verdicts] == ["good", "good", "scratch", "dent"]
    assert {v.detail for v in bench.verdicts} == {"recipe version 1 only collects"}
    assert all(is_collected(v) and not v.findings and v.mode is Mode.COLLECT for v in bench.verdicts)
    assert bench.sender.topics == ["verdicts"] * len(LEVELS)  # neither a defect nor a dead letter

    parts, alarms = parts_of(bench)
    assert {(p.outcome, p.reason, p.mode) for p in parts} == {
        (PartOutcome.NOT_INSPECTED, PartReason.VIEWS, Mode.COLLECT)
    }
    assert parts[0].detail == "view 1 only collected"
    assert alarms == []


async def test_a_collecting_recipe_whose_model_is_not_there_asks_nobody_either(bench: Bench) -> None:
    put(bench, Mode.COLLECT, model_id="m9")
    await bench.run(*shots())
    assert [v.outcome for v in bench.verdicts] == NOT_DECIDED
    assert bench.verdicts[0].detail == "model m9 is not on this worker"
    assert bench.sender.topics == ["verdicts"] * len(LEVELS)


async def test_a_late_frame_is_not_rejected_by_a_recipe_that_only_collects(bench: Bench) -> None:
    put(bench, Mode.COLLECT, late_action=Fallback.NG)
    await bench.accept(dataclasses.replace(shots()[0], deadline_ms=1, gateway_ms=60_000))
    await bench.inspection.drain()
    assert [(v.outcome, v.reason) for v in bench.verdicts] == [(Outcome.ERROR, Reason.LATE)]


async def test_a_redelivered_frame_that_was_only_collected_stays_so(bench: Bench) -> None:
    put(bench, Mode.COLLECT)
    await bench.run(*shots())
    bench.tail.verdicts = first = list(bench.verdicts)
    put(bench, Mode.ACT)  # it decides by now
    for offset, shot in enumerate(shots()):
        await bench.accept(shot, offset, generation=2)
    await bench.inspection.drain()
    assert bench.registry.get_sample_value("lineside_redelivered_total") == len(LEVELS)
    assert bench.verdicts == first
    assert bench.sender.topics == ["verdicts"] * len(LEVELS)


@pytest.mark.parametrize("mode", [Mode.COLLECT, *BOTH])
async def test_a_replay_as_of_then_comes_to_the_same(bench: Bench, mode: Mode) -> None:
    put(bench, mode)
    await bench.run(*shots())
    book = RecipeBook()
    in_force = recipe(mode=mode, effective_at=LONG_AGO)
    assert book.add(in_force, LONG_AGO - timedelta(minutes=1))
    recipes = ReplayRecipes(AS_OF, book, None, None, None)
    judge = PastJudge("r1", {"m1": bench.room}, recipes, Pictures(bench.frame_store), 1)
    again = [await judge.verdict(Past(shot, source(n), None)) for n, shot in enumerate(shots())]
    told = [(v.outcome, v.reason, v.detail, v.findings, v.mode) for v in again]
    assert told == [(v.outcome, v.reason, v.detail, v.findings, v.mode) for v in bench.verdicts]
    for v, live in zip(again, bench.verdicts, strict=True):
        assert v.scores == pytest.approx(live.scores)
        assert v.simulated


@pytest.mark.parametrize("action", [Fallback.NG, Fallback.UNSURE, Fallback.NOT_INSPECTED])
async def test_a_replay_comes_to_the_same_about_what_cannot_be_read_but_blames_the_archive_for_what_it_lacks(
    bench: Bench, action: Fallback
) -> None:
    put(bench, Mode.ACT, error_action=action)
    broken = dataclasses.replace(shots()[0], image=b"no picture")
    missing = dataclasses.replace(shots()[1], image=None, image_ref="ab/missing.png")
    await bench.run(broken, missing)
    book = RecipeBook()
    assert book.add(recipe(error_action=action, effective_at=LONG_AGO), LONG_AGO - timedelta(minutes=1))
    recipes = ReplayRecipes(AS_OF, book, None, None, None)
    judge = PastJudge("r1", {"m1": bench.room}, recipes, Pictures(bench.frame_store), 1)
    again = [await judge.verdict(Past(one, source(n), None)) for n, one in enumerate((broken, missing))]
    assert [(v.outcome, v.reason) for v in again] == [(v.outcome, v.reason) for v in bench.verdicts]
    lacking = await judge.verdict(Past(missing, source(1), Kept(None, None)))
    assert (lacking.outcome, lacking.reason) == (Outcome.ERROR, Reason.PICTURE_NOT_KEPT)


async def test_a_part_with_a_view_that_could_not_be_read_is_what_its_recipe_says_and_never_ok(bench: Bench) -> None:
    for number, action in enumerate((Fallback.NG, Fallback.UNSURE, Fallback.NOT_INSPECTED)):
        put(bench, Mode.ACT, error_action=action)
        for view, data in ((1, picture(OK_LEVEL)), (2, b"no picture")):
            seq = 2 * number + view - 1
            await bench.accept(frame(seq, image=data, part_id=f"P{number}", view=view, views=2), seq)
        await bench.inspection.drain()
    parts, _ = parts_of(bench)
    assert [p.outcome for p in parts] == [PartOutcome.NG, PartOutcome.UNSURE, PartOutcome.NOT_INSPECTED]
    assert bench.sender.records("defects") == []


async def test_a_part_of_which_one_view_was_only_collected_is_neither_ok_nor_acted_on(bench: Bench) -> None:
    """The recipe changes between the two pictures of a part."""
    first, second = (frame(n, image=picture(OK_LEVEL), part_id="P", view=n, views=2) for n in (1, 2))
    put(bench, Mode.ACT)
    await bench.run(first)
    put(bench, Mode.COLLECT)
    await bench.run(second)
    [part], _ = parts_of(bench)
    assert (part.outcome, part.mode) == (PartOutcome.NOT_INSPECTED, Mode.COLLECT)
    assert part.detail == "view 2 only collected"
