"""The part service's Prometheus metrics: every name, once."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class PartsMetrics:
    """What one part service counts."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.parts = Counter("lineside_parts", "Part decisions published.", ["outcome"], registry=registry)
        self.alarms = Counter("lineside_parts_alarms", "Alarm states published.", ["kind"], registry=registry)
        self.late_views = Counter("lineside_parts_late_views", "Views of parts decided before.", registry=registry)
        self.refused = Counter("lineside_parts_refused", "Values on verdicts that are no verdict.", registry=registry)
        self.open = Gauge("lineside_parts_open", "Parts that wait for views.", ["partition"], registry=registry)
        self.held = Gauge("lineside_parts_held_verdicts", "Unacknowledged verdicts.", ["partition"], registry=registry)
