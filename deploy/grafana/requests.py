"""Panels about requests that the encoder's and the LLM service's dashboards both have."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.grafana.panel import FAILED, NEUTRAL, Panel, Query
from deploy.grafana.promql import ERRORS, NOW, SHOWN, rate, rate_of_both, share

_GRPC = "ray_serve_num_grpc_requests_total"
_HTTP = "ray_serve_num_http_requests_total"
_CODES = {
    "OK": "green",
    "INTERNAL": "dark-red",
    "UNAVAILABLE": FAILED,
    "RESOURCE_EXHAUSTED": "orange",
    "HTTP 200": "green",
    "HTTP 500": "dark-red",
    "HTTP 503": FAILED,
    "HTTP 429": "orange",
}


@dataclass(frozen=True)
class Requests:
    """Requests of one service.

    Args:
        counter: what its replicas count, by ``door`` and ``code``.
        method: the RPC that does the work, as Ray's proxy names it.
        route: the same over HTTP, where there is that.
    """

    counter: str
    method: str
    route: str = ""

    @property
    def at_proxy(self) -> str:
        """PromQL matcher of that RPC in Ray's metrics."""
        return f'method="{self.method}"'

    @property
    def over_http(self) -> str:
        """The same of HTTP's."""
        return f'method="POST", route="{self.route}"'

    def tiles(self, width: int) -> tuple[Panel, ...]:
        return (
            Panel(
                "Requests",
                "A second, over the time shown.",
                (Query(self._rate(SHOWN)),),
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
        told = [Query(rate(_GRPC, self.at_proxy, "status_code"), "{{status_code}}")]
        if self.route:
            told.append(Query(rate(_HTTP, self.over_http, "status_code"), "HTTP {{status_code}}"))
        return (
            Panel(
                "Requests, by what callers were told",
                "Counted by Ray's proxy: expired and lost requests are here, and only here.",
                tuple(told),
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
        errors = self._rate(window, f'status_code=~"{ERRORS}"', 'status_code=~"429|5.."')
        # A request for an application that is gone carries no application's name; to the caller it is an outage.
        there = _GRPC, f'{self.at_proxy}, status_code="NOT_FOUND", application=""'
        here = _HTTP, 'method="POST", status_code="404", application=""'
        gone = rate_of_both(there, here, window) if self.route else rate(*there, window=window)
        return f"(({errors} or vector(0)) + ({gone} or vector(0))) / ({self._rate(window)} > 0)"

    def _rate(self, window: str, grpc: str = "", http: str = "") -> str:
        """Requests a second, by their proxy.

        Args:
            grpc, http: PromQL matchers, of all that come by that door.
        """
        there = _GRPC, ", ".join(part for part in (self.at_proxy, grpc) if part)
        if not self.route:
            return rate(*there, window=window)
        return rate_of_both(there, (_HTTP, ", ".join(part for part in (self.over_http, http) if part)), window)
