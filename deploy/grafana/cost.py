"""Cost: how busy GPUs are, and what of their time is saved, in seconds and in money."""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import DROPPED, HIT, KEPT, NEUTRAL, Panel, Query
from deploy.grafana.promql import HERE, INSTALLATION, NOW, SHOWN, rate

_TOWER = 'stage="tower"'
_STAGE = "heroserve_encoder_stage_seconds"
# DCGM's exporter has a namespace of its own; the pod's it calls so.
_DCGM = f'cluster="$cluster", exported_{INSTALLATION.partition(", ")[2]}'
_PREFILL = "prefill: FLOPs saved / ($gpu_tflops x 10^12 a second)"
_ENCODES = "encodes: hits x seconds of a pass of the tower x passes / images"


def _prefill(window: str) -> str:
    """GPU-seconds a second that prefill did not take."""
    return f"{rate('heroserve_prefill_flops_saved_total', window=window)} / ($gpu_tflops * 1e12)"


def _encodes(window: str) -> str:
    """GPU-seconds a second that the tower did not take. What one image takes is of the time shown: few are missed.

    A request is told the seconds of the whole pass, so that is shared among the images of a pass.
    """
    hits = rate("heroserve_cache_requests_total", 'result="hit"', window=window)
    seconds, images = (rate(f"{_STAGE}_{what}", _TOWER, window=SHOWN) for what in ("sum", "count"))
    passes = rate("heroserve_tower_batch_tiles_count", window=SHOWN)
    return f"{hits} * {seconds} * {passes} / ({images} > 0) ^ 2"


def _per_thousand(saved: str, window: str) -> str:
    return f"1000 * ({saved}) / ({rate('heroserve_answers_total', window=window)} > 0)"


def _all(window: str) -> str:
    return f"(({_prefill(window)}) or vector(0)) + (({_encodes(window)}) or vector(0))"


def _money(window: str) -> str:
    return f"{_per_thousand(_all(window), window)} * $gpu_price / 3600"


_USE = (
    Query(f"ray_node_gpus_utilization{{{HERE}}} / 100", "{{instance}} GPU {{GpuIndex}}"),
    Query(f"DCGM_FI_DEV_GPU_UTIL{{{_DCGM}}} / 100", "{{exported_pod}} GPU {{gpu}}, DCGM"),
)
_MEMORY = f"(ray_node_gram_used{{{HERE}}} + ray_node_gram_available{{{HERE}}})"

DASHBOARD = Dashboard(
    "heroserve-cost",
    "heroserve: GPUs and money",
    "How busy are the GPUs, and what do dropped tokens and cached images save? Type in what a GPU costs an hour, and "
    "how many TFLOP/s it reaches in prefill.",
    "heroserve-.*",
    (
        Panel(
            "GPU time saved, per 1,000 answers",
            f"Over the time shown, {_PREFILL}, and {_ENCODES}. What shorter KV caches save while tokens are generated "
            "is not counted.",
            (Query(_per_thousand(_all(SHOWN), SHOWN)),),
            unit="s",
            kind="stat",
            steps=((None, DROPPED),),
            decimals=1,
            width=6,
        ),
        Panel(
            "Saved, per 1,000 answers",
            "Over the time shown: GPU-seconds saved x $gpu_price an hour / 3600. Worth its name where GPUs that are "
            "not needed are given back.",
            (Query(_money(SHOWN)),),
            unit="currencyUSD",
            kind="stat",
            steps=((None, DROPPED),),
            decimals=3,
            width=6,
        ),
        Panel(
            "GPU use",
            "Mean of the GPUs chosen, now: share of time in which a kernel ran, as Ray's agent reads it of the driver.",
            (Query(f"avg(ray_node_gpus_utilization{{{HERE}}}) / 100"),),
            unit="percentunit",
            kind="stat",
            steps=((None, NEUTRAL),),
            width=6,
        ),
        Panel(
            "GPU memory in use",
            "Share of the memory of the GPUs chosen, now, whoever uses it.",
            (Query(f"sum(ray_node_gram_used{{{HERE}}}) / sum{_MEMORY}"),),
            unit="percentunit",
            kind="stat",
            steps=((None, "green"), (0.9, "yellow")),
            width=6,
        ),
        Panel(
            "GPU time saved, per 1,000 answers",
            f"By what saved them. {_PREFILL}; {_ENCODES}. On processors, encodes are seconds of those.",
            (
                Query(_per_thousand(_prefill(NOW), NOW), "prefill"),
                Query(_per_thousand(_encodes(NOW), NOW), "encodes"),
            ),
            unit="s",
            colors={"prefill": DROPPED, "encodes": KEPT},
            stack=True,
        ),
        Panel(
            "Money saved, per 1,000 answers",
            "(GPU-seconds saved of prefill + of encodes) x $gpu_price an hour / 3600.",
            (Query(_money(NOW), "saved"),),
            unit="currencyUSD",
            colors={"saved": HIT},
            decimals=3,
        ),
        Panel(
            "GPU use, by GPU",
            "Share of time in which a kernel ran, as Ray's agent reads it of the driver; and DCGM's, where its "
            "exporter is scraped and knows pods. A tower that idles at full traffic is what the cache saves.",
            _USE,
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            "GPU memory in use, by GPU",
            "Share of its memory, whoever uses it: weights, KV caches, and what torch keeps for later.",
            (Query(f"ray_node_gram_used{{{HERE}}} / {_MEMORY}", "{{instance}} GPU {{GpuIndex}}"),),
            unit="percentunit",
            maximum=1,
        ),
    ),
    (("gpu_price", "Price of a GPU-hour, $", "3.00"), ("gpu_tflops", "TFLOP/s in prefill", "400")),
)
