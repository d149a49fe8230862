"""The gateway's Prometheus metrics: every name, once. Read when somebody asks, from the gateway's own counts."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.capture.gateway import Gateway


class GatewayMetrics(Collector):
    """Register it with a registry."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def describe(self) -> Iterator[Metric]:
        """Known without a running gateway."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        counts, spool = self._gateway.counts, self._gateway.spool
        oldest_ms = spool.oldest_at_ms() if spool else None
        age_s = 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)
        for name, text, value in (
            ("lineside_spool_frames", "Frames in the spool.", spool.frames if spool else 0),
            ("lineside_spool_bytes", "Bytes of the spool on disk.", spool.size_bytes if spool else 0),
            ("lineside_spool_oldest_seconds", "Age of the oldest frame in the spool, 0 without one.", age_s),
        ):
            yield GaugeMetricFamily(name, text, value)
        for name, text, value in (
            ("lineside_spool_refused", "Frames that a full spool refused, or that can't be sent.", counts.refused),
            ("lineside_spool_damaged", "Damaged places in the spool, skipped.", spool.damaged if spool else 0),
            ("lineside_gateway_spooled", "Frames that the spool took over.", counts.spooled),
            ("lineside_gateway_captured", "Triggers that got a number.", counts.captured),
            ("lineside_gateway_confirmed", "Frames that the broker confirmed.", counts.confirmed),
        ):
            yield CounterMetricFamily(name, text, value)
