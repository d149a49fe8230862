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
    PICTURE_NOT_KEPT = "PICTURE_NOT_KEPT"
    PICTURE_DAMAGED = "PICTURE_DAMAGED"


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
class PictureFigures:
    """How a picture was taken, measured on the decoded picture as the camera gave it; levels are of 0 (black) to 1 (white)."""

    brightness: float
    """Mean level."""
    contrast: float
    """Standard deviation of the levels."""
    sharpness: float
    """Mean square of the difference of neighbouring levels, over the levels' variance: falls where the picture is out of focus."""
    clipped: float
    """Share of levels that are black or white: under- or overexposed."""
    edge_x: float
    """Where the picture's edges lie in the mean, as a share of its width: moves with the camera."""
    edge_y: float
    """The same, of its height."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "brightness": self.brightness,
            "contrast": self.contrast,
            "sharpness": self.sharpness,
            "clipped": self.clipped,
            "edge_x": self.edge_x,
            "edge_y": self.edge_y,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> PictureFigures:
        """The record from what fastavro read."""
        return cls(
            brightness=value["brightness"],
            contrast=value["contrast"],
            sharpness=value["sharpness"],
            clipped=value["clipped"],
            edge_x=value["edge_x"],
            edge_y=value["edge_y"],
        )


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
    picture: PictureFigures | None = None
    """How the picture was taken; null where it was not decoded."""

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
            "picture": None if self.picture is None else self.picture.to_avro(),
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
            picture=None if value["picture"] is None else PictureFigures.from_avro(value["picture"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectDetected:
    """An NG or UNSURE frame with its picture, for people and machines that handle defects."""

    verdict: VerdictIssued
    image_ref: str
    """URI of the picture in the frame store; it resolves before this event is published."""
    heatmap_ref: str | None = None
    encoding: Encoding = Encoding.UNKNOWN
    """How the picture's bytes are laid out; UNKNOWN where this was not said."""
    width: int = 0
    height: int = 0
    stride: int | None = None
    bits: int | None = None

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "verdict": self.verdict.to_avro(),
            "image_ref": self.image_ref,
            "heatmap_ref": self.heatmap_ref,
            "encoding": self.encoding,
            "width": self.width,
            "height": self.height,
            "stride": self.stride,
            "bits": self.bits,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> DefectDetected:
        """The record from what fastavro read."""
        return cls(
            verdict=VerdictIssued.from_avro(value["verdict"]),
            image_ref=value["image_ref"],
            heatmap_ref=value["heatmap_ref"],
            encoding=Encoding(value["encoding"]),
            width=value["width"],
            height=value["height"],
            stride=value["stride"],
            bits=value["bits"],
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
class Canary:
    """A second model that judges a share of a recipe's parts, always the same ones, and may be taken back without asking."""

    model_id: str
    share: float
    """Of parts, above 0 and at most 1; all pictures of a part are judged by one model."""
    thresholds: Mapping[str, float]
    """As the recipe's, for this model."""
    unsure_band: float

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "model_id": self.model_id,
            "share": self.share,
            "thresholds": dict(self.thresholds),
            "unsure_band": self.unsure_band,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> Canary:
        """The record from what fastavro read."""
        return cls(
            model_id=value["model_id"],
            share=value["share"],
            thresholds=value["thresholds"],
            unsure_band=value["unsure_band"],
        )


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
    approved_by: tuple[str, ...] = ()
    """Who agreed, beside the author."""
    created_at: datetime
    effective_at: datetime
    canary: Canary | None = None
    """A model that judges a share of the parts; null for none."""

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
            "approved_by": self.approved_by,
            "created_at": self.created_at,
            "effective_at": self.effective_at,
            "canary": None if self.canary is None else self.canary.to_avro(),
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
            approved_by=tuple(value["approved_by"]),
            created_at=value["created_at"],
            effective_at=value["effective_at"],
            canary=None if value["canary"] is None else Canary.from_avro(value["canary"]),
        )


class PartOutcome(StrEnum):
    """What was decided about a part from all its views."""

    UNKNOWN = "UNKNOWN"
    OK = "OK"
    NG = "NG"
    UNSURE = "UNSURE"
    NOT_INSPECTED = "NOT_INSPECTED"


class PartReason(StrEnum):
    """Why a part was decided as it was."""

    UNKNOWN = "UNKNOWN"
    VIEWS = "VIEWS"
    MISSING_VIEW = "MISSING_VIEW"
    LATE_VIEW = "LATE_VIEW"
    ERROR_VIEW = "ERROR_VIEW"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartView:
    """One view that a part was decided from."""

    verdict_id: UUID
    verdict_offset: int
    """Offset of the verdict in the same-numbered partition of `verdicts`."""
    camera: str
    view: int
    trigger_seq: int
    outcome: Outcome
    reason: Reason

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "verdict_id": self.verdict_id,
            "verdict_offset": self.verdict_offset,
            "camera": self.camera,
            "view": self.view,
            "trigger_seq": self.trigger_seq,
            "outcome": self.outcome,
            "reason": self.reason,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> PartView:
        """The record from what fastavro read."""
        return cls(
            verdict_id=value["verdict_id"],
            verdict_offset=value["verdict_offset"],
            camera=value["camera"],
            view=value["view"],
            trigger_seq=value["trigger_seq"],
            outcome=Outcome(value["outcome"]),
            reason=Reason(value["reason"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDecided:
    """The one decision about a part and pass, from its views. A part with a missing, late or unreadable view is never OK."""

    decision_id: UUID
    """uuid5 of plant, line, station, part and pass: the FIRST record of an id counts."""
    plant: str
    line: str
    station: str
    sku: str
    part_id: str | None = None
    lot_id: str | None = None
    order_id: str | None = None
    pass_no: int = 1
    outcome: PartOutcome
    reason: PartReason
    detail: str = ""
    """Such as `views 2 and 4 of 4 missing`."""
    views_expected: int
    views: tuple[PartView, ...] = ()
    """The views that came, in the order of their numbers."""
    labels: tuple[str, ...] = ()
    """Defects found in any view, the surest first."""
    mode: Mode = Mode.UNKNOWN
    recipe_version: int | None = None
    model_id: str | None = None
    first_at: datetime
    """Trigger of the first view that came, by the broker's clock less gateway_ms."""
    through_at: datetime
    """Newest append time of a frame that the decision knew of in this partition; never goes back."""
    decided_at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "decision_id": self.decision_id,
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "sku": self.sku,
            "part_id": self.part_id,
            "lot_id": self.lot_id,
            "order_id": self.order_id,
            "pass_no": self.pass_no,
            "outcome": self.outcome,
            "reason": self.reason,
            "detail": self.detail,
            "views_expected": self.views_expected,
            "views": [item.to_avro() for item in self.views],
            "labels": self.labels,
            "mode": self.mode,
            "recipe_version": self.recipe_version,
            "model_id": self.model_id,
            "first_at": self.first_at,
            "through_at": self.through_at,
            "decided_at": self.decided_at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> PartDecided:
        """The record from what fastavro read."""
        return cls(
            decision_id=value["decision_id"],
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            sku=value["sku"],
            part_id=value["part_id"],
            lot_id=value["lot_id"],
            order_id=value["order_id"],
            pass_no=value["pass_no"],
            outcome=PartOutcome(value["outcome"]),
            reason=PartReason(value["reason"]),
            detail=value["detail"],
            views_expected=value["views_expected"],
            views=tuple(PartView.from_avro(item) for item in value["views"]),
            labels=tuple(value["labels"]),
            mode=Mode(value["mode"]),
            recipe_version=value["recipe_version"],
            model_id=value["model_id"],
            first_at=value["first_at"],
            through_at=value["through_at"],
            decided_at=value["decided_at"],
        )


class ReworkFinding(StrEnum):
    """What a person found about a part."""

    UNKNOWN = "UNKNOWN"
    CONFIRMED = "CONFIRMED"
    FALSE_REJECT = "FALSE_REJECT"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_FOUND = "NOT_FOUND"
    WITHDRAWN = "WITHDRAWN"


class Disposition(StrEnum):
    """What happens to a part."""

    UNKNOWN = "UNKNOWN"
    REWORK = "REWORK"
    SCRAP = "SCRAP"
    USE_AS_IS = "USE_AS_IS"
    RETURN = "RETURN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReworkOutcome:
    """What a person decided about an inspected frame. Never edited: a new one supersedes."""

    outcome_id: UUID
    verdict_id: UUID
    frame_id: UUID
    plant: str
    line: str
    station: str
    """Where the frame was inspected."""
    camera: str
    sku: str
    part_id: str | None = None
    pass_no: int = 1
    rework_station: str
    operator: str
    finding: ReworkFinding
    """CONFIRMED: the part is bad. FALSE_REJECT: it is good. WITHDRAWN: the superseded decision is taken back and the case is open again."""
    predicted_label: str | None = None
    corrected_label: str | None = None
    disposition: Disposition = Disposition.UNKNOWN
    comment: str = ""
    decided_at: datetime
    supersedes: UUID | None = None
    """The outcome_id that this one replaces."""
    review: int = 1
    """1: the decision; 2 and above: a blind review that never saw it."""
    sample_id: UUID | None = None
    """The sample that asked for this look: a pass audit."""
    verdict_outcome: Outcome
    image_sha256: str = ""
    model_id: str | None = None
    recipe_version: int | None = None
    inspected_at: datetime
    """Trigger of the frame, by the broker's clock less gateway_ms."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "outcome_id": self.outcome_id,
            "verdict_id": self.verdict_id,
            "frame_id": self.frame_id,
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "camera": self.camera,
            "sku": self.sku,
            "part_id": self.part_id,
            "pass_no": self.pass_no,
            "rework_station": self.rework_station,
            "operator": self.operator,
            "finding": self.finding,
            "predicted_label": self.predicted_label,
            "corrected_label": self.corrected_label,
            "disposition": self.disposition,
            "comment": self.comment,
            "decided_at": self.decided_at,
            "supersedes": self.supersedes,
            "review": self.review,
            "sample_id": self.sample_id,
            "verdict_outcome": self.verdict_outcome,
            "image_sha256": self.image_sha256,
            "model_id": self.model_id,
            "recipe_version": self.recipe_version,
            "inspected_at": self.inspected_at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> ReworkOutcome:
        """The record from what fastavro read."""
        return cls(
            outcome_id=value["outcome_id"],
            verdict_id=value["verdict_id"],
            frame_id=value["frame_id"],
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            camera=value["camera"],
            sku=value["sku"],
            part_id=value["part_id"],
            pass_no=value["pass_no"],
            rework_station=value["rework_station"],
            operator=value["operator"],
            finding=ReworkFinding(value["finding"]),
            predicted_label=value["predicted_label"],
            corrected_label=value["corrected_label"],
            disposition=Disposition(value["disposition"]),
            comment=value["comment"],
            decided_at=value["decided_at"],
            supersedes=value["supersedes"],
            review=value["review"],
            sample_id=value["sample_id"],
            verdict_outcome=Outcome(value["verdict_outcome"]),
            image_sha256=value["image_sha256"],
            model_id=value["model_id"],
            recipe_version=value["recipe_version"],
            inspected_at=value["inspected_at"],
        )


class Strategy(StrEnum):
    """Why a frame was chosen as a sample."""

    UNKNOWN = "UNKNOWN"
    UNCERTAIN = "UNCERTAIN"
    DISAGREEMENT = "DISAGREEMENT"
    RARE = "RARE"
    PASS_AUDIT = "PASS_AUDIT"
    DRIFTED = "DRIFTED"
    CORRECTED = "CORRECTED"
    NOVEL = "NOVEL"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSelected:
    """A frame chosen for labelling, with its picture kept."""

    sample_id: UUID
    """uuid5 of the verdict and strategy."""
    verdict_id: UUID
    frame_id: UUID
    plant: str
    line: str
    station: str
    camera: str
    sku: str
    part_id: str | None = None
    pass_no: int = 1
    image_ref: str
    """URI of the picture in the frame store, pinned before this event is published."""
    image_sha256: str
    near_hash: str | None = None
    """Perceptual hash, 16 hex digits."""
    encoding: Encoding = Encoding.UNKNOWN
    width: int = 0
    height: int = 0
    strategy: Strategy
    why: str
    predicted_label: str | None = None
    score: float | None = None
    verdict_outcome: Outcome
    human_label: str | None = None
    inclusion_probability: float
    """Probability that this frame was chosen; known for PASS_AUDIT, else 0."""
    model_id: str | None = None
    recipe_version: int | None = None
    seed: int
    inspected_at: datetime
    """Trigger of the frame, by the broker's clock less gateway_ms."""
    selected_at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "sample_id": self.sample_id,
            "verdict_id": self.verdict_id,
            "frame_id": self.frame_id,
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "camera": self.camera,
            "sku": self.sku,
            "part_id": self.part_id,
            "pass_no": self.pass_no,
            "image_ref": self.image_ref,
            "image_sha256": self.image_sha256,
            "near_hash": self.near_hash,
            "encoding": self.encoding,
            "width": self.width,
            "height": self.height,
            "strategy": self.strategy,
            "why": self.why,
            "predicted_label": self.predicted_label,
            "score": self.score,
            "verdict_outcome": self.verdict_outcome,
            "human_label": self.human_label,
            "inclusion_probability": self.inclusion_probability,
            "model_id": self.model_id,
            "recipe_version": self.recipe_version,
            "seed": self.seed,
            "inspected_at": self.inspected_at,
            "selected_at": self.selected_at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> SampleSelected:
        """The record from what fastavro read."""
        return cls(
            sample_id=value["sample_id"],
            verdict_id=value["verdict_id"],
            frame_id=value["frame_id"],
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            camera=value["camera"],
            sku=value["sku"],
            part_id=value["part_id"],
            pass_no=value["pass_no"],
            image_ref=value["image_ref"],
            image_sha256=value["image_sha256"],
            near_hash=value["near_hash"],
            encoding=Encoding(value["encoding"]),
            width=value["width"],
            height=value["height"],
            strategy=Strategy(value["strategy"]),
            why=value["why"],
            predicted_label=value["predicted_label"],
            score=value["score"],
            verdict_outcome=Outcome(value["verdict_outcome"]),
            human_label=value["human_label"],
            inclusion_probability=value["inclusion_probability"],
            model_id=value["model_id"],
            recipe_version=value["recipe_version"],
            seed=value["seed"],
            inspected_at=value["inspected_at"],
            selected_at=value["selected_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share with its 95 % interval; all null where nothing is known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Looks of people behind it."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> Estimate:
        """The record from what fastavro read."""
        return cls(value=value["value"], low=value["low"], high=value["high"], n=value["n"])


@dataclass(frozen=True, slots=True, kw_only=True)
class LineWindow:
    """What one station did in one window of event time. The highest revision of a window counts."""

    plant: str
    line: str
    station: str
    window_start: datetime
    width_ms: int
    revision: int
    final: bool
    """The watermark has passed: no more frames of this window are expected."""
    partition: int
    through_offset: int
    """Last offset of `verdicts` counted in."""
    through_part_offset: int = -1
    """Last offset of `parts` counted in; -1 for none."""
    frames: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Frames by outcome."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Frames by reason, SCORE left out."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """NG frames by the label of their surest finding."""
    deadline_missed: int = 0
    late_frames: int = 0
    """Frames counted here because their own window was final already."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Parts of pass 1 by outcome."""
    reworked: Mapping[str, int] = field(default_factory=dict)
    """Parts of later passes by outcome."""
    late_parts: int = 0
    missing_triggers: int = 0
    repeated_triggers: int = 0
    models: Mapping[str, int] = field(default_factory=dict)
    """Frames by model_id."""
    recipes: Mapping[str, int] = field(default_factory=dict)
    """Frames by `sku@version`."""
    latency_counts: tuple[int, ...] = ()
    """Frames by latency from trigger to verdict, in the buckets of streams/downstream/statistics."""
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    deadline_ms: int | None = None
    """The tightest deadline seen in the window."""
    escape: Estimate | None = None
    """Bad parts passed, from pass audits of the trailing horizon."""
    overkill: Estimate | None = None
    """Good parts rejected, from outcomes of the trailing horizon."""
    at: datetime
    """When this revision was made."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "window_start": self.window_start,
            "width_ms": self.width_ms,
            "revision": self.revision,
            "final": self.final,
            "partition": self.partition,
            "through_offset": self.through_offset,
            "through_part_offset": self.through_part_offset,
            "frames": self.frames,
            "outcomes": dict(self.outcomes),
            "reasons": dict(self.reasons),
            "labels": dict(self.labels),
            "deadline_missed": self.deadline_missed,
            "late_frames": self.late_frames,
            "parts": dict(self.parts),
            "reworked": dict(self.reworked),
            "late_parts": self.late_parts,
            "missing_triggers": self.missing_triggers,
            "repeated_triggers": self.repeated_triggers,
            "models": dict(self.models),
            "recipes": dict(self.recipes),
            "latency_counts": self.latency_counts,
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "latency_p99_ms": self.latency_p99_ms,
            "deadline_ms": self.deadline_ms,
            "escape": None if self.escape is None else self.escape.to_avro(),
            "overkill": None if self.overkill is None else self.overkill.to_avro(),
            "at": self.at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> LineWindow:
        """The record from what fastavro read."""
        return cls(
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            window_start=value["window_start"],
            width_ms=value["width_ms"],
            revision=value["revision"],
            final=value["final"],
            partition=value["partition"],
            through_offset=value["through_offset"],
            through_part_offset=value["through_part_offset"],
            frames=value["frames"],
            outcomes=value["outcomes"],
            reasons=value["reasons"],
            labels=value["labels"],
            deadline_missed=value["deadline_missed"],
            late_frames=value["late_frames"],
            parts=value["parts"],
            reworked=value["reworked"],
            late_parts=value["late_parts"],
            missing_triggers=value["missing_triggers"],
            repeated_triggers=value["repeated_triggers"],
            models=value["models"],
            recipes=value["recipes"],
            latency_counts=tuple(value["latency_counts"]),
            latency_p50_ms=value["latency_p50_ms"],
            latency_p95_ms=value["latency_p95_ms"],
            latency_p99_ms=value["latency_p99_ms"],
            deadline_ms=value["deadline_ms"],
            escape=None if value["escape"] is None else Estimate.from_avro(value["escape"]),
            overkill=None if value["overkill"] is None else Estimate.from_avro(value["overkill"]),
            at=value["at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StationClaim:
    """A rework station takes a case, so that nobody else decides it unknowingly. Of overlapping claims the one with the earliest offset wins."""

    claim_id: UUID
    verdict_id: UUID
    plant: str
    line: str
    station: str
    part_id: str | None = None
    rework_station: str
    operator: str
    review: int = 1
    ttl_ms: int
    """How long the claim holds from its append time."""
    released: bool = False
    """The holder gives the claim of this claim_id back."""
    at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "claim_id": self.claim_id,
            "verdict_id": self.verdict_id,
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "part_id": self.part_id,
            "rework_station": self.rework_station,
            "operator": self.operator,
            "review": self.review,
            "ttl_ms": self.ttl_ms,
            "released": self.released,
            "at": self.at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> StationClaim:
        """The record from what fastavro read."""
        return cls(
            claim_id=value["claim_id"],
            verdict_id=value["verdict_id"],
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            part_id=value["part_id"],
            rework_station=value["rework_station"],
            operator=value["operator"],
            review=value["review"],
            ttl_ms=value["ttl_ms"],
            released=value["released"],
            at=value["at"],
        )


class AlarmKind(StrEnum):
    """What an alarm is about."""

    UNKNOWN = "UNKNOWN"
    MISSING_TRIGGER = "MISSING_TRIGGER"
    REPEATED_TRIGGER = "REPEATED_TRIGGER"
    TRIGGER_RESET = "TRIGGER_RESET"
    NOT_INSPECTED = "NOT_INSPECTED"
    CLOCK_SKEW = "CLOCK_SKEW"
    RUN_RULE = "RUN_RULE"
    CERTIFICATE_EXPIRES = "CERTIFICATE_EXPIRES"
    SECRET_OLD = "SECRET_OLD"
    MODEL_FAILED = "MODEL_FAILED"
    PICTURE_DRIFT = "PICTURE_DRIFT"
    SCORE_DRIFT = "SCORE_DRIFT"
    CAMERA_STUCK = "CAMERA_STUCK"
    NO_REJECTS = "NO_REJECTS"
    ROLLED_BACK = "ROLLED_BACK"


class Severity(StrEnum):
    """How soon somebody must act."""

    UNKNOWN = "UNKNOWN"
    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRange:
    """Trigger numbers from first to last, both included."""

    first: int
    last: int

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"first": self.first, "last": self.last}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> SequenceRange:
        """The record from what fastavro read."""
        return cls(first=value["first"], last=value["last"])


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised:
    """A condition that somebody should know of. The newest record of an alarm_id is its state."""

    alarm_id: UUID
    kind: AlarmKind
    severity: Severity
    subject: str
    """`plant/line/station` or `plant/line/station/camera`; of certificates and secrets what it is."""
    value: float
    """How much: missing triggers, parts not inspected, milliseconds of skew, days left or days old."""
    limit: float | None = None
    since: datetime
    at: datetime
    """When this state was found."""
    cleared: datetime | None = None
    """When the condition ended; null while it lasts."""
    detail: str = ""
    ranges: tuple[SequenceRange, ...] = ()
    """The trigger numbers that an alarm about triggers is about."""
    evidence: tuple[str, ...] = ()
    """URIs of pictures in the frame store that show it."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "alarm_id": self.alarm_id,
            "kind": self.kind,
            "severity": self.severity,
            "subject": self.subject,
            "value": self.value,
            "limit": self.limit,
            "since": self.since,
            "at": self.at,
            "cleared": self.cleared,
            "detail": self.detail,
            "ranges": [item.to_avro() for item in self.ranges],
            "evidence": self.evidence,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> AlarmRaised:
        """The record from what fastavro read."""
        return cls(
            alarm_id=value["alarm_id"],
            kind=AlarmKind(value["kind"]),
            severity=Severity(value["severity"]),
            subject=value["subject"],
            value=value["value"],
            limit=value["limit"],
            since=value["since"],
            at=value["at"],
            cleared=value["cleared"],
            detail=value["detail"],
            ranges=tuple(SequenceRange.from_avro(item) for item in value["ranges"]),
            evidence=tuple(value["evidence"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change of state, written before it happens. The entries of a chain are tied by their hashes."""

    chain_id: str
    """One chain a writer and start."""
    chain_seq: int
    """From 0, +1 each."""
    actor: str
    action: str
    """Such as `outcome.decide` or `user.sign-in`."""
    subject: str
    before: str | None = None
    """JSON."""
    after: str | None = None
    """JSON."""
    reason: str = ""
    at: datetime
    previous_sha256: str
    """sha256 of the entry before; 64 zeros at first."""
    sha256: str
    """Over all other fields, as canonical JSON."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "chain_id": self.chain_id,
            "chain_seq": self.chain_seq,
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
            "at": self.at,
            "previous_sha256": self.previous_sha256,
            "sha256": self.sha256,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> AuditEntry:
        """The record from what fastavro read."""
        return cls(
            chain_id=value["chain_id"],
            chain_seq=value["chain_seq"],
            actor=value["actor"],
            action=value["action"],
            subject=value["subject"],
            before=value["before"],
            after=value["after"],
            reason=value["reason"],
            at=value["at"],
            previous_sha256=value["previous_sha256"],
            sha256=value["sha256"],
        )


class GateKind(StrEnum):
    """What a signal about gateways says. PAUSE and GO_ON ask; PAUSED and WENT_ON answer."""

    UNKNOWN = "UNKNOWN"
    PAUSE = "PAUSE"
    GO_ON = "GO_ON"
    PAUSED = "PAUSED"
    WENT_ON = "WENT_ON"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSignal:
    """Gateways are asked to send no frame for a while, or to go on, or one of them answers. The newest PAUSE counts."""

    pause_id: UUID
    kind: GateKind
    sender: str
    """Who asks, or the gateway that answers."""
    lease_ms: int = 0
    """PAUSE: gateways go on by themselves so long after it was appended; the same pause_id again prolongs it."""
    partitions: int | None = None
    """GO_ON: how many partitions frames has; a gateway sends nothing before it sees so many. WENT_ON: how many it sees."""
    detail: str = ""
    at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "pause_id": self.pause_id,
            "kind": self.kind,
            "sender": self.sender,
            "lease_ms": self.lease_ms,
            "partitions": self.partitions,
            "detail": self.detail,
            "at": self.at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> GateSignal:
        """The record from what fastavro read."""
        return cls(
            pause_id=value["pause_id"],
            kind=GateKind(value["kind"]),
            sender=value["sender"],
            lease_ms=value["lease_ms"],
            partitions=value["partitions"],
            detail=value["detail"],
            at=value["at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReleased:
    """A model may be named by recipes from now on, or, retired, no more. The newest record of a model_id counts; its sha256 never changes."""

    model_id: str
    uri: str
    """Where it lies in the configured store of models: models/<sha256>."""
    sha256: str
    """Of the model's model.json, which holds the hashes of its other files."""
    arch: str
    classes: tuple[str, ...]
    """In the order of the head."""
    skus: tuple[str, ...] = ()
    """Products that it was qualified for; empty: not said."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures of the evidence that are defined, such as escape and overkill."""
    evidence: str | None = None
    """JSON: the whole evaluation that the release rests on, and what it fell short of; null where there was none."""
    released_by: str
    approved_by: tuple[str, ...] = ()
    reason: str = ""
    """Why, above all where the evidence falls short."""
    released_at: datetime
    retired: bool = False

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "model_id": self.model_id,
            "uri": self.uri,
            "sha256": self.sha256,
            "arch": self.arch,
            "classes": self.classes,
            "skus": self.skus,
            "metrics": dict(self.metrics),
            "evidence": self.evidence,
            "released_by": self.released_by,
            "approved_by": self.approved_by,
            "reason": self.reason,
            "released_at": self.released_at,
            "retired": self.retired,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> ModelReleased:
        """The record from what fastavro read."""
        return cls(
            model_id=value["model_id"],
            uri=value["uri"],
            sha256=value["sha256"],
            arch=value["arch"],
            classes=tuple(value["classes"]),
            skus=tuple(value["skus"]),
            metrics=value["metrics"],
            evidence=value["evidence"],
            released_by=value["released_by"],
            approved_by=tuple(value["approved_by"]),
            reason=value["reason"],
            released_at=value["released_at"],
            retired=value["retired"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a picture a defect lies."""

    label: str
    score: float
    """How sure the second stage is, 0 to 1; no probability that the part is bad."""
    box: Box
    outline: tuple[float, ...] = ()
    """x and y in turn of a closed polygon, in pixels of the upright picture; empty where only the box is known."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"label": self.label, "score": self.score, "box": self.box.to_avro(), "outline": self.outline}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> Place:
        """The record from what fastavro read."""
        return cls(
            label=value["label"], score=value["score"], box=Box.from_avro(value["box"]), outline=tuple(value["outline"])
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectLocated:
    """Where the defects of a rejected frame lie, by a second stage that decides nothing. The first record of a location_id counts."""

    location_id: UUID
    """uuid5 of verdict_id and model_sha256."""
    verdict_id: UUID
    frame_id: UUID
    plant: str
    line: str
    station: str
    camera: str
    sku: str
    part_id: str | None = None
    image_sha256: str
    places: tuple[Place, ...]
    """The surest first; empty where nothing was found, or where reason says why nobody looked."""
    reason: Reason
    """SCORE where it looked; LATE, IMAGE_UNAVAILABLE, ENGINE_FAILED and others where it did not."""
    detail: str = ""
    model_id: str
    model_sha256: str
    locate_ms: float
    located_at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "location_id": self.location_id,
            "verdict_id": self.verdict_id,
            "frame_id": self.frame_id,
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "camera": self.camera,
            "sku": self.sku,
            "part_id": self.part_id,
            "image_sha256": self.image_sha256,
            "places": [item.to_avro() for item in self.places],
            "reason": self.reason,
            "detail": self.detail,
            "model_id": self.model_id,
            "model_sha256": self.model_sha256,
            "locate_ms": self.locate_ms,
            "located_at": self.located_at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> DefectLocated:
        """The record from what fastavro read."""
        return cls(
            location_id=value["location_id"],
            verdict_id=value["verdict_id"],
            frame_id=value["frame_id"],
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            camera=value["camera"],
            sku=value["sku"],
            part_id=value["part_id"],
            image_sha256=value["image_sha256"],
            places=tuple(Place.from_avro(item) for item in value["places"]),
            reason=Reason(value["reason"]),
            detail=value["detail"],
            model_id=value["model_id"],
            model_sha256=value["model_sha256"],
            locate_ms=value["locate_ms"],
            located_at=value["located_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowCompared:
    """Two verdicts about one frame: the live one, and what a shadow model would have said; it acted on nothing. The first record of a shadow verdict_id counts."""

    live: VerdictIssued
    shadow: VerdictIssued
    """Its run is `shadow:<model>`; simulated."""
    compared_at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"live": self.live.to_avro(), "shadow": self.shadow.to_avro(), "compared_at": self.compared_at}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> ShadowCompared:
        """The record from what fastavro read."""
        return cls(
            live=VerdictIssued.from_avro(value["live"]),
            shadow=VerdictIssued.from_avro(value["shadow"]),
            compared_at=value["compared_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureReference:
    """How one figure is distributed when all is well."""

    name: str
    quantiles: tuple[float, ...]
    """At evenly spaced shares, from the least to the most."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {"name": self.name, "quantiles": self.quantiles}

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> FigureReference:
        """The record from what fastavro read."""
        return cls(name=value["name"], quantiles=tuple(value["quantiles"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReference:
    """How a camera's pictures are when all is well: what its drift is measured against. The newest record of a camera and SKU counts."""

    plant: str
    line: str
    station: str
    camera: str
    sku: str
    frames: int
    """How many frames it was learned from."""
    figures: tuple[FigureReference, ...]
    """What is measured of its pictures, each once."""
    first_at: datetime
    """Append time of the first of them."""
    last_at: datetime
    """Append time of the last of them."""
    taught_by: str
    """Who had it learned; `drift` where the service did at a camera's first frames."""
    reason: str = ""
    taught_at: datetime

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "camera": self.camera,
            "sku": self.sku,
            "frames": self.frames,
            "figures": [item.to_avro() for item in self.figures],
            "first_at": self.first_at,
            "last_at": self.last_at,
            "taught_by": self.taught_by,
            "reason": self.reason,
            "taught_at": self.taught_at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> CameraReference:
        """The record from what fastavro read."""
        return cls(
            plant=value["plant"],
            line=value["line"],
            station=value["station"],
            camera=value["camera"],
            sku=value["sku"],
            frames=value["frames"],
            figures=tuple(FigureReference.from_avro(item) for item in value["figures"]),
            first_at=value["first_at"],
            last_at=value["last_at"],
            taught_by=value["taught_by"],
            reason=value["reason"],
            taught_at=value["taught_at"],
        )


class ProposalState(StrEnum):
    """Where a proposed model stands."""

    UNKNOWN = "UNKNOWN"
    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProposed:
    """A retrained model beside the one in force, for people to approve. The newest record of a proposal_id is its state."""

    proposal_id: UUID
    plant: str
    line: str
    sku: str
    state: ProposalState
    model_id: str
    """The proposed model."""
    sha256: str
    """Of its model.json."""
    base_model_id: str
    """The model in force that it was trained from and compared with."""
    dataset: str
    """Name and version of the dataset."""
    dataset_sha256: str
    """Of its manifest."""
    metrics: Mapping[str, float]
    """Figures of the comparison that are defined, such as escape and base_escape."""
    report_ref: str = ""
    """Where its report lies."""
    proposed_by: str
    decided_by: str | None = None
    reason: str = ""
    """Why it was proposed, approved or rejected."""
    at: datetime
    """When this state was reached."""

    def to_avro(self) -> dict[str, Any]:
        """The record as fastavro writes it."""
        return {
            "proposal_id": self.proposal_id,
            "plant": self.plant,
            "line": self.line,
            "sku": self.sku,
            "state": self.state,
            "model_id": self.model_id,
            "sha256": self.sha256,
            "base_model_id": self.base_model_id,
            "dataset": self.dataset,
            "dataset_sha256": self.dataset_sha256,
            "metrics": dict(self.metrics),
            "report_ref": self.report_ref,
            "proposed_by": self.proposed_by,
            "decided_by": self.decided_by,
            "reason": self.reason,
            "at": self.at,
        }

    @classmethod
    def from_avro(cls, value: Mapping[str, Any]) -> ModelProposed:
        """The record from what fastavro read."""
        return cls(
            proposal_id=value["proposal_id"],
            plant=value["plant"],
            line=value["line"],
            sku=value["sku"],
            state=ProposalState(value["state"]),
            model_id=value["model_id"],
            sha256=value["sha256"],
            base_model_id=value["base_model_id"],
            dataset=value["dataset"],
            dataset_sha256=value["dataset_sha256"],
            metrics=value["metrics"],
            report_ref=value["report_ref"],
            proposed_by=value["proposed_by"],
            decided_by=value["decided_by"],
            reason=value["reason"],
            at=value["at"],
        )


Event = (
    FrameCaptured
    | VerdictIssued
    | DefectDetected
    | DeadLetter
    | Recipe
    | PartDecided
    | ReworkOutcome
    | SampleSelected
    | LineWindow
    | StationClaim
    | AlarmRaised
    | AuditEntry
    | GateSignal
    | ModelReleased
    | DefectLocated
    | ShadowCompared
    | CameraReference
    | ModelProposed
)
