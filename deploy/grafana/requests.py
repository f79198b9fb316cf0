"""Panels about requests that the encoder's and the LLM service's dashboards both have."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.grafana.panel import FAILED, NEUTRAL, Panel, Query
from deploy.grafana.promql import ERRORS, NOW, SHOWN, rate, share

_PROXY = "ray_serve_num_grpc_requests_total"
_CODES = {"OK": "green", "INTERNAL": "dark-red", "UNAVAILABLE": FAILED, "RESOURCE_EXHAUSTED": "orange"}


@dataclass(frozen=True)
class Requests:
    """Requests of one service.

    Args:
        counter: what its replicas count, by ``code``.
        method: the RPC that does the work, as Ray's proxy names it.
    """

    counter: str
    method: str

    @property
    def at_proxy(self) -> str:
        """PromQL matcher of that RPC in Ray's metrics."""
        return f'method="{self.method}"'

    def tiles(self, width: int) -> tuple[Panel, ...]:
        total = rate(_PROXY, self.at_proxy, window=SHOWN)
        return (
            Panel(
                "Requests",
                "A second, over the time shown.",
                (Query(total),),
                unit="reqps",
                kind="stat",
                width=width,
            ),
            Panel(
                "Requests that failed",
                "Share over the time shown, as callers saw it; their own mistakes are not counted.",
                (Query(self._failed(SHOWN)),),
                unit="percentunit",
                kind="stat",
                steps=((None, "green"), (0.01, "yellow"), (0.05, FAILED)),
                decimals=2,
                width=width,
            ),
        )

    def panels(self) -> tuple[Panel, ...]:
        return (
            Panel(
                "Requests, by what callers were told",
                "Counted by Ray's proxy: refused, expired and lost requests are here, and only here.",
                (Query(rate(_PROXY, self.at_proxy, "status_code"), "{{status_code}}"),),
                unit="reqps",
                colors=_CODES,
                stack=True,
            ),
            Panel(
                "Share that failed",
                "At the replicas alone, and at the proxy. A gap between them is requests that never reached a replica, "
                "or replicas that died.",
                (
                    Query(self._failed(NOW), "proxy"),
                    Query(share(rate(self.counter, f'code=~"{ERRORS}"'), rate(self.counter)), "replicas"),
                ),
                unit="percentunit",
                steps=((None, NEUTRAL), (0.05, FAILED)),
                colors={"proxy": FAILED, "replicas": "orange"},
            ),
        )

    def _failed(self, window: str) -> str:
        """Share of requests that failed, as the proxy counts them."""
        errors = rate(_PROXY, f'{self.at_proxy}, status_code=~"{ERRORS}"', window=window)
        # A request for an application that is gone carries no application's name; to the caller it is an outage.
        gone = rate(_PROXY, f'{self.at_proxy}, status_code="NOT_FOUND", application=""', window=window)
        total = rate(_PROXY, self.at_proxy, window=window)
        return f"(({errors} or vector(0)) + ({gone} or vector(0))) / ({total} > 0)"
