"""What the station's page says: foreign text as text, nothing that biases a blind look, who holds or decided a case."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from schemas.records import (
    Box,
    DefectDetected,
    Disposition,
    Finding,
    Outcome,
    Reason,
    ReworkFinding,
    ReworkOutcome,
    StationClaim,
)
from streams.bus.subscriber import Received
from streams.downstream.rework.cases import Case, case_of_defect
from streams.downstream.rework.chains import Standing
from streams.downstream.rework.decisions import BlockAction, Decision
from streams.inspection.decide import Judgement
from streams.web.i18n import FOLDER, LANGUAGES, Texts
from streams.web.station.draft import Draft
from streams.web.station.elements import printable
from streams.web.station.queue_view import part_name
from streams.web.station.saving import Saving
from streams.web.station.seat import Notice
from streams.web.station.side_view import facts, outcome_text
from streams.web.station.stage_view import heat_address, picture_address
from streams.web.station.strip_view import status
from tests.builders import frame, verdict

NOW = datetime(2026, 7, 31, 14, 3, 12, tzinfo=UTC)
T = Texts("en", "station", ZoneInfo("UTC"))


def case(part_id: str | None = "4711", **changes: Any) -> Case:
    scratch = Finding(label="scratch", score=0.93, threshold=0.62)
    judged = verdict(
        frame(7, part_id=part_id), Judgement(Outcome.NG, Reason.SCORE, findings=(scratch,), scores={"scratch": 0.93})
    )
    read = Received(DefectDetected(verdict=judged, image_ref="file:///x"), 0, 0, NOW, None)
    return dataclasses.replace(case_of_defect(read), **changes)


def outcome(**changes: Any) -> ReworkOutcome:
    fields: dict[str, Any] = {
        "outcome_id": uuid4(),
        "verdict_id": UUID(int=1),
        "frame_id": UUID(int=2),
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "camera": "c1",
        "sku": "A",
        "rework_station": "R1",
        "operator": "Ben",
        "finding": ReworkFinding.CONFIRMED,
        "predicted_label": "scratch",
        "disposition": Disposition.REWORK,
        "decided_at": NOW,
        "verdict_outcome": Outcome.NG,
        "inspected_at": NOW,
    }
    return ReworkOutcome(**fields | changes)


def seat(shown: Case | None, **changes: Any) -> Any:
    """What the strip looks at of a seat."""
    fields: dict[str, Any] = {
        "case": shown,
        "block": None,
        "saving": None,
        "handling": None,
        "notice": None,
        "outcome": None,
        "draft": Draft(),
        "holder": lambda _: None,
        "desk": SimpleNamespace(connected=True),
    }
    return SimpleNamespace(**fields | changes)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("F40-118362", "F40-118362"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("abc\u202ecba", "abc\ufffdcba"),
        ("a\nb\x00", "a\ufffdb\ufffd"),
        ("A" * 1000, "A" * 200 + "…"),
    ],
)
def test_foreign_text_is_cut_and_what_can_not_be_seen_is_marked(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_part_without_an_id_is_named_by_its_place_on_the_line() -> None:
    assert part_name(T, case(None)) == "c1 #7"


def test_the_small_print_says_what_the_model_thought() -> None:
    said = facts(T, case(), NOW)

    assert (said["label"], said["limit"], said["view"]) == ("scratch 0.93", "0.62", "1 of 1")
    assert (said["model"], said["recipe"]) == ("m1", "1 · acts")


def test_a_blind_case_says_nothing_of_what_the_model_thought() -> None:
    said = facts(T, case(review=2), NOW)

    assert said.keys().isdisjoint({"label", "limit", "reason", "model", "recipe"})
    assert "0.93" not in json.dumps(said)


def test_the_small_print_says_in_which_tile_the_model_saw_it() -> None:
    box = Box(x=8, y=8, width=8, height=8)
    tile = Finding(label="scratch", score=0.9, threshold=0.5, region="row 2 column 3", box=box)
    whole = Finding(label="dent", score=0.6, threshold=0.5)
    judged = verdict(frame(), Judgement(Outcome.NG, Reason.SCORE, findings=(tile, whole), scores={"scratch": 0.9}))
    read = Received(DefectDetected(verdict=judged, image_ref="file:///x"), 0, 0, NOW, None)
    assert facts(T, case_of_defect(read), NOW)["place"] == "row 2 column 3"
    assert "place" not in facts(T, case(), NOW)


def test_an_unsure_frame_says_why_instead_of_a_limit() -> None:
    judged = verdict(frame(), Judgement(Outcome.UNSURE, Reason.SCORE, scores={"good": 0.6, "scratch": 0.4}))
    read = Received(DefectDetected(verdict=judged, image_ref="file:///x"), 0, 0, NOW, None)

    said = facts(T, case_of_defect(read), NOW)

    assert (said["reason"], said["label"]) == ("close to the limit", "good 0.60")
    assert "limit" not in said


@pytest.mark.parametrize(
    ("changes", "standing", "text"),
    [
        ({}, Standing.STANDS, "Ben: confirmed scratch, rework"),
        ({"corrected_label": "dent"}, Standing.STANDS, "Ben: confirmed dent, rework"),
        ({"finding": ReworkFinding.FALSE_REJECT}, Standing.SUPERSEDED, "Ben: false reject, rework (superseded)"),
        (
            {"finding": ReworkFinding.NOT_FOUND, "disposition": Disposition.UNKNOWN},
            Standing.STANDS,
            "Ben: not found",
        ),
    ],
)
def test_a_decision_reads_as_who_found_what(changes: dict[str, Any], standing: Standing, text: str) -> None:
    assert outcome_text(T, outcome(**changes), standing) == text


def test_the_strip_asks_for_the_finding_then_for_the_rest() -> None:
    assert status(T, seat(case()), NOW).head == "What do you find?"
    assert status(T, seat(case(review=2)), NOW).head == "Is this part good?"
    then = seat(case(), draft=Draft(finding=ReworkFinding.CONFIRMED))
    assert status(T, then, NOW).head == "Then: what happens to it?"


def test_the_strip_says_saving_and_without_a_connection_that_nothing_is_saved_yet() -> None:
    saving = Saving(case(), Decision(ReworkFinding.CONFIRMED))

    told = status(T, seat(case(), saving=saving), NOW)
    assert (told.kind, told.head, told.line) == ("saving", "Saving…", "4711")

    told = status(T, seat(case(), saving=saving, desk=SimpleNamespace(connected=False)), NOW)
    assert told.head == "Not saved yet, will retry"
    assert "4711" in told.banner


def test_a_block_that_is_being_recorded_is_not_called_done() -> None:
    handled = seat(None, block=SimpleNamespace(count=34), handling=BlockAction.SEND_BACK)

    told = status(T, handled, NOW)

    assert (told.kind, told.line) == ("saving", "34 parts")


def test_the_saved_part_is_repeated_for_a_second_unless_the_next_decision_has_begun() -> None:
    notice = Notice("saved", NOW, case=case())

    told = status(T, seat(case(), notice=notice), NOW + timedelta(seconds=0.9))
    assert (told.kind, told.line) == ("saved", "4711")
    assert status(T, seat(case(), notice=notice), NOW + timedelta(seconds=1)).kind == "ask"
    begun = seat(case(), notice=notice, draft=Draft(finding=ReworkFinding.CONFIRMED))
    assert status(T, begun, NOW).kind == "then"


def test_an_unknown_part_is_told_with_what_to_do_even_in_mid_decision() -> None:
    begun = seat(case(), notice=Notice("unknown_part", NOW, "x1"), draft=Draft(finding=ReworkFinding.CONFIRMED))

    told = status(T, begun, NOW)

    assert told.head == "Unknown part"
    assert told.banner.startswith("No case for x1. Scan again")


def test_a_held_case_names_its_holder_and_a_decided_one_says_who_and_when() -> None:
    claim = StationClaim(
        claim_id=uuid4(),
        verdict_id=UUID(int=1),
        plant="p1",
        line="l1",
        station="s1",
        rework_station="R1",
        operator="Ben",
        ttl_ms=1000,
        at=NOW,
    )
    told = status(T, seat(case(), holder=lambda _: claim), NOW)
    assert told.banner.startswith("Ben has this case open at R1")
    assert told.can_go_on

    told = status(T, seat(case(), outcome=outcome()), NOW)
    assert told.banner == "Already decided, 14:03:12. Ben: confirmed scratch, rework"
    assert told.can_go_on


def test_addresses_carry_labels_and_layouts_as_values() -> None:
    shown = case(stride=1280, bits=12, image_sha256="a" * 64, width=640, height=480)

    assert picture_address(shown) == (f"/pictures/{'a' * 64}?encoding=UNKNOWN&width=640&height=480&stride=1280&bits=12")
    assert heat_address(shown, "a&b=<i>").endswith("?label=a%26b%3D%3Ci%3E")


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    tables = [json.loads((FOLDER / language / "station.json").read_text("utf-8")) for language in LANGUAGES]
    fields = [{key: sorted(_fields(text)) for key, text in table.items()} for table in tables]

    assert fields[0] == fields[1]


def _fields(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]
