"""Every topic, once: name, record, key, partitions, retention and sizes. Pure; `bus/admin.py` puts it into Kafka."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from schemas import records
from streams.errors import CallerError
from streams.settings import POOL, Settings

DAY_MS = 86_400_000
MIB = 1 << 20
FRAME_MAX_BYTES = 8 * MIB
KEY_PART = re.compile(r"[A-Za-z0-9._-]{1,64}")
FOREVER = -1
INSPECTION = "inspection"  # the group of workers, behind the prefix


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table. `name` is without prefix; by_station topics share one partition count."""

    name: str
    record: type[records.Event]
    retention_ms: int
    by_station: bool = True
    max_message_bytes: int = MIB
    retention_bytes: int = FOREVER  # a partition


FRAMES = Topic("frames", records.FrameCaptured, 7 * DAY_MS, max_message_bytes=FRAME_MAX_BYTES)
VERDICTS = Topic("verdicts", records.VerdictIssued, 365 * DAY_MS)
DEFECTS = Topic("defects", records.DefectDetected, 365 * DAY_MS)
DEADLETTERS = Topic("deadletters", records.DeadLetter, 365 * DAY_MS, max_message_bytes=FRAME_MAX_BYTES + MIB)
RECIPES = Topic("recipes", records.Recipe, FOREVER, by_station=False)
PARTS = Topic("parts", records.PartDecided, 365 * DAY_MS)
OUTCOMES = Topic("outcomes", records.ReworkOutcome, FOREVER)
SAMPLES = Topic("samples", records.SampleSelected, FOREVER)
LINE_STATS = Topic("line-stats", records.LineWindow, 365 * DAY_MS)
CLAIMS = Topic("claims", records.StationClaim, 7 * DAY_MS)
ALARMS = Topic("alarms", records.AlarmRaised, 365 * DAY_MS, by_station=False)
AUDIT = Topic("audit", records.AuditEntry, FOREVER, by_station=False)
GATES = Topic("gates", records.GateSignal, FOREVER, by_station=False)
LOCATIONS = Topic("locations", records.DefectLocated, 365 * DAY_MS)
MODELS = Topic("models", records.ModelReleased, FOREVER, by_station=False)
SHADOW = Topic("shadow", records.ShadowCompared, 30 * DAY_MS)
CAMERA_REFERENCES = Topic("camera-references", records.CameraReference, FOREVER, by_station=False)
PROPOSALS = Topic("proposals", records.ModelProposed, FOREVER, by_station=False)
TOPICS: Mapping[str, Topic] = {
    topic.name: topic
    for topic in (
        FRAMES,
        VERDICTS,
        DEFECTS,
        LOCATIONS,
        PARTS,
        OUTCOMES,
        SAMPLES,
        LINE_STATS,
        RECIPES,
        CLAIMS,
        ALARMS,
        DEADLETTERS,
        AUDIT,
        GATES,
        MODELS,
        SHADOW,
        CAMERA_REFERENCES,
        PROPOSALS,
    )
}


def frames_of(pool: str) -> Topic:
    """The frames of a pool's lines; of those in no pool where it has no name."""
    return replace(FRAMES, name=f"{FRAMES.name}.{pool}") if pool else FRAMES


def own(topic: Topic, settings: Settings) -> Topic:
    """A topic as a program of a pool means it: its own frames; all else is common."""
    return frames_of(settings.pool) if topic is FRAMES else topic


def frames_topic(settings: Settings) -> str:
    """The full name of the frames that this program writes or reads."""
    return settings.topic_prefix + frames_of(settings.pool).name


def frames_topics(settings: Settings) -> tuple[str, ...]:
    """The full names of all pools' frames."""
    return tuple(settings.topic_prefix + frames_of(pool).name for pool in settings.pool_names)


def inspection_group(pool: str) -> str:
    """The consumer group of a pool's workers, without prefix."""
    return f"{INSPECTION}.{pool}" if pool else INSPECTION


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as Kafka shall have it; `name` carries the prefix."""

    name: str
    partitions: int
    by_station: bool  # one of those that share one partition count
    replication: int
    min_insync_replicas: int
    retention_ms: int
    retention_bytes: int
    max_message_bytes: int

    def config(self) -> dict[str, str]:
        """Kafka's topic configuration. Retention and deadlines use the broker's clock: LogAppendTime."""
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(self.min_insync_replicas),
            "retention.bytes": str(self.retention_bytes),
            "retention.ms": str(self.retention_ms),
        }


def topic_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """The whole table under these settings."""
    return tuple(
        TopicSpec(
            name=settings.topic_prefix + topic.name,
            partitions=settings.partitions if topic.by_station else 1,
            by_station=topic.by_station,
            replication=settings.replication,
            min_insync_replicas=settings.min_insync_replicas,
            retention_ms=topic.retention_ms,
            retention_bytes=topic.retention_bytes,
            max_message_bytes=topic.max_message_bytes,
        )
        for topic in (*TOPICS.values(), *map(frames_of, settings.pool_names[1:]))
    )


def topic_named(name: str, prefix: str) -> Topic:
    """The row for a topic's name, with or without prefix; CallerError where there is none."""
    short = name.removeprefix(prefix)
    stem, _, pool = short.partition(".")
    if stem == FRAMES.name and POOL.fullmatch(pool):
        return frames_of(pool)
    if short not in TOPICS:
        raise CallerError(f"there is no topic {name!r}; topics are {', '.join(TOPICS)}")
    return TOPICS[short]


def station_key(plant: str, line: str, station: str) -> bytes:
    """The key of everything that belongs to a station, `plant/line/station`; ValueError for a part that is no name."""
    for part in (plant, line, station):
        if not KEY_PART.fullmatch(part):
            raise ValueError(f"{part!r} can't be part of a key: letters, digits, `.`, `_` and `-`, 1 to 64 of them")
    return f"{plant}/{line}/{station}".encode()
