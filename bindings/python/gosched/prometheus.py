"""The scheduler's figures for Python's prometheus_client::

    import gosched.prometheus

    gosched.prometheus.register()

adds them to the default registry.  prometheus_client is imported here and nowhere else; without
it, gosched.metrics_text() gives the same figures as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import cast

from prometheus_client.core import (
    REGISTRY,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

import gosched


class GoschedCollector:
    """A collector of prometheus_client: reads the figures whenever its registry asks."""

    def collect(self) -> Iterator[Metric]:
        stats = gosched.stats()
        times = gosched.histograms()
        for metric in gosched.metrics():
            name, text = f"gosched_{metric.name}", f"{metric.text}."
            if metric.kind == "counter":
                yield CounterMetricFamily(name, text, value=stats[metric.name])
            elif metric.kind == "gauge":
                if metric.unit == "bytes":
                    name += "_bytes"
                yield GaugeMetricFamily(name, text, value=stats[metric.name])
            else:
                yield _histogram(name, text, times[metric.name])


def _histogram(name: str, text: str, h: gosched.Histogram) -> Metric:
    bounds = [*(f"{bound:.9f}" for bound in h.bounds()[:-1]), "+Inf"]
    buckets = list(zip(bounds, map(float, accumulate(h.buckets)), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=h.sum)


def register(registry: CollectorRegistry = REGISTRY) -> GoschedCollector:
    """Adds a collector to a registry, the default one unless another is given; returns it."""
    collector = GoschedCollector()
    registry.register(cast(Collector, collector))
    return collector
