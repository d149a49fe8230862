"""The worker's metrics as Prometheus reads them: dashboards and alerts depend on every name here."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streams.inspection.metrics import InspectionMetrics

NAMES = {
    "lineside_batch_size_frames",
    "lineside_batches",
    "lineside_queue_seconds",
    "lineside_decode_seconds",
    "lineside_infer_seconds",
    "lineside_publish_seconds",
    "lineside_inflight_bytes",
    "lineside_inflight_frames",
    "lineside_verdicts",
    "lineside_deadletters",
    "lineside_redelivered",
    "lineside_lag_offsets",
    "lineside_frames_gone",
    "lineside_offsets_moved",
    "lineside_partitions_held",
}


def test_every_metric_is_there_under_its_name_and_with_a_text() -> None:
    registry = CollectorRegistry()
    InspectionMetrics(registry)
    found = {metric.name: metric.documentation for metric in registry.collect()}
    assert set(found) == NAMES
    assert all(found.values())


def test_a_batch_is_counted_by_size_and_reason_when_it_leaves_and_by_time_when_it_is_done() -> None:
    registry = CollectorRegistry()
    metrics = InspectionMetrics(registry)
    metrics.batch_left(8, "full")
    metrics.batch_left(3, "idle")
    metrics.batch_done(8, 0.25)
    assert registry.get_sample_value("lineside_batches_total", {"why": "full"}) == 1
    assert registry.get_sample_value("lineside_batch_size_frames_sum") == 11
    assert registry.get_sample_value("lineside_batch_size_frames_bucket", {"le": "4.0"}) == 1
    assert registry.get_sample_value("lineside_infer_seconds_sum") == pytest.approx(0.25)


def test_the_exposition_is_readable() -> None:
    registry = CollectorRegistry()
    InspectionMetrics(registry).verdicts.labels("OK").inc()
    assert b'lineside_verdicts_total{outcome="OK"} 1.0' in generate_latest(registry)
