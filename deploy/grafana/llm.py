"""LLM: how soon an answer begins, how fast it comes, who waits, what fails."""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import FAILED, KEPT, NEUTRAL, TOKENS_A_SECOND, Panel, Query
from deploy.grafana.promql import HERE, SHOWN, milliseconds, percentiles, rate
from deploy.grafana.requests import Requests

_REQUESTS = Requests("heroserve_chat_requests_total", "/heroserve.v1.VisionChat/Generate", "/llm/v1/chat/completions")
_FIRST = "heroserve_time_to_first_token_seconds"
_GENERATED = "heroserve_generated_tokens_total"
# The handles that queue live in proxies, one a node, and in other deployments' replicas.
_WAITING = f'sum(ray_serve_deployment_queued_queries{{application="llm", {HERE}}})'
_ANSWERED = f'sum(ray_serve_replica_processing_queries{{application="llm", {HERE}}})'

_TILES = (
    *_REQUESTS.tiles(width=5),
    Panel(
        "First token, p99",
        "From taking a request up to its first token, encoding included; over the time shown.",
        percentiles(_FIRST, qs=(0.99,), window=SHOWN),
        unit="s",
        kind="stat",
        steps=((None, "green"), (4, "yellow"), (10, FAILED)),
        width=5,
    ),
    Panel("Tokens generated", "A second, now.", (Query(rate(_GENERATED)),), unit=TOKENS_A_SECOND, kind="stat", width=5),
    Panel(
        "Requests waiting",
        "In proxies, for a replica that has room, now.",
        (Query(_WAITING),),
        kind="stat",
        steps=((None, "green"), (1, "yellow"), (32, FAILED)),
        width=4,
    ),
)

DASHBOARD = Dashboard(
    "heroserve-llm",
    "heroserve: LLM",
    "Time to first token and between tokens, why answers end, queue and errors of the LLM service.",
    "heroserve-llm.*",
    (
        *_TILES,
        *_REQUESTS.panels(),
        Panel(
            "Time to first token",
            "In the replica: encoder, assembly, prefill. Waiting for a replica comes on top, see the queue.",
            percentiles(_FIRST),
            unit="s",
            steps=((None, NEUTRAL), (10, FAILED)),
        ),
        Panel(
            "Whole answer",
            "At the proxy, from the request to the last token, waiting included; by door.",
            milliseconds(
                percentiles("ray_serve_grpc_request_latency_ms", f'{_REQUESTS.at_proxy}, status_code="OK"', of="gRPC")
                + percentiles(
                    "ray_serve_http_request_latency_ms", f'{_REQUESTS.over_http}, status_code="200"', of="HTTP"
                )
            ),
            unit="s",
            many=True,
        ),
        Panel(
            "Tokens generated",
            "A second, over all answers.",
            (Query(rate(_GENERATED), "generated"),),
            unit=TOKENS_A_SECOND,
            colors={"generated": "purple"},
        ),
        Panel(
            "Time between tokens",
            "From a token of an answer to its next one, as a reader sees them come. Rises with the requests that an "
            "engine generates for at once, and with what it does beside.",
            percentiles("heroserve_inter_token_seconds"),
            unit="s",
        ),
        Panel(
            "Why answers ended",
            "Answers a second. stop: the model, or a stop string, ended it. length: max_tokens did; many of those, and "
            "callers read answers that break off.",
            (Query(rate("heroserve_answers_total", by="finish_reason"), "{{finish_reason}}"),),
            unit="reqps",
            colors={"stop": "green", "length": "orange"},
            stack=True,
        ),
        Panel(
            "Queue",
            "Waiting in proxies for a replica; in replicas for their turn (line), and for a thread of the engine's, of "
            "which there are HEROSERVE_ENGINE_THREADS; and all that replicas have taken up, who waits there included.",
            (
                Query(_WAITING, "waiting in front"),
                Query(f"sum by (where) (heroserve_requests_waiting{{{HERE}}})", "waiting, {{where}}"),
                Query(_ANSWERED, "taken up"),
            ),
            colors={"waiting in front": "orange", "taken up": KEPT},
        ),
    ),
)
