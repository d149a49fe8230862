"""Records of every event, generated from the `.avsc` files by `python -m schemas.generate`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class ClockSource(StrEnum):
    """Whose clock captured_at was read from."""

    UNKNOWN = "UNKNOWN"
    CAMERA = "CAMERA"
    PTP = "PTP"
    GATEWAY = "GATEWAY"
    FILE = "FILE"


class Encoding(StrEnum):
    """How the bytes of a picture are laid out. Raw names follow GenICam's PFNC."""

    UNKNOWN = "UNKNOWN"
    JPEG = "JPEG"
    PNG = "PNG"
    BMP = "BMP"
    TIFF = "TIFF"
    WEBP = "WEBP"
    MONO8 = "MONO8"
    MONO10P = "MONO10P"
    MONO12 = "MONO12"
    MONO12P = "MONO12P"
    MONO16 = "MONO16"
    BAYER_RG8 = "BAYER_RG8"
    BAYER_GB8 = "BAYER_GB8"
    BAYER_GR8 = "BAYER_GR8"
    BAYER_BG8 = "BAYER_BG8"
    RGB8 = "RGB8"
    BGR8 = "BGR8"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCaptured:
    """One picture taken by a camera for a part."""

    frame_id: UUID
    """uuid5 of plant, line, station, camera, trigger_seq and captured_at."""
    plant: str
    line: str
    station: str
    camera: str
    sku: str
    """Kind of product; `*` is not a SKU but a recipe's wildcard."""
    part_id: str | None = None
    """Serial number of the part, where one is known."""
    lot_id: str | None = None
    order_id: str | None = None
    pass_no: int = 1
    """1 on the first inspection of a part, 2 after rework."""
    view: int = 1
    """1-based number of this picture among the part's views."""
    views: int = 1
    """Pictures taken of this part in this pass."""
    trigger_seq: int
    """Grows by 1 with every trigger of a camera: a gap is a missing frame."""
    captured_at: datetime
    """Time of the trigger by clock_source."""
    clock_source: ClockSource = ClockSource.UNKNOWN
    deadline_ms: int | None = None
    """Milliseconds from the trigger until a verdict is of no more use."""
    gateway_ms: int
    """Milliseconds from trigger to send by the gateway's monotonic clock, spool included."""
    attempt: int = 1
    """1 at first; a redriven dead letter counts on."""
    encoding: Encoding
    width: int
    """Declared pixels; a file's own header decides."""
    height: int
    stride: int | None = None
    """Bytes a row of a raw frame; null means tight rows."""
    bits: int | None = None
    """Significant bits a sample of deep grey."""
    image: bytes | None = None
    """The picture, where it is small enough to travel inline."""
    image_ref: str | None = None
    """Claim check: URI of the picture in the frame store."""
    image_sha256: str
    """Lower-case hex digest of the picture's bytes."""
    label: str | None = None
    """Known truth, for demos and replays; never read by inspection."""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "frame_id": self.frame_id,
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "camera": self.camera,
            "sku": self.sku,
            "part_id": self.part_id,
            "lot_id": self.lot_id,
            "order_id": self.order_id,
            "pass_no": self.pass_no,
            "view": self.view,
            "views": self.views,
            "trigger_seq": self.trigger_seq,
            "captured_at": self.captured_at,
            "clock_source": self.clock_source,
            "deadline_ms": self.deadline_ms,
            "gateway_ms": self.gateway_ms,
            "attempt": self.attempt,
            "encoding": self.encoding,
            "width": self.width,
            "height": self.height,
            "stride": self.stride,
            "bits": self.bits,
            "image": self.image,
            "image_ref": self.image_ref,
            "image_sha256": self.image_sha256,
            "label": self.label,
            "attributes": dict(self.attributes),
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> FrameCaptured:
        """The record from what fastavro read."""
        return cls(
            frame_id=value["frame_id"],
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            camera=value["camera"],
            sku=value["sku"],
            part_id=value["part_id"],
            lot_id=value["lot_id"],
            order_id=value["order_id"],
            pass_no=value["pass_no"],
            view=value["view"],
            views=value["views"],
            trigger_seq=value["trigger_seq"],
            captured_at=value["captured_at"],
            clock_source=ClockSource(value["clock_source"]),
            deadline_ms=value["deadline_ms"],
            gateway_ms=value["gateway_ms"],
            attempt=value["attempt"],
            encoding=Encoding(value["encoding"]),
            width=value["width"],
            height=value["height"],
            stride=value["stride"],
            bits=value["bits"],
            image=value["image"],
            image_ref=value["image_ref"],
            image_sha256=value["image_sha256"],
            label=value["label"],
            attributes=value["attributes"],
        )


class Outcome(StrEnum):
    """What was decided about one frame."""

    UNKNOWN = "UNKNOWN"
    OK = "OK"
    NG = "NG"
    UNSURE = "UNSURE"
    ERROR = "ERROR"


class Reason(StrEnum):
    """Why a frame got its outcome, or why an event became a dead letter."""

    UNKNOWN = "UNKNOWN"
    SCORE = "SCORE"
    LATE = "LATE"
    UNQUALIFIED = "UNQUALIFIED"
    EMPTY = "EMPTY"
    TOO_LARGE = "TOO_LARGE"
    SIZE_OUT_OF_RANGE = "SIZE_OUT_OF_RANGE"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    CORRUPT = "CORRUPT"
    TRUNCATED = "TRUNCATED"
    SHA256_MISMATCH = "SHA256_MISMATCH"
    MULTIPAGE = "MULTIPAGE"
    SIZE_MISMATCH = "SIZE_MISMATCH"
    IMAGE_UNAVAILABLE = "IMAGE_UNAVAILABLE"
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    SCHEMA_INVALID = "SCHEMA_INVALID"
    TOMBSTONE = "TOMBSTONE"
    NON_FINITE = "NON_FINITE"
    DECODE_CRASHED = "DECODE_CRASHED"
    ENGINE_FAILED = "ENGINE_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in pixels of the upright picture."""

    x: int
    y: int
    width: int
    height: int

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"x": self.x, "y": self.y, "width": self.width, "height": self.height}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> Box:
        """The record from what fastavro read."""
        return cls(x=value["x"], y=value["y"], width=value["width"], height=value["height"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One defect found in a frame."""

    label: str
    score: float
    """Probability of the label."""
    threshold: float
    """The limit in force."""
    region: str | None = None
    """Name of the tile or region; null is the whole picture."""
    box: Box | None = None

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "label": self.label,
            "score": self.score,
            "threshold": self.threshold,
            "region": self.region,
            "box": None if self.box is None else self.box.to_avro(),
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> Finding:
        """The record from what fastavro read."""
        return cls(
            label=value["label"],
            score=value["score"],
            threshold=value["threshold"],
            region=value["region"],
            box=None if value["box"] is None else Box.from_avro(value["box"]),
        )


class Mode(StrEnum):
    """COLLECT records without deciding, ADVISE decides without acting, ACT decides and acts."""

    UNKNOWN = "UNKNOWN"
    COLLECT = "COLLECT"
    ADVISE = "ADVISE"
    ACT = "ACT"


class Precision(StrEnum):
    """Arithmetic of the engine that computed a score."""

    UNKNOWN = "UNKNOWN"
    FP32 = "FP32"
    BF16 = "BF16"
    FP16 = "FP16"
    INT8 = "INT8"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictIssued:
    """The one decision about a frame. The FIRST record of a verdict_id in log order counts; ignore later ones."""

    verdict_id: UUID
    """uuid5 of frame_id, attempt and run."""
    run: str
    """`live`, a replay's id or `shadow:<model>`."""
    frame_id: UUID
    """uuid5 of plant, line, station, camera, trigger_seq and captured_at."""
    plant: str
    line: str
    station: str
    camera: str
    sku: str
    """Kind of product; `*` is not a SKU but a recipe's wildcard."""
    part_id: str | None = None
    """Serial number of the part, where one is known."""
    lot_id: str | None = None
    order_id: str | None = None
    pass_no: int = 1
    """1 on the first inspection of a part, 2 after rework."""
    view: int = 1
    """1-based number of this picture among the part's views."""
    views: int = 1
    """Pictures taken of this part in this pass."""
    trigger_seq: int
    """Grows by 1 with every trigger of a camera: a gap is a missing frame."""
    captured_at: datetime
    """Time of the trigger by clock_source."""
    attempt: int = 1
    outcome: Outcome
    reason: Reason
    detail: str = ""
    """What a person should know beyond the reason."""
    findings: tuple[Finding, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    """Probability by class; empty where no engine was asked."""
    novelty: float | None = None
    """Distance to the bank of good parts, where the model has one."""
    mode: Mode = Mode.UNKNOWN
    """The recipe's mode: only ACT may move a part."""
    model_id: str | None = None
    model_sha256: str | None = None
    recipe_version: int | None = None
    preprocess_sha256: str | None = None
    device: str | None = None
    """Engine and device, such as openvino:CPU or torch:cuda."""
    precision: Precision = Precision.UNKNOWN
    batch_size: int = 0
    """Frames that shared the engine's batch; 0 where none ran."""
    received_at: datetime
    """Worker's clock when the frame arrived."""
    decided_at: datetime
    queue_ms: float
    decode_ms: float
    infer_ms: float
    deadline_met: bool
    """False where a deadline was set and had passed when the decision was made."""
    image_sha256: str
    label: str | None = None
    """Known truth carried along from the frame."""
    source_topic: str
    source_partition: int
    source_offset: int
    source_timestamp: datetime
    """Append time of the frame by the broker."""
    gateway_ms: int | None = None
    """Carried from the frame: trigger to append is gateway_ms, so that latency needs no clock but the broker's."""
    simulated: bool = False
    """True on replay: must never move a part."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "verdict_id": self.verdict_id,
            "run": self.run,
            "frame_id": self.frame_id,
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "camera": self.camera,
            "sku": self.sku,
            "part_id": self.part_id,
            "lot_id": self.lot_id,
            "order_id": self.order_id,
            "pass_no": self.pass_no,
            "view": self.view,
            "views": self.views,
            "trigger_seq": self.trigger_seq,
            "captured_at": self.captured_at,
            "attempt": self.attempt,
            "outcome": self.outcome,
            "reason": self.reason,
            "detail": self.detail,
            "findings": [item.to_avro() for item in self.findings],
            "scores": dict(self.scores),
            "novelty": self.novelty,
            "mode": self.mode,
            "model_id": self.model_id,
            "model_sha256": self.model_sha256,
            "recipe_version": self.recipe_version,
            "preprocess_sha256": self.preprocess_sha256,
            "device": self.device,
            "precision": self.precision,
            "batch_size": self.batch_size,
            "received_at": self.received_at,
            "decided_at": self.decided_at,
            "queue_ms": self.queue_ms,
            "decode_ms": self.decode_ms,
            "infer_ms": self.infer_ms,
            "deadline_met": self.deadline_met,
            "image_sha256": self.image_sha256,
            "label": self.label,
            "source_topic": self.source_topic,
            "source_partition": self.source_partition,
            "source_offset": self.source_offset,
            "source_timestamp": self.source_timestamp,
            "gateway_ms": self.gateway_ms,
            "simulated": self.simulated,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> VerdictIssued:
        """The record from what fastavro read."""
        return cls(
            verdict_id=value["verdict_id"],
            run=value["run"],
            frame_id=value["frame_id"],
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            camera=value["camera"],
            sku=value["sku"],
            part_id=value["part_id"],
            lot_id=value["lot_id"],
            order_id=value["order_id"],
            pass_no=value["pass_no"],
            view=value["view"],
            views=value["views"],
            trigger_seq=value["trigger_seq"],
            captured_at=value["captured_at"],
            attempt=value["attempt"],
            outcome=Outcome(value["outcome"]),
            reason=Reason(value["reason"]),
            detail=value["detail"],
            findings=tuple(Finding.from_avro(item) for item in value["findings"]),
            scores=value["scores"],
            novelty=value["novelty"],
            mode=Mode(value["mode"]),
            model_id=value["model_id"],
            model_sha256=value["model_sha256"],
            recipe_version=value["recipe_version"],
            preprocess_sha256=value["preprocess_sha256"],
            device=value["device"],
            precision=Precision(value["precision"]),
            batch_size=value["batch_size"],
            received_at=value["received_at"],
            decided_at=value["decided_at"],
            queue_ms=value["queue_ms"],
            decode_ms=value["decode_ms"],
            infer_ms=value["infer_ms"],
            deadline_met=value["deadline_met"],
            image_sha256=value["image_sha256"],
            label=value["label"],
            source_topic=value["source_topic"],
            source_partition=value["source_partition"],
            source_offset=value["source_offset"],
            source_timestamp=value["source_timestamp"],
            gateway_ms=value["gateway_ms"],
            simulated=value["simulated"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectDetected:
    """An NG or UNSURE frame with its picture, for people and machines that handle defects."""

    verdict: VerdictIssued
    image_ref: str
    """URI of the picture in the frame store; it resolves before this event is published."""
    heatmap_ref: str | None = None

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"verdict": self.verdict.to_avro(), "image_ref": self.image_ref, "heatmap_ref": self.heatmap_ref}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> DefectDetected:
        """The record from what fastavro read."""
        return cls(
            verdict=VerdictIssued.from_avro(value["verdict"]),
            image_ref=value["image_ref"],
            heatmap_ref=value["heatmap_ref"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One Kafka header."""

    key: str
    value: bytes | None = None

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"key": self.key, "value": self.value}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> Header:
        """The record from what fastavro read."""
        return cls(key=value["key"], value=value["value"])


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that could not be handled, kept whole with its reason."""

    reason: Reason
    detail: str
    source_topic: str
    source_partition: int
    source_offset: int
    source_timestamp: datetime
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    value: bytes | None = None
    """Null where the event was a tombstone."""
    at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "reason": self.reason,
            "detail": self.detail,
            "source_topic": self.source_topic,
            "source_partition": self.source_partition,
            "source_offset": self.source_offset,
            "source_timestamp": self.source_timestamp,
            "key": self.key,
            "headers": [item.to_avro() for item in self.headers],
            "value": self.value,
            "at": self.at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> DeadLetter:
        """The record from what fastavro read."""
        return cls(
            reason=Reason(value["reason"]),
            detail=value["detail"],
            source_topic=value["source_topic"],
            source_partition=value["source_partition"],
            source_offset=value["source_offset"],
            source_timestamp=value["source_timestamp"],
            key=value["key"],
            headers=tuple(Header.from_avro(item) for item in value["headers"]),
            value=value["value"],
            at=value["at"],
        )


class Fallback(StrEnum):
    """What a frame that was not inspected counts as."""

    UNKNOWN = "UNKNOWN"
    NG = "NG"
    UNSURE = "UNSURE"
    NOT_INSPECTED = "NOT_INSPECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Thresholds and model for a line and SKU, in force from effective_at."""

    plant: str
    line: str
    sku: str
    """A SKU, or `*` for every SKU without a recipe of its own."""
    version: int
    mode: Mode
    model_id: str
    shadow_model_id: str | None = None
    thresholds: Mapping[str, float]
    """Limit by defect class: a score at or above it is NG."""
    unsure_band: float
    """Width below a threshold within which the outcome is UNSURE."""
    late_action: Fallback = Fallback.NOT_INSPECTED
    error_action: Fallback = Fallback.NOT_INSPECTED
    device: str = "auto"
    """Engine and device asked for; `auto` leaves the choice to the worker."""
    precision: Precision = Precision.UNKNOWN
    """UNKNOWN leaves the choice to the worker."""
    part_timeout_ms: int = 5000
    """Wait for the missing views of a part."""
    author: str
    reason: str
    created_at: datetime
    effective_at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "plant": self.plant,
            "line": self.line,
            "sku": self.sku,
            "version": self.version,
            "mode": self.mode,
            "model_id": self.model_id,
            "shadow_model_id": self.shadow_model_id,
            "thresholds": dict(self.thresholds),
            "unsure_band": self.unsure_band,
            "late_action": self.late_action,
            "error_action": self.error_action,
            "device": self.device,
            "precision": self.precision,
            "part_timeout_ms": self.part_timeout_ms,
            "author": self.author,
            "reason": self.reason,
            "created_at": self.created_at,
            "effective_at": self.effective_at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> Recipe:
        """The record from what fastavro read."""
        return cls(
            plant=value["plant"],
            line=value["line"],
            sku=value["sku"],
            version=value["version"],
            mode=Mode(value["mode"]),
            model_id=value["model_id"],
            shadow_model_id=value["shadow_model_id"],
            thresholds=value["thresholds"],
            unsure_band=value["unsure_band"],
            late_action=Fallback(value["late_action"]),
            error_action=Fallback(value["error_action"]),
            device=value["device"],
            precision=Precision(value["precision"]),
            part_timeout_ms=value["part_timeout_ms"],
            author=value["author"],
            reason=value["reason"],
            created_at=value["created_at"],
            effective_at=value["effective_at"],
        )


Event = FrameCaptured | VerdictIssued | DefectDetected | DeadLetter | Recipe
