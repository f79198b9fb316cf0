"""Whom to call."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc

from heroserve import ray_serve
from heroserve.call import Call
from heroserve.digests import SentImages
from heroserve.methods import ENCODE, Method, Request, Response
from heroserve.retry import Retries, RetryBudget, RetryPolicy
from heroserve.target import address
from heroserve.terms import Terms


@dataclass(frozen=True)
class Peer:
    """A service to call, and how.

    Raises ValueError for a target that is not HOST:PORT, a key that no header holds, or an age not above 0.
    """

    target: str
    api_key: str | None = field(repr=False)
    tls: bool | grpc.ChannelCredentials
    timeout_s: float
    retry: RetryPolicy
    max_connection_age_s: float
    sent: SentImages = field(default_factory=SentImages)
    budget: RetryBudget = field(init=False, repr=False)

    def __post_init__(self) -> None:
        address(self.target)
        key = self.api_key or ""
        if not isinstance(key, str) or not (key.isascii() and key.isprintable()):  # it is not shown
            raise ValueError("api_key must be printable ASCII characters, without the end of a line")
        object.__setattr__(self, "budget", RetryBudget(self.retry.overload_share))
        if not self.max_connection_age_s > 0:  # nor is NaN
            raise ValueError(f"max_connection_age_s must be more than 0, not {self.max_connection_age_s}")

    def call(self, method: Method[Request, Response], request: Request, terms: Terms) -> Call[Request]:
        """A new call; its deadline starts now."""
        self.budget.deposit()
        return Call(
            ray_serve.route(method.service),
            request,
            timeout_s=self.timeout_s if terms.timeout_s is None else terms.timeout_s,
            retries=Retries(self.retry, self.budget),
            api_key=self.api_key,
            sent=self.sent,
            place=self.target + (" (encoder_target)" if method.service == ENCODE.service else ""),
            request_id=terms.request_id,
            trace=terms.trace.items(),
        )
