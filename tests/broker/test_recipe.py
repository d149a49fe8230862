"""`lineside recipe`: from a person's wish to the version by which a worker judges, its audit, and what is refused."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid5

import pytest

from schemas.records import AuditEntry, Outcome, Reason, Recipe, ShadowCompared
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.errors import CallerError, OperatorError
from streams.inspection.decide import Judgement
from streams.recipes import publishing
from streams.recipes.history import History
from streams.topics import SHADOW
from tests.broker.test_models import Line, records
from tests.builders import NAMESPACE, frame, recipe, verdict
from tests.models_fixture import TINY_CLASSES, tiny_artifact
from tests.released import release

L1 = ["--plant", "p1", "--line", "l1"]
DEFECTS = TINY_CLASSES[1:]


@pytest.fixture
def line(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Line:
    made = Line(bootstrap, topic_prefix, tmp_path)
    made.settings = replace(made.settings, partitions=4)
    assert made.run("topics", "--create").exit_code == 0
    for name in ("m1", "m2"):
        asyncio.run(release(made.settings, tiny_artifact(name), tmp_path / "made"))
    return made


def changed(line: Line, *arguments: Any) -> Any:
    return line.says("recipe", *arguments, *L1, "--by", "ana")


def test_recipes_are_set_shown_compared_and_taken_back(line: Line) -> None:
    first = changed(line, "set", "--model", "m1", "--why", "first", "--from", "9s")
    assert (first["version"], first["mode"], first["published"]) == (1, "ADVISE", True)
    assert set(first["thresholds"]) >= set(DEFECTS)
    second = changed(
        line, "set", "--threshold", f"{DEFECTS[0]}=0.25", "--mode", "act", "--why", "escapes", "--from", "9s"
    )
    assert (second["version"], second["model_id"], second["thresholds"][DEFECTS[0]]) == (2, "m1", 0.25)
    dry = changed(line, "set", "--model", "m2", "--why", "try", "--dry-run")
    assert (dry["version"], dry["published"]) == (3, False)

    assert [(d["field"], d["after"]) for d in line.says("recipe", "diff", 1, 2, *L1)] == [
        ("mode", "ACT"),
        (f"threshold {DEFECTS[0]}", 0.25),
    ]
    back = changed(line, "revert", "--why", "overkill", "--approved-by", "bo", "--from", "1h")
    assert (back["version"], back["mode"], back["thresholds"]) == (3, "ADVISE", first["thresholds"])
    assert [(e["version"], e["takes_effect"]) for e in line.says("recipe", "history", *L1)] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    begins = datetime.fromisoformat(second["effective_at"])
    time.sleep(max(0.0, (begins - datetime.now(UTC)).total_seconds()) + 0.1)
    (state,) = line.says("recipe", "show", "--line", "l1")
    assert (state["in_force"]["version"], [r["version"] for r in state["scheduled"]]) == (2, [3])
    assert "version 2" in line.run("recipe", "show").stdout
    assert "overkill" in line.run("recipe", "history", *L1).stdout
    assert "ADVISE → ACT" in line.run("recipe", "diff", 1, 2, *L1).stdout

    audit: list[AuditEntry] = [e for e in records(line, "audit", AuditEntry) if e.chain_id.startswith("recipes/")]
    assert [(e.actor, e.action, e.subject, e.reason) for e in audit] == [
        ("ana", "recipe.set", "p1/l1 SKU *", "first"),
        ("ana", "recipe.set", "p1/l1 SKU *", "escapes"),
        ("ana", "recipe.revert", "p1/l1 SKU *", "overkill"),
    ]


def test_what_cannot_be_obeyed_is_refused_before_anything_is_published(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(line, "set", "--model", "m1", "--why", "first")
    for arguments, says in (
        (["--threshold", f"{DEFECTS[0]}=1.5"], "expected a number above 0 and at most 1, came 1.5"),
        (["--threshold", "rust=0.5"], "m1 has no defect 'rust'"),
        (["--model", "m9"], "no model 'm9' was released; released are: m1, m2"),
        (["--mode", "act", "--from", "2020-01-01T00:00Z"], "that is past"),
        (["--mode", "act", "--from", "soon"], "--from needs a time such as"),
        (["--mode", "full"], "--mode must be one of COLLECT, ADVISE, ACT; came 'full'"),
    ):
        assert says in line.refuses(CallerError, "recipe", "set", *arguments, "--why", "no", *L1)
    monkeypatch.setenv("LINESIDE_RECIPE_APPROVALS", "2")
    alone = ["recipe", "set", "--mode", "act", "--why", "no", *L1, "--by", "ana"]
    assert "takes 2 different people; came ana" in line.refuses(CallerError, *alone, "--approved-by", "ana")
    assert len(records(line, "recipes", Recipe)) == 1
    assert line.says(*alone, "--approved-by", "bo")["approved_by"] == ["bo"]
    monkeypatch.delenv("LINESIDE_RECIPE_APPROVALS")
    line.says("models", "retire", "m1", "--why", "old", "--by", "ana")
    assert "m1 is retired" in line.refuses(CallerError, "recipe", "set", "--mode", "collect", "--why", "no", *L1)
    assert "m1 is retired: no recipe may name it" in line.refuses(CallerError, "recipe", "revert", "--why", "no", *L1)
    assert "there are: p1/l1 SKU *" in line.refuses(CallerError, "recipe", "show", "--line", "l7")


def test_of_two_who_make_the_same_version_at_once_the_second_is_told(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the same history before either has published."""
    changed(line, "set", "--model", "m1", "--why", "first")
    both = asyncio.run(publishing.history(line.settings))

    async def as_it_was(settings: Any) -> History:
        return both

    changed(line, "set", "--mode", "act", "--why", "mine")
    with monkeypatch.context() as patched:
        patched.setattr("streams.commands.recipe.history", as_it_was)
        said = line.refuses(OperatorError, "recipe", "set", "--mode", "collect", "--why", "no, mine", *L1)
    assert "version 2 of p1/l1 SKU * is published" in said
    assert "takes no effect" in said
    assert [e["takes_effect"] for e in line.says("recipe", "history", *L1)] == [True, True, False]


def test_one_that_reaches_the_broker_too_late_is_told_so(line: Line) -> None:
    effective_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    with pytest.raises(
        OperatorError, match=r"the broker had it -?\d+\.\d s before it should begin, by the broker's clock"
    ):
        asyncio.run(publishing.publish(line.settings, recipe(version=1, effective_at=effective_at), None, "recipe.set"))


def pairs_of(at: datetime, labels: str, said: str) -> list[ShadowCompared]:
    """What m1 passed as OK and m2 said, of parts whose labels are known (g, d) or not (-): a character each."""
    found = []
    for number, (label, outcome) in enumerate(zip(labels, said, strict=True)):
        shot = frame(number, label={"g": "good", "d": DEFECTS[0]}.get(label))
        known = {"recipe": recipe(model_id="m1"), "decided_at": at}
        live = verdict(shot, Judgement(Outcome.OK, Reason.SCORE), number, **known)
        live = replace(live, source_timestamp=at, recipe_version=1)
        other = {"run": "shadow:m2", "model_id": "m2", "outcome": Outcome.NG if outcome == "N" else Outcome.OK}
        shadow = replace(live, verdict_id=uuid5(NAMESPACE, f"shadow {number}"), **other)  # type: ignore[arg-type]
        found.append(ShadowCompared(live=live, shadow=shadow, compared_at=at))
    return found


def test_a_shadow_is_put_in_force_by_what_it_showed_and_not_without(line: Line) -> None:
    first = changed(line, "set", "--model", "m1", "--shadow", "m2", "--why", "first")
    assert (first["shadow_model_id"], first["canary"]) == ("m2", None)
    assert "has no shadow" in line.refuses(
        CallerError, "recipe", "compare", "--plant", "p1", "--line", "l1", "--sku", "B"
    )
    at = datetime.fromisoformat(first["effective_at"])
    asyncio.run(shadowed(line, pairs_of(at, "ggggdd--", "OOOONNON")))
    asked = [*L1, "--least-pairs", 8, "--most-more-rejects", 0.2]
    found = line.says("recipe", "compare", *asked)
    assert (found["pairs"], found["known"], found["matrix"]) == (8, 6, {"OK>NG": 3, "OK>OK": 5})
    assert (found["escapes"]["live_only"], found["more_rejected"], found["lacking"]) == (2, 1, [])
    assert "Enough to put it in force" in line.run("recipe", "compare", *asked).stdout
    said = line.refuses(CallerError, "recipe", "promote", *L1, "--why", "good")
    assert "m2 is not put in force: 8 frames were compared, 300 are needed" in said

    promoted = line.says("recipe", "promote", *asked, "--why", "a week beside it", "--by", "ana", "--from", "9s")
    assert (promoted["version"], promoted["model_id"], promoted["shadow_model_id"]) == (2, "m2", None)
    entry = [e for e in records(line, "audit", AuditEntry) if e.action == "recipe.promote"][-1]
    assert json.loads(entry.after or "")["evidence"]["pairs"] == 8
    anyway = line.says("recipe", "set", "--model", "m1", "--shadow", "m2", "--why", "back", *L1, "--by", "ana")
    assert anyway["version"] == 3
    forced = line.says("recipe", "promote", *L1, "--anyway", "--why", "I know it", "--by", "ana")
    assert (forced["version"], forced["model_id"]) == (4, "m2")


def test_a_canary_comes_from_the_command_line_and_is_taken_back_by_it(line: Line) -> None:
    changed(line, "set", "--model", "m1", "--why", "first")
    made = changed(
        line, "set", "--canary", "m2", "--canary-share", 0.2, "--canary-threshold", f"{DEFECTS[0]}=0.9", "--why", "try"
    )
    assert (made["canary"]["model_id"], made["canary"]["share"]) == ("m2", 0.2)
    assert made["canary"]["thresholds"][DEFECTS[0]] == 0.9
    assert "m2 for 20 % of the parts" in line.run("recipe", "diff", 1, 2, *L1).stdout
    assert changed(line, "set", "--canary", "none", "--why", "enough")["canary"] is None


async def shadowed(line: Line, pairs: list[ShadowCompared]) -> None:
    async with Publisher(line.settings.bootstrap, line.settings.topic_prefix, codec_for(line.settings)) as publisher:
        for pair in pairs:
            await (await publisher.send(SHADOW, pair, key=b"p1/l1/s1", partition=0))
