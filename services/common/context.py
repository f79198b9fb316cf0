"""The request that is served here: its id, its deadline, where its time goes, and whose trace it belongs to."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import Any

from services.common import tracing
from services.common.errors import DeadlineExceeded
from services.common.stages import Stages
from services.common.tracing import Trace


@dataclass(frozen=True)
class Origin:
    """What of a request goes along wherever work is done for it, other processes included.

    Args:
        id: what the logs call it.
        trace: where in a trace that work belongs; None outside every trace.
    """

    id: str
    trace: Trace | None = None


@dataclass(frozen=True)
class RequestContext:
    """One request, from the moment a replica takes it up.

    Args:
        id: what the logs of both services call it; empty for what no gate has let in.
        method: the RPC, as ``package.Service/Method``.
        deadline: by ``time.monotonic()``; no new work is begun behind it.
        trace: where it stands in its caller's trace, or in its own; None outside every trace.
        key: a name of the API key that it came with, which does not tell it; empty where none is asked for.
        scope: whose it is, see ``scope_of``; empty for everybody's.
        stages: where its time goes.
        facts: what the line about it tells when it has ended; see ``note``.
    """

    id: str = ""
    method: str = ""
    deadline: float = math.inf
    trace: Trace | None = None
    key: str = ""
    scope: str = ""
    stages: Stages = field(default_factory=Stages)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def remaining_s(self) -> float:
        """Seconds left, at least 0; infinite without a deadline."""
        return max(0.0, self.deadline - time.monotonic())

    def check_deadline(self) -> None:
        """Before work that nobody would wait for any more.

        Raises:
            DeadlineExceeded: the deadline has passed.
        """
        if not self.remaining_s:
            raise DeadlineExceeded("the deadline has passed")

    def note(self, **facts: Any) -> None:
        """Say what the line about it tells: numbers and words, never what the caller asked or showed."""
        self.facts.update(facts)


_request: ContextVar[RequestContext | None] = ContextVar("heroserve.request", default=None)
_ids: ContextVar[tuple[str, ...]] = ContextVar("heroserve.ids", default=())


def current() -> RequestContext:
    """The request that the running code serves; outside of one a new one that nobody hears of."""
    return _request.get() or RequestContext()


def origin() -> Origin:
    """What the running code gives along with work that it hands to others."""
    return Origin(current().id, tracing.here())


def ids() -> tuple[str, ...]:
    """The requests that the running code works for: one, several (a batch), or none."""
    return _ids.get()


@contextmanager
def serving(request: RequestContext) -> Iterator[RequestContext]:
    """What runs within serves this request, tasks and ``asyncio.to_thread`` that it starts included."""
    with _working(request, (request.id,), request.trace):
        yield request


@contextmanager
def serving_all(origins: Sequence[Origin]) -> Iterator[None]:
    """What runs within is done for all of these at once: its log lines name them all, and it is in no one's trace."""
    with _working(None, tuple(dict.fromkeys(origin.id for origin in origins if origin.id)), None):
        yield


def apart() -> Context:
    """To start what serves this request and may outlive it: none of the variables in it that frameworks have."""
    request, names, trace = _request.get(), _ids.get(), tracing.here()
    fresh = Context()
    fresh.run(_request.set, request)
    fresh.run(_ids.set, names)
    fresh.run(tracing.go, trace)
    return fresh


@contextmanager
def _working(request: RequestContext | None, names: tuple[str, ...], trace: Trace | None) -> Iterator[None]:
    before = _request.get(), _ids.get()
    _request.set(request)
    _ids.set(names)
    try:
        with tracing.at(trace):
            yield
    finally:
        # Not by tokens: a stream may be closed in another context than it was begun in.
        _request.set(before[0])
        _ids.set(before[1])
