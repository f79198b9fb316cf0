"""The one way into every handler, whatever the door: context, authentication, statuses, counts, a line in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import grpc
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from services.common import context, tracing
from services.common.api_keys import REFUSED, ApiKeys
from services.common.context import RequestContext
from services.common.errors import (
    NO_ROOM,
    DoorName,
    Internal,
    ResourceExhausted,
    ServiceError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from services.common.metrics import Counter
from services.common.sampling import Sampler
from services.common.scope import HEADER as SCOPE
from services.common.scope import scope_of
from services.common.shown import shown_name
from services.common.tracing import Trace

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Of requests that ended with the same status, but for OK.
_LINES_PER_SECOND = 50

# A caller's clock and gRPC's timers are no closer than this.
_EXPIRING_S = 0.05
# What OpenTelemetry wants to be a server's errors; the others are its callers'.
_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


class Call(Protocol[T]):
    """One request as its door has it: `GrpcCall` for gRPC's.

    Attributes:
        door: that it has come by.
        method: ``package.Service/Method``.
        asked: what the caller called; another method where a proxy went by its name alone.
        request_id: the caller's, or a new one.
        remaining_s: seconds that the caller still waits, infinite if it did not say.
        refused_before: requests that its door refused by itself since the last one that it let through, by status or,
            where there was no room, by status and reason (``ServiceError.label``).
        bytes_in, bytes_out: of its messages so far.
    """

    door: DoorName
    method: str
    request_id: str
    bytes_in: int
    bytes_out: int

    @property
    def asked(self) -> str: ...

    @property
    def remaining_s(self) -> float: ...

    @property
    def refused_before(self) -> Mapping[str, int]: ...

    def header(self, name: str) -> str:
        """What the caller sent under this name, in lower case; empty if nothing."""
        ...

    def answered(self, message: T) -> T:
        """The message, which is on its way to the caller."""
        ...

    def refuse(self, error: ServiceError) -> None:
        """End it with this status."""
        ...


class Gate:
    """Guards a service's handlers.

    Args:
        api_keys: accepted keys; none accepts every caller.
        requests: counter with the labels ``door`` and ``code``, one count a request.
        exhausted: counter with the labels ``door`` and ``reason``, one count a request that there was no room for.
        timeout_s: longest a request may take, whatever its caller would wait.
    """

    def __init__(self, api_keys: tuple[str, ...], requests: Counter, exhausted: Counter, timeout_s: float) -> None:
        self._api_keys = ApiKeys(api_keys)
        self._requests = requests
        self._exhausted = exhausted
        self._timeout_s = timeout_s
        # Under an overload their lines would be work and space that nobody has. Those that end well are bounded by what
        # the service can do.
        self._failures = Sampler(_LINES_PER_SECOND, _tell_left_out)

    async def unary(self, call: Call[T], answer: Callable[[], Awaitable[T]], empty: T) -> T:
        """Answer a unary RPC; what fails ends it with its status.

        Serve logs two tracebacks for a handler that raises, whoever is to blame. The status that ``call`` was refused
        with goes out with a returned message too, and the message then stays behind.
        """
        try:
            with self.guard(call):
                return call.answered(await answer())
        except ServiceError:
            return empty

    @contextmanager
    def guard(self, call: Call[Any]) -> Iterator[RequestContext]:
        """Run the body of a request; what fails ends it with its status. It is counted, and one line tells of it.

        Every failure leaves as a ServiceError, which Serve turns into the status set by ``call``. Bugs are logged with
        their traceback and told to the caller without it.
        """
        caller = Trace.parse(call.header("traceparent"), call.header("tracestate"))
        span = tracing.begin(call.method, caller, request_id=call.request_id)
        key = self._api_keys.key(call.header("authorization"))
        request = RequestContext(
            id=call.request_id,
            method=call.method,
            deadline=time.monotonic() + min(call.remaining_s, self._timeout_s),
            trace=span.trace,
            key=scope_of(key or "", ""),
            scope=scope_of(key or "", call.header(SCOPE)),
        )
        code, failed, bug = grpc.StatusCode.OK, None, None
        with context.serving(request):
            try:
                _check(call, key)
                request.check_deadline()
                yield request
            except (asyncio.CancelledError, GeneratorExit):
                # gRPC tells both in the same way. A caller that has waited to the end was not served.
                expired = request.remaining_s < _EXPIRING_S
                code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
                raise
            except Exception as cause:  # noqa: BLE001 - none is lost: it goes on as a status, and a bug into the log
                failed = as_service_error(cause)
                code = failed.code
                bug = cause if isinstance(failed, Internal) else None
                call.refuse(failed)
                raise failed from None
            finally:
                self._count(call.door, {failed.label if failed else code.name: 1})
                self._count(call.door, call.refused_before)
                request.note(bytes={"in": call.bytes_in, "out": call.bytes_out})
                if code is grpc.StatusCode.OK or self._failures.admits(code.name):
                    _tell(request, code, failed, bug)
                span.end(code.name if code in _FAULTS else "")

    def _count(self, door: DoorName, ended: Mapping[str, int]) -> None:
        for label, count in ended.items():
            code, _, reason = label.partition("/")
            self._requests.labels(door=door, code=code).inc(count)
            if reason:
                self._exhausted.labels(door=door, reason=reason).inc(count)


def _check(call: Call[Any], key: str | None) -> None:
    if key is None:
        raise Unauthenticated(REFUSED)
    if call.asked != call.method:
        raise Unimplemented(f"{shown_name(call.asked)} is not served here")


def _tell_left_out(code: str, left_out: int) -> None:
    logger.warning("requests ended without a line of their own", extra={"code": code, "requests": left_out})


def _tell(request: RequestContext, code: grpc.StatusCode, failed: ServiceError | None, bug: Exception | None) -> None:
    """The one line about a request that has ended."""
    seconds = {"total": request.stages.total, **request.stages.seconds}
    fields = {
        "method": request.method,
        "code": code.name,
        "seconds": {stage: round(spent, 6) for stage, spent in seconds.items()},
        **request.facts,
    }
    if bug is not None:
        logger.error("request failed by a bug", exc_info=bug, extra=fields)
    elif failed is not None:
        logger.warning("request refused", extra={**fields, "detail": failed.message})
    else:
        logger.info("request finished", extra=fields)


def as_service_error(cause: Exception) -> ServiceError:
    """The status an exception from our own code, or from a deployment called over Ray, ends an RPC with."""
    if isinstance(cause, RayTaskError) and isinstance(cause.cause, Exception):
        cause = cause.cause
    if isinstance(cause, ServiceError):
        return cause
    if isinstance(cause, BackPressureError):
        return ResourceExhausted(NO_ROOM, reason="serve")
    if isinstance(cause, (DeploymentUnavailableError, RayActorError, WorkerCrashedError, OutOfMemoryError)):
        return Unavailable("a replica this request needs is not available; try again")
    return Internal("internal error; the service's log has the details")
