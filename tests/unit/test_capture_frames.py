"""Shots become frames: one id for one trigger, names that fit Kafka's keys, times with a zone."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec, CommittedSource
from schemas.records import Encoding, FrameCaptured
from streams.capture.frames import FRAME_NAMESPACE, frame_captured, key_of, travels_inline
from streams.capture.source import Camera, Shot

SHOT = Shot(
    camera=Camera("plant", "line", "station", "cam"),
    sku="plate-12",
    data=b"picture",
    encoding=Encoding.JPEG,
    width=640,
    height=480,
    captured_at=datetime(2026, 3, 4, 5, 6, 7, 890_999, tzinfo=UTC),
    triggered_s=0.0,
)


def test_a_frame_carries_the_shot_and_its_digest() -> None:
    frame = frame_captured(SHOT, 7, gateway_ms=3)
    assert (frame.plant, frame.line, frame.station, frame.camera) == ("plant", "line", "station", "cam")
    assert (frame.image, frame.image_ref, frame.trigger_seq, frame.gateway_ms) == (b"picture", None, 7, 3)
    assert frame.image_sha256 == hashlib.sha256(b"picture").hexdigest()
    assert key_of(SHOT) == b"plant/line/station"


def test_a_claim_check_keeps_the_picture_out_of_the_frame() -> None:
    frame = frame_captured(SHOT, 7, gateway_ms=3, image_ref="file:///frames/x.jpg")
    assert (frame.image, frame.image_ref) == (None, "file:///frames/x.jpg")
    assert travels_inline(SHOT.data, len(SHOT.data))
    assert not travels_inline(SHOT.data, len(SHOT.data) - 1)


def test_the_id_of_a_frame_never_changes() -> None:
    assert UUID("5b0d8c1e-6c1f-5c39-9d5e-3f0f6f1f7a11") == FRAME_NAMESPACE
    assert frame_captured(SHOT, 7, gateway_ms=3).frame_id == UUID("50a63006-efd2-5af5-9661-15f59f78ace1")


def test_the_id_depends_on_camera_trigger_and_time_alone() -> None:
    same = frame_captured(SHOT, 7, gateway_ms=3).frame_id
    other = dataclasses.replace(SHOT, data=b"x", sku="y", label="dent", attributes={"a": "b"})
    assert frame_captured(other, 7, gateway_ms=99).frame_id == same
    for shot, seq in (
        (SHOT, 8),
        (dataclasses.replace(SHOT, camera=Camera("plant", "line", "station", "cam2")), 7),
        (dataclasses.replace(SHOT, captured_at=SHOT.captured_at + timedelta(milliseconds=1)), 7),
    ):
        assert frame_captured(shot, seq, gateway_ms=3).frame_id != same


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_the_id_can_be_computed_again_from_the_event_whatever_the_zone(naive: datetime, offset_min: int) -> None:
    shot = dataclasses.replace(SHOT, captured_at=naive.replace(tzinfo=timezone(timedelta(minutes=offset_min))))
    frame = frame_captured(shot, 7, gateway_ms=0)
    codec = Codec(CommittedSource())
    read = codec.decode(codec.encode(frame), FrameCaptured)
    assert read == frame
    assert (
        frame_captured(dataclasses.replace(SHOT, captured_at=read.captured_at), 7, gateway_ms=0).frame_id
        == frame.frame_id
    )


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="is naive"):
        frame_captured(dataclasses.replace(SHOT, captured_at=datetime(2026, 1, 1)), 1, gateway_ms=0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"camera": Camera("pl/ant", "line", "station", "cam")}, "can't be part of a key"),
        ({"camera": Camera("plant", "", "station", "cam")}, "can't be part of a key"),
        ({"camera": Camera("plant", "line", "st\u00e4tion", "cam")}, "can't be part of a key"),
        ({"camera": Camera("plant", "line", "station", "c" * 65)}, "camera"),
        ({"sku": "*"}, "sku"),
        ({"view": 0}, "view"),
        ({"view": 2, "views": 1}, "view"),
        ({"pass_no": 0}, "pass_no"),
        ({"width": -1}, "width"),
        ({"height": 2**31}, "height"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"part_id": ""}, "part_id"),
        ({"part_id": "a\nb"}, "part_id"),
        ({"label": "x" * 257}, "label"),
        ({"lot_id": "\ud800"}, "lot_id"),
        ({"attributes": {"file": "\udcff"}}, "attribute"),
        ({"attributes": {str(n): "" for n in range(257)}}, "257 attributes, at most 256"),
        ({"attributes": {"k": "x" * 1025}}, "attribute .k. has more than 1024 characters"),
    ],
)
def test_a_shot_that_no_reader_could_rely_on_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        frame_captured(dataclasses.replace(SHOT, **changes), 1, gateway_ms=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("trigger_seq", "gateway_ms"), [(0, 0), (1, -1)])
def test_numbers_count_from_their_start(trigger_seq: int, gateway_ms: int) -> None:
    with pytest.raises(ValueError, match="trigger_seq counts from 1"):
        frame_captured(SHOT, trigger_seq, gateway_ms=gateway_ms)
