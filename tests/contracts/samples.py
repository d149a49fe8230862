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
    picture=records.PictureFigures(
        brightness=0.5, contrast=0.25, sharpness=0.125, clipped=0.0, edge_x=0.5, edge_y=0.375
    ),
)
DEFECT = records.DefectDetected(
    verdict=VERDICT,
    image_ref="frames/40/40aff2e9",
    heatmap_ref=None,
    encoding=records.Encoding.MONO8,
    width=16,
    height=16,
    stride=16,
)
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
    approved_by=("another engineer",),
    created_at=AT,
    effective_at=AT + timedelta(minutes=5),
    canary=records.Canary(model_id="cell-resnet18@4", share=0.125, thresholds={"scratch": 0.75}, unsure_band=0.0625),
)
STATION = {"plant": "leipzig", "line": "L1", "station": "S2"}
PART = records.PartDecided(
    decision_id=uuid5(NAMESPACE, "part"),
    **STATION,
    sku="cell-60",
    part_id="P-0001",
    pass_no=2,
    outcome=records.PartOutcome.NOT_INSPECTED,
    reason=records.PartReason.MISSING_VIEW,
    detail="view 2 of 2 missing",
    views_expected=2,
    views=(
        records.PartView(
            verdict_id=VERDICT.verdict_id,
            verdict_offset=2**33,
            camera="top",
            view=1,
            trigger_seq=2**40,
            outcome=records.Outcome.UNSURE,
            reason=records.Reason.SCORE,
        ),
    ),
    labels=("scratch",),
    mode=records.Mode.ACT,
    recipe_version=4,
    model_id="cell-resnet18@3",
    first_at=AT,
    through_at=AT + timedelta(seconds=5),
    decided_at=AT + timedelta(seconds=5),
)
OUTCOME = records.ReworkOutcome(
    outcome_id=uuid5(NAMESPACE, "outcome"),
    verdict_id=VERDICT.verdict_id,
    frame_id=VERDICT.frame_id,
    **STATION,
    camera="top",
    sku="cell-60",
    part_id="P-0001",
    pass_no=2,
    rework_station="R2",
    operator="ana",
    finding=records.ReworkFinding.CONFIRMED,
    predicted_label="scratch",
    corrected_label="dent",
    disposition=records.Disposition.REWORK,
    comment="Kratzer am Rand",
    decided_at=AT + timedelta(minutes=7),
    supersedes=uuid5(NAMESPACE, "earlier outcome"),
    verdict_outcome=records.Outcome.NG,
    image_sha256=SHA256,
    model_id="cell-resnet18@3",
    recipe_version=4,
    inspected_at=AT,
)
SAMPLE = records.SampleSelected(
    sample_id=uuid5(NAMESPACE, "sample"),
    verdict_id=VERDICT.verdict_id,
    frame_id=VERDICT.frame_id,
    **STATION,
    camera="top",
    sku="cell-60",
    image_ref="frames/40/40aff2e9",
    image_sha256=SHA256,
    near_hash="00ff00ff00ff00ff",
    encoding=records.Encoding.MONO8,
    width=16,
    height=16,
    strategy=records.Strategy.PASS_AUDIT,
    why="random audit of passes, 1 in 128",
    predicted_label="ok",
    score=0.9375,
    verdict_outcome=records.Outcome.OK,
    inclusion_probability=0.0078125,
    model_id="cell-resnet18@3",
    recipe_version=4,
    seed=2**35,
    inspected_at=AT,
    selected_at=AT + timedelta(hours=1),
)
CLAIM = records.StationClaim(
    claim_id=uuid5(NAMESPACE, "claim"),
    verdict_id=VERDICT.verdict_id,
    **STATION,
    part_id="P-0001",
    rework_station="R2",
    operator="ana",
    ttl_ms=120_000,
    at=AT,
)
ALARM = records.AlarmRaised(
    alarm_id=uuid5(NAMESPACE, "alarm"),
    kind=records.AlarmKind.MISSING_TRIGGER,
    severity=records.Severity.WARNING,
    subject="leipzig/L1/S2/top",
    value=3.0,
    since=AT,
    at=AT + timedelta(seconds=2),
    detail="3 triggers missing",
    ranges=(records.SequenceRange(first=2**40, last=2**40 + 2),),
    evidence=("frames/ab.png",),
)
WINDOW = records.LineWindow(
    **STATION,
    window_start=AT.replace(microsecond=0),
    width_ms=60_000,
    revision=2,
    final=True,
    partition=7,
    through_offset=2**33,
    frames=120,
    outcomes={"OK": 118, "NG": 2},
    labels={"scratch": 2},
    parts={"OK": 58, "NG": 2},
    models={"cell-resnet18@3": 120},
    latency_counts=(0, 100, 20),
    latency_p50_ms=20.0,
    overkill=records.Estimate(value=0.0078125, low=0.00390625, high=0.015625, n=512),
    at=AT + timedelta(minutes=3),
)
AUDIT = records.AuditEntry(
    chain_id="station/R2/1",
    chain_seq=0,
    actor="ana",
    action="outcome.decide",
    subject=str(VERDICT.verdict_id),
    after='{"finding":"CONFIRMED"}',
    at=AT,
    previous_sha256="0" * 64,
    sha256="ef" * 32,
)
GATE = records.GateSignal(
    pause_id=uuid5(NAMESPACE, "pause"),
    kind=records.GateKind.GO_ON,
    sender="grow/host/7",
    lease_ms=30_000,
    partitions=24,
    detail="frames has 24 partitions",
    at=AT,
)
LOCATED = records.DefectLocated(
    location_id=UUID(int=31),
    verdict_id=UUID(int=7),
    frame_id=UUID(int=5),
    plant="p1",
    line="l1",
    station="s1",
    camera="c1",
    sku="flange",
    part_id="P-1",
    image_sha256="ab" * 32,
    places=(
        records.Place(
            label="scratch",
            score=0.75,
            box=records.Box(x=10, y=20, width=30, height=40),
            outline=(10.0, 20.0, 40.0, 20.5, 25.0, 60.0),
        ),
    ),
    reason=records.Reason.SCORE,
    model_id="where-1",
    model_sha256="cd" * 32,
    locate_ms=812.5,
    located_at=AT,
)
MODEL = records.ModelReleased(
    model_id="flange-41",
    uri="models/" + "cd" * 32,
    sha256="cd" * 32,
    arch="resnet18",
    classes=("good", "scratch"),
    skus=("flange",),
    metrics={"escape": 0.0078125, "overkill": 0.03125},
    evidence='{"shortfalls":[]}',
    released_by="ana",
    approved_by=("maria",),
    reason="finds porosity",
    released_at=AT,
)
SHADOW = records.ShadowCompared(
    live=VERDICT,
    shadow=dataclasses.replace(
        VERDICT, verdict_id=UUID(int=32), run="shadow:flange-42", model_id="flange-42", simulated=True
    ),
    compared_at=AT,
)
REFERENCE = records.CameraReference(
    plant="p1",
    line="l1",
    station="s1",
    camera="c1",
    sku="flange",
    frames=500,
    figures=(records.FigureReference(name="brightness", quantiles=(0.25, 0.5, 0.75)),),
    first_at=AT,
    last_at=AT,
    taught_by="ana",
    reason="new lamp",
    taught_at=AT,
)
PROPOSED = records.ModelProposed(
    proposal_id=UUID(int=33),
    plant="p1",
    line="l1",
    sku="flange",
    state=records.ProposalState.APPROVED,
    model_id="flange-42",
    sha256="cd" * 32,
    base_model_id="flange-41",
    dataset="flange-7",
    dataset_sha256="ef" * 32,
    metrics={"escape": 0.0078125, "base_escape": 0.125},
    report_ref="reports/flange-42.html",
    proposed_by="ana",
    decided_by="maria",
    reason="finds dents",
    at=AT,
)
SAMPLES: dict[str, records.Event] = {
    type(event).__name__: event
    for event in (
        *(FRAME, VERDICT, DEFECT, DEAD_LETTER, RECIPE, PART),
        *(OUTCOME, SAMPLE, CLAIM, ALARM, WINDOW, AUDIT, GATE, MODEL, LOCATED),
        *(SHADOW, REFERENCE, PROPOSED),
    )
}


def verdict(n: int, **changes: object) -> records.VerdictIssued:
    """The n-th of many verdicts, each with an id of its own."""
    fresh = {"verdict_id": uuid5(NAMESPACE, f"verdict {n}"), "trigger_seq": n}
    return dataclasses.replace(VERDICT, **(fresh | changes))  # type: ignore[arg-type]


def defect(n: int, **changes: object) -> records.DefectDetected:
    """The n-th of many defects."""
    return dataclasses.replace(DEFECT, verdict=verdict(n, **changes))


def recipe(version: int) -> records.Recipe:
    return dataclasses.replace(RECIPE, version=version)
