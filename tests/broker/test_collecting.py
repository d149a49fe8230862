"""A line that collects first and acts then, with a real worker: who is asked about what, frame by frame."""

from __future__ import annotations

import asyncio
from pathlib import Path

from schemas.records import DeadLetter, DefectDetected, Mode, Outcome, Reason, VerdictIssued
from streams.inspection.decide import TO_BE_LOOKED_AT
from streams.serving import released_models
from tests.broker.running import prepared, publish, running_worker, until_lag_is_zero
from tests.broker.test_swap import LIMITS, NOTHING, all_of, shot
from tests.builders import recipe
from tests.models_fixture import tiny_artifact
from tests.released import in_s, put_in_force, release


async def test_what_is_collected_is_scored_and_asks_nobody_and_what_acts_then_does(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    await release(settings, tiny_artifact("m1"), tmp_path / "made")
    changes = [
        recipe(version=n, mode=mode, model_id="m1", thresholds=LIMITS, effective_at=in_s(5 + 4 * n))
        for n, mode in ((1, Mode.COLLECT), (2, Mode.ACT))
    ]
    await put_in_force(settings, *changes)
    poured = 0
    async with running_worker(settings, default=None, sources=released_models(settings, NOTHING)):
        while in_s(-2) < changes[-1].effective_at:
            if in_s(0) > changes[0].effective_at:
                await publish(settings, [shot(poured + n) for n in range(4)])
                poured += 4
            await asyncio.sleep(0.05)
        await until_lag_is_zero(settings)

    verdicts: list[VerdictIssued] = await all_of(settings, "verdicts")
    defects: list[DefectDetected] = await all_of(settings, "defects")
    letters: list[DeadLetter] = await all_of(settings, "deadletters")
    collected = [v for v in verdicts if v.mode is Mode.COLLECT]
    acting = [v for v in verdicts if v.mode is Mode.ACT]
    assert len(verdicts) == poured == len(collected) + len(acting)
    assert {(v.outcome, v.reason) for v in collected} == {(Outcome.ERROR, Reason.UNQUALIFIED)}
    assert all(v.scores and v.model_id == "m1" for v in collected)
    assert {v.reason for v in acting} == {Reason.SCORE}
    asked = {v.verdict_id for v in acting if v.outcome in TO_BE_LOOKED_AT}
    assert {d.verdict.verdict_id for d in defects} == asked
    assert asked, "the pictures hold some that are rejected"
    assert letters == []
