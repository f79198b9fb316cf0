"""The one way into every RPC handler: authentication, status mapping, request counts, logs."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.grpc_util import RayServegRPCContext

from services.common.errors import Internal, ResourceExhausted, ServiceError, Unauthenticated, Unavailable
from services.common.metrics import Counter

logger = logging.getLogger(__name__)

T = TypeVar("T")


class RpcGate:
    """Guards a service's handlers.

    Args:
        api_keys: accepted keys; none accepts every caller.
        requests: counter with a ``code`` label, one count an RPC.
    """

    def __init__(self, api_keys: tuple[str, ...], requests: Counter) -> None:
        self._api_keys = [key.encode() for key in api_keys]
        self._requests = requests

    async def unary(self, context: RayServegRPCContext, answer: Callable[[], Awaitable[T]], empty: T) -> T:
        """Answer a unary RPC; what fails ends it with its status.

        Serve logs two tracebacks for a handler that raises, whoever is to blame. The status set on
        ``context`` goes out with a returned message too, and the message then stays behind.
        """
        try:
            with self.guard(context):
                return await answer()
        except ServiceError:
            return empty

    @contextmanager
    def guard(self, context: RayServegRPCContext) -> Iterator[None]:
        """Run the body of an RPC; what fails ends it with its status, and is counted.

        Every failure leaves as a ServiceError, which Serve turns into the status set on ``context``. Bugs are
        logged with their traceback and told to the caller without it.
        """
        code = grpc.StatusCode.OK
        try:
            self._authenticate(context)
            yield
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as cause:
            error = as_service_error(cause)
            code = error.code
            context.set_code(error.code)
            context.set_details(error.message)
            if isinstance(error, Internal):
                logger.exception("request failed by a bug")
            raise error from None
        finally:
            self._requests.labels(code=code.name).inc()

    def _authenticate(self, context: RayServegRPCContext) -> None:
        if not self._api_keys:
            return
        sent = dict(context.invocation_metadata()).get("authorization", "")
        scheme, _, key = str(sent).partition(" ")
        if scheme.lower() != "bearer" or not any(hmac.compare_digest(key.encode(), k) for k in self._api_keys):
            raise Unauthenticated("authorization: send metadata 'authorization: Bearer <API key>' with a valid key")


def as_service_error(cause: Exception) -> ServiceError:
    """The status an exception from our own code, or from a deployment called over Ray, ends an RPC with."""
    if isinstance(cause, RayTaskError) and isinstance(cause.cause, Exception):
        cause = cause.cause
    if isinstance(cause, ServiceError):
        return cause
    if isinstance(cause, BackPressureError):
        return ResourceExhausted("too many requests are waiting; try again later")
    if isinstance(cause, (DeploymentUnavailableError, RayActorError, WorkerCrashedError, OutOfMemoryError)):
        return Unavailable("a replica this request needs is not available; try again")
    return Internal("internal error; the service's log has the details")
