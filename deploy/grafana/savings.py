"""Token savings: what dropping visual tokens and caching rows save."""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import DROPPED, KEPT, NEUTRAL, TOKENS_A_SECOND, Panel, Query
from deploy.grafana.promql import HERE, NOW, increase, percentiles, rate, share

_TOKENS = "heroserve_visual_tokens_total"
_DROPPED = increase(_TOKENS, 'outcome="dropped"')

_TILES = (
    Panel(
        "Visual tokens dropped",
        "Share of all visual tokens, over the time shown, that no language model had to read.",
        (Query(share(_DROPPED, increase(_TOKENS))),),
        unit="percentunit",
        kind="stat",
        steps=((None, "red"), (0.3, "yellow"), (0.6, "green")),
        decimals=1,
        width=5,
    ),
    Panel(
        "Tokens not prefilled",
        "Visual tokens dropped over the time shown.",
        (Query(_DROPPED),),
        kind="stat",
        steps=((None, DROPPED),),
        width=5,
    ),
    Panel(
        "Prefill computation saved",
        "Floating-point operations of prefill that dropped tokens would have cost, over the time shown.",
        (Query(increase("heroserve_prefill_flops_saved_total")),),
        unit="si:FLOP",
        kind="stat",
        steps=((None, DROPPED),),
        width=5,
    ),
    Panel(
        "KV cache not filled",
        "Bytes of keys and values that dropped tokens would have taken, over the time shown.",
        (Query(increase("heroserve_kv_cache_bytes_saved_total")),),
        unit="bytes",
        kind="stat",
        steps=((None, DROPPED),),
        width=5,
    ),
    Panel(
        "Encodes avoided",
        "Share of look-ups over the time shown that found the image ranked: no accelerator was touched.",
        (
            Query(
                share(
                    increase("heroserve_cache_requests_total", 'result="hit"'),
                    increase("heroserve_cache_requests_total"),
                )
            ),
        ),
        unit="percentunit",
        kind="stat",
        steps=((None, NEUTRAL), (0.2, "green")),
        decimals=1,
        width=4,
    ),
)

DASHBOARD = Dashboard(
    "heroserve-savings",
    "heroserve: token savings",
    "How much do we save? Tokens kept and dropped, and what the dropped ones would have cost.",
    "heroserve-(encoder|llm)",
    (
        *_TILES,
        Panel(
            "Visual tokens kept and dropped",
            "Tokens a second. The height is what would have been prefilled without dropping.",
            (Query(rate(_TOKENS, by="outcome"), "{{outcome}}"),),
            unit=TOKENS_A_SECOND,
            colors={"kept": KEPT, "dropped": DROPPED},
            stack=True,
        ),
        Panel(
            "Share dropped, by scope",
            "Global is the thumbnail, local the tiles. Tiles share one budget by importance.",
            (Query(share(rate(_TOKENS, 'outcome="dropped"', "scope"), rate(_TOKENS, by="scope")), "{{scope}}"),),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            "Retention, by percentile of requests",
            "Half of the requests keep less than p50. Far apart: callers ask for very different budgets.",
            percentiles("heroserve_retention_ratio", qs=(0.1, 0.5, 0.9, 0.99)),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            "Retention, all requests",
            "Requests by the share of tokens they kept.",
            (Query(f"sum by (le) (increase(heroserve_retention_ratio_bucket{{{HERE}}}[{NOW}]))"),),
            kind="heatmap",
        ),
        Panel(
            "Prefill computation saved",
            "Floating-point operations a second that prefill would have needed on top.",
            (Query(rate("heroserve_prefill_flops_saved_total"), "saved"),),
            unit="flops",
            colors={"saved": DROPPED},
        ),
        Panel(
            "KV cache not filled",
            "Bytes a second that keys and values of dropped tokens would have taken.",
            (Query(rate("heroserve_kv_cache_bytes_saved_total"), "saved"),),
            unit="binBps",
            colors={"saved": DROPPED},
        ),
        Panel(
            "Prompt tokens prefilled, by kind",
            "What is left of a prompt. Where visual no longer dominates, dropping more gains little.",
            (Query(rate("heroserve_prompt_tokens_total", by="kind"), "{{kind}}"),),
            unit=TOKENS_A_SECOND,
            colors={"visual": KEPT, "text": "purple", "newline": "yellow"},
            stack=True,
        ),
    ),
)
