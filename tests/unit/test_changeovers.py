"""Since when which recipe and model judge a line, asked of the verdicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from schemas.records import VerdictIssued
from streams.archive.session import ask, connect
from streams.archive.tables import TABLES
from streams.arrow import table_of
from streams.bus.subscriber import Received
from streams.columns import row
from streams.commands.history import _named
from tests.contracts.samples import AT, VERDICT

TABLE = TABLES["verdicts"]


def test_a_changeover_is_the_first_frame_that_a_recipe_and_a_model_judged() -> None:
    judged = [(1, "old")] * 3 + [(2, "new"), (2, "old"), (2, "new"), (None, None)]
    rows = []
    for number, (version, model_id) in enumerate(judged):
        made: VerdictIssued = replace(
            VERDICT, verdict_id=UUID(int=number), recipe_version=version, model_id=model_id,
            model_sha256=model_id and model_id * 3, source_timestamp=AT + timedelta(seconds=number),
        )  # fmt: skip
        rows.append([*row(TABLE.columns, Received(made, 0, number, AT, b"k")), False, "sha", b"event"])
    sql = "SELECT recipe_version, model_id, first_at, last_at, frames, first_verdict_id FROM changeovers ORDER BY ALL"
    with connect(None, {"verdicts": table_of(TABLE.schema, rows)}) as db:
        found = ask(db, sql).fetchall()
    assert [(v, m, (a - AT).seconds, (b - AT).seconds, n, UUID(i).int) for v, m, a, b, n, i in found] == [
        (1, "old", 0, 2, 3, 0),
        (2, "new", 3, 5, 2, 3),
        (2, "old", 4, 4, 1, 4),
    ]


def test_a_question_about_changeovers_reads_the_verdicts() -> None:
    assert _named("SELECT * FROM changeovers") == {"verdicts"}
    assert _named("SELECT * FROM parts, changeovers") == {"verdicts", "parts"}
