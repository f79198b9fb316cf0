"""Encoder: is it fast, does it fail, does its cache hit."""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import FAILED, HIT, MISS, NEUTRAL, Panel, Query
from deploy.grafana.promql import SHOWN, increase, milliseconds, percentiles, quantile, rate, share
from deploy.grafana.requests import Requests

_REQUESTS = Requests("heroserve_encoder_requests_total", "/heroserve.v1.VisionEncoder/Encode")
_LATENCY = "ray_serve_grpc_request_latency_ms"
_ANSWERED = f'{_REQUESTS.at_proxy}, status_code="OK"'
_STAGE = "heroserve_encoder_stage_seconds"
_LOOKUPS = "heroserve_cache_requests_total"
_HITS = 'result="hit"'

_TILES = (
    *_REQUESTS.tiles(width=6),
    Panel(
        "Encode, p99",
        "At the proxy, waiting included; over the time shown.",
        milliseconds(percentiles(_LATENCY, _ANSWERED, qs=(0.99,), window=SHOWN)),
        unit="s",
        kind="stat",
        steps=((None, "green"), (2, "yellow"), (5, FAILED)),
        width=6,
    ),
    Panel(
        "Look-ups that hit the cache",
        "Share over the time shown.",
        (Query(share(increase(_LOOKUPS, _HITS), increase(_LOOKUPS))),),
        unit="percentunit",
        kind="stat",
        steps=((None, NEUTRAL), (0.2, "green")),
        decimals=1,
        width=6,
    ),
)

DASHBOARD = Dashboard(
    "heroserve-encoder",
    "heroserve: encoder",
    "Rate, errors, latency by stage, batches of the tower, and the cache.",
    "heroserve-encoder.*",
    (
        *_TILES,
        *_REQUESTS.panels(),
        Panel(
            "Encode latency",
            "At the proxy. Hits and misses are two humps: p50 moves with the hit ratio, p99 with the tower.",
            milliseconds(percentiles(_LATENCY, _ANSWERED)),
            unit="s",
            steps=((None, NEUTRAL), (5, FAILED)),
        ),
        Panel(
            "Latency by stage, p95",
            "Of requests that were in the stage. tower and rank are of the whole batch.",
            (Query(quantile(0.95, _STAGE, by="stage"), "{{stage}}"),),
            unit="s",
            many=True,
        ),
        Panel(
            "Time spent, by stage",
            "Seconds of requests' time that a second took: where a faster stage would help most.",
            (Query(rate(f"{_STAGE}_sum", by="stage"), "{{stage}}"),),
            unit="s",
            stack=True,
            many=True,
        ),
        Panel(
            "Tiles in a pass of the tower",
            "Near HEROSERVE_MAX_BATCH_TILES: the tower is busy. Near one image's tiles: passes are not shared.",
            (
                *percentiles("heroserve_tower_batch_tiles", qs=(0.5, 0.95)),
                Query(
                    f"{rate('heroserve_tower_batch_tiles_sum')} / ({rate('heroserve_tower_batch_tiles_count')} > 0)",
                    "mean",
                ),
            ),
        ),
        Panel(
            "Cache look-ups",
            "A hit costs a range read instead of a pass of the tower; an error is a Redis that did not answer in time.",
            (Query(rate(_LOOKUPS, by="result"), "{{result}}"),),
            unit="reqps",
            colors={"hit": HIT, "miss": MISS, "error": FAILED},
            stack=True,
        ),
        Panel(
            "Cache bytes",
            "Rows and metadata, between encoder and Redis.",
            (Query(rate("heroserve_cache_bytes_total", by="direction"), "{{direction}}"),),
            unit="binBps",
            colors={"read": HIT, "write": MISS},
        ),
    ),
)
