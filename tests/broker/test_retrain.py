"""The loop closed on the real broker: taught by people, retrained, proposed, approved, and the worker swaps."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from models.artifact import load_artifact
from models.labelled_set import read
from schemas.records import AuditEntry, ModelProposed, ModelReleased, ProposalState, VerdictIssued
from streams.bus.subscriber import subscribe
from streams.downstream.audit.chain import verify
from streams.errors import CallerError
from streams.recipes.publishing import history
from streams.serving import WorkerOptions, released_models
from tests.broker.running import publish, running_worker, until_lag_is_zero
from tests.broker.test_models import Line
from tests.builders import recipe
from tests.models_fixture import tiny_artifact
from tests.released import in_s, put_in_force, release
from tests.retraining import KNOWN, NEW, labelled_folder, shots, teach

SCOPE = ("--plant", "p1", "--line", "l1", "--sku", "A")
QUICK = ("--epochs", "2", "--symmetry", "none", "--from", "1h", "--no-yield", "--by", "ana")
NOTHING = WorkerOptions(model_dirs=())
LABELS = ["good", NEW, "good", "scratch"] * 30
LAST = 5_000


@pytest_asyncio.fixture
async def line(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Line:
    """A line on which m1 decides, with 120 frames that it has judged and people have decided about."""
    made = Line(bootstrap, topic_prefix, tmp_path)
    made.settings = dataclasses.replace(made.settings, partitions=4)
    made._where += ["--config", str(_config(tmp_path)), "--log-level", "ERROR"]
    await asyncio.to_thread(made.run, "topics", "--create")
    await release(made.settings, tiny_artifact("m1", KNOWN), tmp_path / "made")
    first = recipe(version=1, sku="*", model_id="m1", thresholds={"scratch": 0.5, "dent": 0.5}, effective_at=in_s(6))
    await put_in_force(made.settings, first)
    await _until(first.effective_at)
    async with running_worker(made.settings, default=None, sources=released_models(made.settings, NOTHING)):
        await publish(made.settings, shots(LABELS))
        await until_lag_is_zero(made.settings)
    await teach(made.settings, await _all(made, "verdicts"))
    folder = labelled_folder(tmp_path / "old", KNOWN, 40)
    built = await asyncio.to_thread(
        made.says, "dataset", "build", tmp_path / "base", "--source", "folder", "--folder", folder
    )
    assert built["counts"]["pictures"] == 120
    return made


def _config(folder: Path) -> Path:
    file = folder / "lineside.toml"
    file.write_text("partitions = 4\n")
    return file


async def _until(at: datetime) -> None:
    while datetime.now(UTC) <= at:
        await asyncio.sleep(0.1)


async def _all(line: Line, topic: str) -> list[Any]:
    return [record async for record in subscribe(topic, "earliest", settings=line.settings, follow=False)]


def version_of(proposal: dict[str, Any]) -> str:
    return str(proposal["dataset"]).rpartition("@")[2]


async def _retrained(line: Line, *more: object) -> dict[str, Any]:
    base = line.settings.data_dir / "base"
    said = await asyncio.to_thread(line.says, "retrain", *SCOPE, "--base", base, *QUICK, *more)
    return dict(said)


async def test_what_people_taught_becomes_a_proposal_with_its_evidence_and_releases_nothing(line: Line) -> None:
    said = await _retrained(line)
    proposal = said["proposal"]
    assert (proposal["state"], proposal["base_model_id"], proposal["proposed_by"]) == ("PROPOSED", "m1", "ana")
    assert said["classes"] == {"kept": list(KNOWN), "new": [NEW], "lost": []}
    learned = [
        i for i in read(line.settings.data_dir / "retrain/data" / version_of(proposal)).items if i.split != "test"
    ]
    fresh = len(LABELS) - sum(item.frame_id is not None for item in learned)
    assert 0 < said["replayed"]["pairs"] == fresh, "both judged what the line has seen, but for what was learned from"
    assert {kind["label"]: kind["is_new"] for kind in said["held_out"]["kinds"]}[NEW] is True
    assert {"escape", "base_escape", "overkill", "base_overkill", f"base_escape:{NEW}"} <= set(proposal["metrics"])
    report = Path(proposal["report_ref"]).read_text()
    assert proposal["model_id"] in report
    assert "<script" not in report
    kept = load_artifact(line.settings.model_store_dir / proposal["sha256"])
    assert [c.name for c in kept.classes] == [*KNOWN, NEW], "known classes keep their order"
    assert [r.model_id for r in await _all(line, "models")] == ["m1"], "it is not released yet"

    again = await _retrained(line)
    assert again["proposal"] == proposal, "the same question is the same proposal"
    records: list[ModelProposed] = await _all(line, "proposals")
    assert [r.state for r in records] == [ProposalState.PROPOSED]


async def test_approved_it_is_released_and_in_force_and_the_worker_swaps_with_no_frame_lost(line: Line) -> None:
    proposal = (await _retrained(line))["proposal"]
    poured = await _approved_while_frames_come(line, proposal["proposal_id"])
    verdicts: list[VerdictIssued] = await _all(line, "verdicts")
    assert len({v.frame_id for v in verdicts}) == len(verdicts) == len(LABELS) + poured
    book = (await history(line.settings)).book
    expected = [book.in_force("p1", "l1", "A", v.source_timestamp) for v in verdicts]
    assert [v.model_id for v in verdicts] == [found and found.model_id for found in expected]
    assert {v.model_id for v in verdicts if v.trigger_seq >= LAST} == {proposal["model_id"]}
    assert {NEW in v.scores for v in verdicts if v.model_id == proposal["model_id"]} == {True}

    (_, released) = await _all(line, "models")
    assert isinstance(released, ModelReleased)
    assert (released.released_by, released.approved_by, released.skus) == ("bo", ("ana",), ("A",))
    assert '"shortfalls"' in str(released.evidence)
    (listed,) = await asyncio.to_thread(line.says, "retrain", "list")
    assert (listed["state"], listed["decided_by"], listed["reason"]) == ("APPROVED", "bo", "finds cracks")
    audit: list[AuditEntry] = await _all(line, "audit")
    assert [e.action for e in audit if e.actor in ("ana", "bo")] == [
        *("model.release", "retrain.propose", "model.release", "recipe.set", "retrain.approve"),
    ]
    assert verify(audit) == []


async def test_one_person_is_not_two_and_a_decision_is_final(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = (await _retrained(line))["proposal"]["proposal_id"]

    def refused(*arguments: object) -> str:
        return line.refuses(CallerError, "retrain", *arguments)

    monkeypatch.setenv("LINESIDE_RECIPE_APPROVALS", "2")
    alone = await asyncio.to_thread(refused, "approve", proposal, "--by", "ana", "--why", "mine", "--below-gate")
    assert "takes 2 different people" in alone
    assert "came ana" in alone
    assert [r.model_id for r in await _all(line, "models")] == ["m1"]

    assert "needs a reason" in await asyncio.to_thread(refused, "reject", proposal, "--by", "bo")
    said = await asyncio.to_thread(line.says, "retrain", "reject", proposal, "--by", "bo", "--why", "too few cracks")
    assert (said["proposal"]["state"], said["proposal"]["decided_by"]) == ("REJECTED", "bo")
    late = await asyncio.to_thread(refused, "approve", proposal, "--by", "bo", "--why", "after all", "--below-gate")
    assert "was rejected by bo" in late
    assert [r.state for r in await _all(line, "proposals")] == [ProposalState.PROPOSED, ProposalState.REJECTED]


async def test_a_class_that_would_be_forgotten_is_refused_with_what_to_do(line: Line) -> None:
    def refused() -> str:
        done = line.run("retrain", *SCOPE, *QUICK)
        return str(done.exception)

    assert "no picture of dent" in (text := await asyncio.to_thread(refused))
    assert "--base" in text


async def _approved_while_frames_come(line: Line, proposal_id: str) -> int:
    """Approves while a worker judges, then some frames more, numbered from LAST on; how many frames came."""
    arguments = ("approve", proposal_id[:8], "--by", "bo", "--why", "finds cracks", "--below-gate", "--from", "8s")
    async with running_worker(line.settings, default=None, sources=released_models(line.settings, NOTHING)):
        enough = asyncio.Event()
        pouring = asyncio.create_task(_pour(line, len(LABELS), enough))
        approved = await asyncio.to_thread(line.says, "retrain", *arguments)
        await _until(datetime.fromisoformat(approved["recipe"]["effective_at"]))
        await publish(line.settings, shots(LABELS[:8], LAST))
        enough.set()
        poured = await pouring
        await until_lag_is_zero(line.settings)
    return poured + 8


async def _pour(line: Line, first: int, enough: asyncio.Event) -> int:
    """Frames, four at a time, until it is enough; how many they were."""
    poured = 0
    while not enough.is_set():
        await publish(line.settings, shots(LABELS[:4], first + poured))
        poured += 4
        await asyncio.sleep(0.1)
    return poured
