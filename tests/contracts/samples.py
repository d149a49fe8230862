"""One full, fixed record of every event: what the golden bytes hold and what tests send."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from schemas import records

NAMESPACE = UUID("00000000-0000-0000-0000-00000000001e")
AT = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
PICTURE = bytes(range(256))
SHA256 = "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"

FRAME = records.FrameCaptured(
    frame_id=uuid5(NAMESPACE, "frame"),
    plant="leipzig",
    line="L1",
    station="S2",
    camera="top",
    sku="cell-60",
    part_id="P-0001",
    lot_id="lot-7",
    order_id=None,
    pass_no=2,
    view=1,
    views=3,
    trigger_seq=2**40,
    captured_at=AT,
    clock_source=records.ClockSource.PTP,
    deadline_ms=800,
    gateway_ms=12,
    encoding=records.Encoding.MONO8,
    width=16,
    height=16,
    stride=16,
    image=PICTURE,
    image_sha256=SHA256,
    label="scratch",
    attributes={"exposure_us": "150", "überschrift": "äöü"},
)
IDENTITY = (
    *("frame_id", "plant", "line", "station", "camera", "sku", "part_id", "lot_id", "order_id", "pass_no", "view"),
    *("views", "trigger_seq", "captured_at", "attempt", "image_sha256", "label", "gateway_ms"),
)
VERDICT = records.VerdictIssued(
    verdict_id=uuid5(NAMESPACE, "verdict"),
    run="live",
    **{name: getattr(FRAME, name) for name in IDENTITY},
    outcome=records.Outcome.NG,
    reason=records.Reason.SCORE,
    findings=(
        records.Finding(label="scratch", score=0.9375, threshold=0.5),
        records.Finding(
            label="dent", score=0.75, threshold=0.625, region="r1", box=records.Box(x=1, y=2, width=3, height=4)
        ),
    ),
    scores={"ok": 0.0625, "scratch": 0.9375},
    novelty=1.5,
    mode=records.Mode.ACT,
    model_id="cell-resnet18@3",
    model_sha256="ab" * 32,
    recipe_version=4,
    preprocess_sha256="cd" * 32,
    device="openvino:CPU",
    precision=records.Precision.BF16,
    batch_size=32,
    received_at=AT + timedelta(milliseconds=20),
    decided_at=AT + timedelta(milliseconds=45),
    queue_ms=4.5,
    decode_ms=2.25,
    infer_ms=8.0,
    deadline_met=True,
    source_topic="lineside.frames",
    source_partition=7,
    source_offset=123_456_789_012,
    source_timestamp=AT + timedelta(milliseconds=14),
    simulated=False,
)
DEFECT = records.DefectDetected(verdict=VERDICT, image_ref="frames/40/40aff2e9", heatmap_ref=None)
DEAD_LETTER = records.DeadLetter(
    reason=records.Reason.SCHEMA_INVALID,
    detail="2 bytes are too short for Confluent framing (5 bytes and a body)",
    source_topic="lineside.frames",
    source_partition=7,
    source_offset=41,
    source_timestamp=AT,
    key=b"\xff\x00",
    headers=(records.Header(key="ce_id", value=b"1"), records.Header(key="empty", value=None)),
    value=b"\x00\x01",
    at=AT + timedelta(seconds=1),
)
RECIPE = records.Recipe(
    plant="leipzig",
    line="L1",
    sku="*",
    version=4,
    mode=records.Mode.ADVISE,
    model_id="cell-resnet18@3",
    thresholds={"scratch": 0.5},
    unsure_band=0.125,
    late_action=records.Fallback.NG,
    author="an engineer",
    reason="first cut",
    created_at=AT,
    effective_at=AT + timedelta(minutes=5),
)
SAMPLES: dict[str, records.Event] = {type(e).__name__: e for e in (FRAME, VERDICT, DEFECT, DEAD_LETTER, RECIPE)}


def verdict(n: int, **changes: object) -> records.VerdictIssued:
    """The n-th of many verdicts, each with an id of its own."""
    fresh = {"verdict_id": uuid5(NAMESPACE, f"verdict {n}"), "trigger_seq": n}
    return dataclasses.replace(VERDICT, **(fresh | changes))  # type: ignore[arg-type]


def defect(n: int, **changes: object) -> records.DefectDetected:
    """The n-th of many defects."""
    return dataclasses.replace(DEFECT, verdict=verdict(n, **changes))


def recipe(version: int) -> records.Recipe:
    return dataclasses.replace(RECIPE, version=version)
