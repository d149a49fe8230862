"""Questions to history on the real broker: SQL, a part's whole life, and verdicts made again."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from models.artifact import Artifact, load_artifact, save_artifact
from schemas.records import FrameCaptured, Outcome, VerdictIssued
from streams.archive.catalogue import where_there
from streams.archive.part import Step
from streams.archive.rebuild import Answer
from streams.bus.subscriber import subscribe
from streams.commands.history import QueryOptions, part, part_steps, query
from streams.commands.rebuild import rebuild
from streams.errors import CallerError
from streams.settings import Settings
from tests.archived import archive, correction, decide, passed
from tests.broker.running import prepared
from tests.broker.test_replay import delete_frames
from tests.broker.test_replay_hour import inspected_live, png
from tests.builders import frame
from tests.models_fixture import TINY_SIDE, tiny_artifact, tiny_pictures

COUNT = 64


@pytest.fixture
async def history(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    """Frames decided live by a real, tiny model that is kept in the data directory; one in sixteen is broken."""
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    settings = dataclasses.replace(made, archive_period_s=2, archive_ok_share=0.3)
    directory = tmp_path / "models" / "tiny"
    save_artifact(tiny_artifact("m1"), directory)
    artifact: Artifact = load_artifact(directory)
    await inspected_live(settings, artifact, [captured(n) for n in range(COUNT)])
    return settings


def captured(number: int) -> FrameCaptured:
    image = b"broken" if number % 16 == 15 else png(tiny_pictures(COUNT, 3)[number])
    size = {"width": TINY_SIDE, "height": TINY_SIDE}
    return frame(number, image=image, line=f"l{number % 2}", part_id=f"P-{number:03}", **size)


async def live(settings: Settings) -> list[VerdictIssued]:
    return [v async for v in subscribe("verdicts", "earliest", settings=settings, follow=False)]


def asked(settings: Settings, capsys: pytest.CaptureFixture[str], sql: str, **options: Any) -> list[dict[str, Any]]:
    capsys.readouterr()
    query(settings, QueryOptions(sql=sql, as_json=True, **options))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_sql_sees_archive_and_recent_events_as_one_and_changes_nothing(
    history: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    expected = Counter(v.outcome.value for v in await live(history))
    sql = "SELECT outcome, count(*) AS n FROM verdicts GROUP BY ALL"
    for archived in (False, True):
        if archived:
            await archive(history)
            assert await asyncio.to_thread(asked, history, capsys, sql, use_recent=False)
        rows = await asyncio.to_thread(asked, history, capsys, sql)
        assert {row["outcome"]: row["n"] for row in rows} == dict(expected)
    joined = "SELECT count(*) AS n FROM frames f JOIN verdicts v USING (verdict_id) WHERE f.outcome = v.outcome"
    assert await asyncio.to_thread(asked, history, capsys, joined) == [{"n": COUNT}]
    out = tmp_path / "ng.parquet"
    await asyncio.to_thread(query, history, QueryOptions(sql="SELECT frame_id FROM verdicts", out=out))
    assert out.stat().st_size > 0
    for bad in ("DELETE FROM verdicts", "COPY verdicts TO 'x.csv'", "SELECT 1; SELECT 2", "SELECT * FROM nowhere"):
        with pytest.raises(CallerError):
            await asyncio.to_thread(query, history, QueryOptions(sql=bad))
    with pytest.raises(CallerError, match="DuckDB can't answer"):
        await asyncio.to_thread(query, history, QueryOptions(sql="SELECT * FROM read_text('/etc/hostname')"))


def places(steps: list[Step]) -> list[tuple[str, int, int, str | None]]:
    return [(step.what, step.partition, step.offset, step.sha256) for step in steps]


async def test_a_part_tells_its_whole_life_with_offsets_and_hashes(
    history: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = passed(await live(history))[0]
    assert verdict.part_id is not None
    await decide(history, [correction(verdict)])
    recent_steps = places(await asyncio.to_thread(part_steps, history, verdict.part_id))
    assert [what for what, *_ in recent_steps] == ["frame", "verdict", "outcome"]
    assert all(sha256 and len(sha256) == 64 for *_, sha256 in recent_steps)
    await archive(history)
    steps = await asyncio.to_thread(part_steps, history, verdict.part_id)
    assert places(steps) == recent_steps
    assert "picture kept (" in steps[0].says
    assert "m1" in steps[1].says
    assert "ana at R2" in steps[2].says
    await asyncio.to_thread(part, history, verdict.part_id, True)
    assert json.loads(capsys.readouterr().out)[1]["verdict_id"] == str(verdict.verdict_id)
    with pytest.raises(CallerError, match="nothing is known of a part"):
        await asyncio.to_thread(part_steps, history, "P'; DROP TABLE x --")


async def test_every_verdict_is_made_again_bit_for_bit_from_topic_or_archive_or_says_what_is_gone(
    history: Settings,
) -> None:
    verdicts = await live(history)
    assert {v.outcome for v in verdicts} >= {Outcome.OK, Outcome.NG, Outcome.ERROR}
    for verdict in verdicts[::16] + [v for v in verdicts if v.outcome is Outcome.ERROR][:1]:
        rebuilt = await rebuild(history, verdict.verdict_id, [], "live", None)
        assert rebuilt.answer is Answer.SAME, rebuilt
    await archive(history)
    await delete_frames(history)
    damaged = next(v for v in verdicts if v.outcome is Outcome.NG)
    store = Path(history.frame_store_url)
    (picture,) = store.glob(f"??/{damaged.image_sha256}.png")
    picture.write_bytes(b"other bytes")
    answers: Counter[Answer] = Counter()
    with where_there(history.archive_dir) as catalogue:
        for verdict in [damaged, *verdicts[::5]]:
            rebuilt = await rebuild(history, verdict.verdict_id, [], "live", catalogue)
            answers[rebuilt.answer] += 1
            if verdict.verdict_id == damaged.verdict_id:
                assert rebuilt.answer is Answer.PICTURE_DAMAGED
            elif verdict.outcome is not Outcome.OK:
                assert rebuilt.answer is Answer.SAME, rebuilt
    assert set(answers) == {Answer.SAME, Answer.PICTURE_NOT_KEPT, Answer.PICTURE_DAMAGED}
    (Path(history.data_dir) / "models" / "tiny" / "model.json").rename(history.data_dir / "gone.json")
    other = next(v for v in verdicts if v.outcome is Outcome.NG and v.verdict_id != damaged.verdict_id)
    with where_there(history.archive_dir) as catalogue:
        assert (await rebuild(history, other.verdict_id, [], "live", catalogue)).answer is Answer.MODEL_NOT_HERE
        picture.unlink()
        gone = await rebuild(history, damaged.verdict_id, [], "live", catalogue)
    assert gone.answer is Answer.PICTURE_GONE
