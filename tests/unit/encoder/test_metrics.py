"""Histograms whose percentiles tell what was: no bound stands where the values are."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.common.metrics import Histogram
from services.encoder import metrics


def median(values: list[float]) -> float:
    """As Prometheus reckons it from buckets: along a straight line through the one that it is in."""
    registry = CollectorRegistry()
    histogram = Histogram("r", "R.", buckets=metrics.RETENTION._upper_bounds, registry=registry)
    for value in values:
        histogram.observe(value)
    below, before = 0.0, 0.0
    for bound in metrics.RETENTION._upper_bounds:
        count = registry.get_sample_value("r_bucket", {"le": str(bound)}) or 0.0
        if count >= len(values) / 2:
            return below + (bound - below) * (len(values) / 2 - before) / (count - before)
        below, before = bound, count
    raise AssertionError


@pytest.mark.parametrize("asked", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("rounded", [1.0, 0.99, 0.98])
def test_a_median_is_what_requests_kept(asked: float, rounded: float) -> None:
    """What is asked for, and the little less that whole tokens make of it: of 448 at 0.2 they are 88, 0.196."""
    assert median([asked * rounded] * 10) == pytest.approx(asked * rounded, abs=0.011)
