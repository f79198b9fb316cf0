"""Refusals: who found no room and why, which files ended their decoder, what the cache did not take or give back."""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import A_SECOND, COUNT, FAILED, HIT, NEUTRAL, Panel, Query
from deploy.grafana.promql import increase, occurring, rate

_EXHAUSTED = {"LLM": "heroserve_chat_exhausted_total", "encoder": "heroserve_encoder_exhausted_total"}
_DECODERS = "heroserve_decoders_ended_total"
_WRITES = "heroserve_cache_writes_total"
_UNUSABLE = "heroserve_cache_unusable_total"
_LOST = 'reason="lost"'
# A file's doing, or its caller's; what is lost is not.
_REASONS = {"timeout": "orange", "memory": "yellow", "crash": "purple", "lost": FAILED, "abandoned": NEUTRAL}

_TILES = (
    *(
        Panel(
            f"No room, {service}",
            "Requests over the time shown that ended with RESOURCE_EXHAUSTED; quotas of keys are among them.",
            (Query(f"{increase(metric)} or vector(0)"),),
            unit=COUNT,
            kind="stat",
            steps=((None, "green"), (1, "yellow")),
            decimals=0,
            width=6,
        )
        for service, metric in _EXHAUSTED.items()
    ),
    Panel(
        "Decoders lost",
        "Over the time shown, killed by others (the kernel, for want of memory) or never started.",
        (Query(f"{increase(_DECODERS, _LOST)} or vector(0)"),),
        unit=COUNT,
        kind="stat",
        steps=((None, "green"), (1, FAILED)),
        decimals=0,
        width=6,
    ),
    Panel(
        "Cache entries unusable",
        "Over the time shown: damaged, forged or another key's. Each was a miss, and is rewritten.",
        (Query(f"{increase(_UNUSABLE)} or vector(0)"),),
        unit=COUNT,
        kind="stat",
        steps=((None, "green"), (10, FAILED)),
        decimals=0,
        width=6,
    ),
)

DASHBOARD = Dashboard(
    "heroserve-refusals",
    "heroserve: refusals",
    "Who found no room and why; which files ended their decoder; what the cache did not take or give back.",
    "heroserve-(encoder|llm)",
    (
        *_TILES,
        *(
            Panel(
                f"Why there was no room, {service}",
                "wait, line, proxy, serve: overload. share: a key had most of a full line. rate, concurrency: a key's "
                f"quota. {more}. Proxies' are counted with the next request that a replica gets.",
                (Query(occurring(_EXHAUSTED[service], "door, reason"), "{{door}} {{reason}}"),),
                unit="reqps",
                stack=True,
                nothing="nobody was refused for want of room",
            )
            for service, more in (
                ("LLM", "encoder, engine: there was none there"),
                ("encoder", "images: more new pictures than the tower takes"),
            )
        ),
        Panel(
            "Decoders ended before their time",
            "timeout, memory, crash: of a file, which is refused. lost: killed by others, or never started. abandoned: "
            "whoever sent the file has gone.",
            (Query(occurring(_DECODERS, "reason"), "{{reason}}"),),
            unit=A_SECOND,
            colors=_REASONS,
            stack=True,
            nothing="none",
        ),
        Panel(
            "Cache writes",
            "Entries of new pictures. refused: Redis takes no writes. error: it can't be reached. too_large: for memory://.",
            (Query(rate(_WRITES, by="result"), "{{result}}"),),
            unit=A_SECOND,
            colors={"written": HIT, "refused": FAILED, "error": "orange", "too_large": "yellow"},
            stack=True,
        ),
        Panel(
            "Cache entries unusable",
            "Found under a name that no encoder with our key wrote: damaged, forged or another key's.",
            (Query(rate(_UNUSABLE), "unusable"),),
            unit=A_SECOND,
            colors={"unusable": FAILED},
        ),
    ),
)
