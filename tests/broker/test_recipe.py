"""`lineside recipe`: from a person's wish to the version by which a worker judges, its audit, and what is refused."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.records import AuditEntry, Recipe
from streams.errors import CallerError, OperatorError
from streams.recipes import publishing
from streams.recipes.history import History
from tests.broker.test_models import Line, records
from tests.builders import recipe
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
