"""A captured frame keeps its identity through the spool, and its age across restarts and reboots."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path

import pytest

from streams.capture.captured import Captured, Moment, SpoolCodec, elapsed_ms
from streams.capture.clocks import GatewayClocks, boot_id
from streams.capture.frames import INT_MAX, frame_captured
from tests.gateways import shot

BOOT, OTHER = uuid.uuid4(), uuid.uuid4()
CAPTURED = Captured(frame_captured(shot(3), 7, gateway_ms=0), Moment(BOOT, 5_000, 1_700_000_000_000))


@pytest.mark.parametrize("data", [b"", b"x", bytes(300_000)])
def test_a_frame_comes_out_of_its_bytes_as_it_went_in(data: bytes) -> None:
    captured = Captured(frame_captured(shot(3, data=data), 7, gateway_ms=0), CAPTURED.trigger)
    codec = SpoolCodec()
    assert codec.decode(codec.encode(captured)) == captured


def test_bytes_of_another_version_or_of_no_frame_are_refused() -> None:
    codec = SpoolCodec()
    body = codec.encode(CAPTURED)
    for wrong in (
        b"",
        body[:20],
        body[:40],
        b"\x09" + body[1:],
        body + b"more",
        body[:33] + b"\0\0\0\xff\xff" + body[38:],
    ):
        with pytest.raises(ValueError):
            codec.decode(wrong)


def test_only_the_delay_and_the_pictures_place_are_told_at_the_sending() -> None:
    later = Moment(BOOT, 6_500, 0)
    event = CAPTURED.event(later)
    assert event == dataclasses.replace(CAPTURED.frame, gateway_ms=1_500)
    claim = CAPTURED.event(later, "file:///store/x.png")
    assert claim == dataclasses.replace(event, image=None, image_ref="file:///store/x.png")
    assert CAPTURED.event(Moment(BOOT, 10**12, 0)).gateway_ms == INT_MAX


@pytest.mark.parametrize(
    ("now", "elapsed"),
    [
        (Moment(BOOT, 5_250, 0), 250),  # the wall clock was set meanwhile: it doesn't matter
        (Moment(BOOT, 4_000, 9_999_999_999_999), 0),
        (Moment(OTHER, 10, 1_700_000_000_900), 900),  # another boot: the wall clock alone tells
        (Moment(OTHER, 10, 1_699_999_999_000), 0),
    ],
)
def test_time_goes_by_the_monotonic_clock_within_a_boot_and_by_the_wall_clock_after_it(
    now: Moment, elapsed: int
) -> None:
    assert elapsed_ms(CAPTURED.trigger, now) == elapsed


def test_a_trigger_is_known_by_both_clocks() -> None:
    clocks = GatewayClocks(BOOT, lambda: 100.0, lambda: 1_000.0)
    assert clocks.trigger(98.5) == Moment(BOOT, 98_500, 998_500)
    assert clocks.trigger(101.0) == Moment(BOOT, 101_000, 1_001_000)


def test_a_boot_is_known_again_and_told_from_others(tmp_path: Path) -> None:
    file, namespace = tmp_path / "boot_id", tmp_path / "time"
    file.write_text("6cb5a8c6-0000\n")
    namespace.symlink_to("time:[1]")
    first = boot_id(file, namespace)
    assert boot_id(file, namespace) == first
    namespace.unlink()
    namespace.symlink_to("time:[2]")
    assert boot_id(file, namespace) != first
    file.unlink()
    assert boot_id(file, namespace) != boot_id(file, namespace)  # nobody can tell: this process alone
