"""Every series that the services count."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from scripts.reference.markdown import head, plain, table
from services.common import waiting
from services.encoder import metrics as encoder
from services.llm import metrics as llm

# Where they are made, by whose metrics port has them.
_MADE: tuple[tuple[str, ModuleType], ...] = (
    ("The encoder's", encoder),
    ("The LLM service's", llm),
    ("Of both services", waiting),
)
_UNITS = {
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_ratio": "0 to 1",
    "_usage": "0 to 1",
    "_flops_saved": "operations",
}
_WORDS = """\
Prometheus reads them at `/metrics` of `HEROSERVE_METRICS_PORT` (encoder 9100, LLM service 9101), one page a
service and node, however many processes count. Names and labels are a contract: they are added to, and not
changed. A counter's series ends in `_total`; a histogram `X` has `X_bucket`, `X_sum` and `X_count`. Rules
record more of them (`deploy/prometheus/rules`), and what is made of them is in [operations](../operations.md).

With `HEROSERVE_ENGINE=vllm` the engine's own (`vllm:...`) are on the LLM service's page too. Ray's are on
`HEROSERVE_RAY_METRICS_PORT`."""


def page() -> str:
    text = head("Metrics", "services/{encoder,llm}/metrics.py", _WORDS)
    for title, module in _MADE:
        rows = (_row(metric) for metric in metrics(module))
        text += f"\n## {title}\n" + table(("series", "kind", "labels", "unit", "what it counts"), rows)
    return text


def metrics(module: ModuleType) -> Iterator[MetricWrapperBase]:
    """Those that a module makes, in its order."""
    return (value for value in vars(module).values() if isinstance(value, MetricWrapperBase))


def _row(metric: MetricWrapperBase) -> tuple[str, ...]:
    (told,) = metric.describe()
    labels = ", ".join(f"`{name}`" for name in metric._labelnames)
    unit = next((word for end, word in _UNITS.items() if told.name.endswith(end) or f"{end}_" in told.name), "")
    name = f"{told.name}_total" if told.type == "counter" else told.name
    return f"`{name}`", told.type, labels, unit, plain(told.documentation)
