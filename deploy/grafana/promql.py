"""PromQL that several dashboards share."""

from __future__ import annotations

from deploy.grafana.panel import Query

# One installation at a time: its variables have one value each, an empty one where a Prometheus knows no such label.
INSTALLATION = 'cluster="$cluster", namespace="$namespace"'
HERE = f'{INSTALLATION}, instance=~"$instance"'
NOW = "$__rate_interval"
SHOWN = "$__range"
# What the service, not its caller, is to blame for; as in deploy/prometheus/rules/recording.yaml.
ERRORS = "INTERNAL|FAILED_PRECONDITION|UNAVAILABLE|UNKNOWN|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|DATA_LOSS|UNIMPLEMENTED"


def rate(metric: str, labels: str = "", by: str = "", window: str = NOW) -> str:
    """Per second, summed over the instances chosen."""
    return f"sum{_by(by)}(rate({_series(metric, labels)}[{window}]))"


def rate_of_both(one: tuple[str, str], other: tuple[str, str], window: str = NOW) -> str:
    """As ``rate``, of two metrics with their labels, of which either may not be there."""
    return f"sum({' or '.join(f'rate({_series(*series)}[{window}])' for series in (one, other))})"


def increase(metric: str, labels: str = "", by: str = "") -> str:
    """Over the whole time shown."""
    return f"sum{_by(by)}(increase({_series(metric, labels)}[{SHOWN}]))"


def occurring(metric: str, by: str, labels: str = "") -> str:
    """As ``rate``, of those kinds that there were any of in the time shown: most never are, and would fill legends."""
    total = f"sum by ({by}) (increase({_series(metric, labels)}[{SHOWN}] @ end()))"
    return f"{rate(metric, labels, by)} and on ({by}) ({total} > 0)"


def share(part: str, whole: str) -> str:
    """``part / whole``: 0 where there is no such part yet, nothing where there is no whole."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(q: float, histogram: str, labels: str = "", by: str = "", window: str = NOW) -> str:
    buckets = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', labels, buckets, window)})"


def percentiles(
    histogram: str, labels: str = "", qs: tuple[float, ...] = (0.5, 0.95, 0.99), of: str = "", window: str = NOW
) -> tuple[Query, ...]:
    """Args:
    of: what the legend says before each.
    """
    return tuple(Query(quantile(q, histogram, labels, window=window), f"{of} p{q * 100:g}".lstrip()) for q in qs)


def milliseconds(queries: tuple[Query, ...]) -> tuple[Query, ...]:
    """Ray counts milliseconds; seconds are drawn everywhere."""
    return tuple(Query(f"{query.expr} / 1000", query.legend) for query in queries)


def _series(metric: str, labels: str) -> str:
    return f"{metric}{{{', '.join(part for part in (labels, HERE) if part)}}}"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
