"""Panels about requests that the encoder's and the LLM service's dashboards both have."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.grafana.panel import FAILED, NEUTRAL, Panel, Query
from deploy.grafana.promql import ERRORS, NOW, SHOWN, occurring, rate, rate_of_both, share

_GRPC = "ray_serve_num_grpc_requests_total"
_HTTP = "ray_serve_num_http_requests_total"
# Green is well, of red to yellow the service is to blame for, of the others callers are.
_CODES = {
    "OK": "green",
    "INTERNAL": "dark-red",
    "UNAVAILABLE": FAILED,
    "RESOURCE_EXHAUSTED": "orange",
    "DEADLINE_EXCEEDED": "yellow",
    "CANCELLED": NEUTRAL,
    "INVALID_ARGUMENT": "purple",
    "NOT_FOUND": "blue",
}
_STATUSES = {"200": "OK", "500": "INTERNAL", "503": "UNAVAILABLE", "429": "RESOURCE_EXHAUSTED", "499": "CANCELLED"}
_STATUSES |= {"400": "INVALID_ARGUMENT", "404": "NOT_FOUND", "504": "DEADLINE_EXCEEDED"}
_AT_PROXY = {**_CODES, **{f"HTTP {status}": _CODES[code] for status, code in _STATUSES.items()}}
_AT_REPLICAS = {f"{door} {code}": color for door in ("grpc", "http") for code, color in _CODES.items()}


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
                "Share over the time shown, at the replicas or at Ray's proxy, whichever is worse; callers' own "
                "mistakes are not counted.",
                (
                    Query(
                        f"max(({self._failed(SHOWN)})"
                        f' or label_replace({self._refused(SHOWN)}, "at", "replicas", "", ""))'
                    ),
                ),
                unit="percentunit",
                kind="stat",
                steps=((None, "green"), (0.01, "yellow"), (0.05, FAILED)),
                decimals=2,
                width=width,
            ),
        )

    def panels(self) -> tuple[Panel, ...]:
        told = [Query(occurring(_GRPC, "status_code", self.at_proxy), "{{status_code}}")]
        if self.route:
            told.append(Query(occurring(_HTTP, "status_code", self.over_http), "HTTP {{status_code}}"))
        return (
            Panel(
                "Requests, at the replicas",
                "By door and by gRPC's statuses, as callers were told. What our part of the proxy refused is told with "
                "the next request of that door. What lists and describes is among them.",
                (Query(occurring(self.counter, "door, code"), "{{door}} {{code}}"),),
                unit="reqps",
                colors=_AT_REPLICAS,
                stack=True,
                many=True,
            ),
            Panel(
                "Requests, at Ray's proxy",
                "What expired in its queue or was lost with a replica is here, and only here. Not so what our part of "
                "the proxy refused. Who left, or whose deadline went by, is CANCELLED"
                + ("." if self.route else "; what a replica refused is an OK to it."),
                tuple(told),
                unit="reqps",
                colors=_AT_PROXY,
                stack=True,
                many=True,
            ),
            Panel(
                "Share that failed",
                "The proxy's above the replicas': requests that never reached one, or replicas that died. The other "
                "way: refusals that Ray's proxy doesn't see, or callers who did not wait.",
                (Query(self._failed(NOW), "proxy"), Query(self._refused(NOW), "replicas")),
                unit="percentunit",
                steps=((None, NEUTRAL), (0.05, FAILED)),
                colors={"proxy": FAILED, "replicas": "orange"},
            ),
        )

    def _refused(self, window: str) -> str:
        """Share of requests that failed, as the replicas count them."""
        errors = rate(self.counter, f'code=~"{ERRORS}"', window=window)
        return share(errors, rate(self.counter, window=window))

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
