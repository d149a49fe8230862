"""The inspection worker's Prometheus metrics: every name, once. Seconds and bytes, as the conventions ask."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

TIME_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class InspectionMetrics:
    """Also an engine room's RoomWatcher."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...] = TIME_BUCKETS) -> Histogram:
            return Histogram(f"lineside_{name}", text, buckets=buckets, registry=registry)

        self.batch_size = histogram("batch_size_frames", "Frames in a batch given to the engine.", BATCH_BUCKETS)
        self.batches = Counter("lineside_batches", "Batches by why they left.", ["why"], registry=registry)
        self.queue = histogram("queue_seconds", "Waiting of a frame inside the worker.")
        self.decode = histogram("decode_seconds", "Decoding and preparing one picture.")
        self.infer = histogram("infer_seconds", "One batch on the engine.")
        self.publish = histogram("publish_seconds", "From decision to the broker's confirmation of all outputs.")
        self.inflight_bytes = Gauge("lineside_inflight_bytes", "Encoded pictures held.", registry=registry)
        self.inflight_frames = Gauge("lineside_inflight_frames", "Frames held.", registry=registry)
        self.verdicts = Counter("lineside_verdicts", "Verdicts published.", ["outcome"], registry=registry)
        self.deadletters = Counter("lineside_deadletters", "Dead letters published.", ["reason"], registry=registry)
        self.redelivered = Counter("lineside_redelivered", "Frames that had a verdict already.", registry=registry)
        self.moved = Counter(
            "lineside_offsets_moved", "Frames without a result below a committed offset.", registry=registry
        )
        self.gone = Counter("lineside_frames_gone", "Frames deleted before they were inspected.", registry=registry)
        self.held = Gauge(
            "lineside_partitions_held", "Partitions of frames that wait for their topics of results.", registry=registry
        )
        self.lag = Gauge(
            "lineside_lag_offsets", "End of the log less what is committed.", ["partition"], registry=registry
        )

    def batch_left(self, size: int, why: str) -> None:
        self.batch_size.observe(size)
        self.batches.labels(why).inc()

    def batch_done(self, size: int, seconds: float) -> None:
        self.infer.observe(seconds)
