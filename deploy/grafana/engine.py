"""Engine: what vLLM has to do, in the service or beside it: who waits, how full its KV cache is, what it has cached."""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import A_SECOND, FAILED, HIT, KEPT, MISS, NEUTRAL, TOKENS_A_SECOND, Panel, Query
from deploy.grafana.promql import HERE, NOW, SHOWN, percentiles, rate, share

# A server of vLLM's own beside the service (HEROSERVE_ENGINE=vllm-remote) tells by its own names, which a service with
# vLLM in it has on its page too.
_BESIDE = "vLLM beside"
_SERVER = 'job="heroserve-vllm"'
_PREFIX = "heroserve_engine_prefix_tokens_total"
_HIT = 'outcome="hit"'
_QUERIES, _HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"


def _cached(window: str) -> str:
    return share(rate(_PREFIX, _HIT, window=window), rate(_PREFIX, window=window))


def _cached_beside(window: str) -> str:
    return share(rate(_HITS, _SERVER, window=window), rate(_QUERIES, _SERVER, window=window))


def _sum(gauge: str, labels: str = "") -> str:
    return f"sum({gauge}{{{', '.join(part for part in (labels, HERE) if part)}}})"


_RUNNING, _WAITING = _sum("heroserve_engine_running"), _sum("heroserve_requests_waiting", 'where="engine"')
_RUNNING_BESIDE = _sum("vllm:num_requests_running", _SERVER)
_WAITING_BESIDE = _sum("vllm:num_requests_waiting", _SERVER)
_USED, _USED_BESIDE = f"heroserve_engine_kv_cache_usage{{{HERE}}}", f"vllm:kv_cache_usage_perc{{{_SERVER}, {HERE}}}"

_TILES = (
    Panel(
        "Running",
        "Requests that are generated for, now.",
        (Query(f"({_RUNNING} > 0) or {_RUNNING_BESIDE} or {_RUNNING}"),),
        kind="stat",
        width=5,
    ),
    Panel(
        "Waiting",
        "Requests that the engine has and can't begin, now: for want of KV cache, or of places (max-num-seqs).",
        (Query(f"({_WAITING} > 0) or {_WAITING_BESIDE} or {_WAITING}"),),
        kind="stat",
        steps=((None, "green"), (1, "yellow"), (32, FAILED)),
        width=5,
    ),
    Panel(
        "KV cache in use",
        "Share that requests hold, of the replica or server with the most. What is only kept for later is not in it.",
        (Query(f"max({_USED} or {_USED_BESIDE})"),),
        unit="percentunit",
        kind="stat",
        steps=((None, "green"), (0.8, "yellow"), (0.9, FAILED)),
        width=5,
    ),
    Panel(
        "Prompt tokens from the cache",
        "Share that was not computed again, over the time shown.",
        (Query(f"{_cached(SHOWN)} or {_cached_beside(SHOWN)}"),),
        unit="percentunit",
        kind="stat",
        steps=((None, NEUTRAL), (0.2, "green")),
        width=5,
    ),
    Panel(
        "Tokens generated",
        "A second, now.",
        (Query(rate("heroserve_generated_tokens_total")),),
        unit=TOKENS_A_SECOND,
        kind="stat",
        width=4,
    ),
)

DASHBOARD = Dashboard(
    "heroserve-engine",
    "heroserve: engine",
    "What vLLM has to do, in the LLM service (HEROSERVE_ENGINE=vllm) or beside it (vllm-remote): requests that run and "
    "wait, KV cache, prefix cache, tokens.",
    "heroserve-(llm|vllm)",
    (
        *_TILES,
        Panel(
            "Requests in the engine",
            "Running and waiting. Many that wait while the KV cache is not full: more places (max-num-seqs). While it "
            "is: more replicas, or a smaller budget.",
            (
                Query(_RUNNING, "running"),
                Query(_WAITING, "waiting"),
                Query(_RUNNING_BESIDE, f"{_BESIDE}, running"),
                Query(_WAITING_BESIDE, f"{_BESIDE}, waiting"),
            ),
            colors={"running": KEPT, "waiting": "orange"},
        ),
        Panel(
            "KV cache in use",
            "Share that requests hold, of each replica or server. At 1 the engine puts requests back and computes them "
            "again.",
            (
                Query(f"max by (instance) ({_USED})", "{{instance}}"),
                Query(f"max by (instance) ({_USED_BESIDE})", f"{_BESIDE}, {{{{instance}}}}"),
            ),
            unit="percentunit",
            maximum=1,
            steps=((None, NEUTRAL), (0.9, FAILED)),
        ),
        Panel(
            "Time between tokens",
            "From a token of an answer to its next one, at the service. Rises with the requests that run at once.",
            percentiles("heroserve_inter_token_seconds"),
            unit="s",
        ),
        Panel(
            "Prompt tokens from the cache",
            "Share of prompts that began as an earlier one did, turns of a conversation above all. Falls when the KV "
            "cache is needed for requests that run.",
            (Query(_cached(NOW), "cached"), Query(_cached_beside(NOW), f"{_BESIDE}, cached")),
            unit="percentunit",
            maximum=1,
            colors={"cached": HIT},
        ),
        Panel(
            "Tokens",
            "A second: generated, and of prompts, of which what the cache has is not computed.",
            (
                Query(rate("heroserve_generated_tokens_total"), "generated"),
                Query(rate("heroserve_prompt_tokens_total"), "prompts"),
                Query(rate(_PREFIX, _HIT), "prompts, from the cache"),
                Query(rate(_HITS, _SERVER), f"{_BESIDE}, prompts, from the cache"),
            ),
            unit=TOKENS_A_SECOND,
            colors={"generated": "purple", "prompts": MISS, "prompts, from the cache": HIT},
        ),
        Panel(
            "Requests put back",
            "A second, for want of KV cache: what had been computed of them is computed again.",
            (
                Query(rate("heroserve_engine_preemptions_total"), "put back"),
                Query(rate("vllm:num_preemptions_total", _SERVER), f"{_BESIDE}, put back"),
            ),
            unit=A_SECOND,
            colors={"put back": FAILED},
        ),
    ),
)
