"""What a handler may raise, and the gRPC status it becomes.

ServiceError
  InvalidArgument    the caller's request; names the field and the limit
  NotFound           an unknown image digest
  Unauthenticated    no API key, or a wrong one
  ResourceExhausted  overload: try again later
  DeadlineExceeded   the caller's deadline, or the service's own
  Unavailable        a service this one needs is out of reach: try again
  FailedPrecondition the service is set up so that this can't be done, now or later; says what to set
  Unimplemented      a method of another service
  Internal           a bug
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import grpc

# Why there is no room, for who keeps the service: a request would "wait" too long; the "line" is full, or full of its
# caller's own ("share"); the "proxy" has as many under way as replicas take, or Ray "serve" has; a "rate" or a
# "concurrency" is the API key's quota; too many new "images" wait; the "encoder" said so, or the "engine".
Reason = Literal["wait", "line", "share", "proxy", "serve", "rate", "concurrency", "images", "encoder", "engine"]
# By which of a service's two ports a request has come, and been refused.
DoorName = Literal["grpc", "http"]


# Where nothing more can be said of it.
NO_ROOM = "too many requests are waiting; try again later"


class ServiceError(Exception):
    """Base; carries the status its RPC ends with.

    Attributes:
        retry_after_s: when it is worth another try, in seconds; less than 0 for never, None where the caller may judge.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    retry_after_s: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def label(self) -> str:
        """What it is counted as: its status' name."""
        return self.code.name


class InvalidArgument(ServiceError):
    """``field`` is the request field at fault, as in the proto."""

    code = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type[InvalidArgument], tuple[str, str]]:
        return type(self), (self.field, self.problem)


class NotFound(ServiceError):
    code = grpc.StatusCode.NOT_FOUND


class Unauthenticated(ServiceError):
    code = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhausted(ServiceError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED

    # Whoever can't tell when there is room again says this much: a caller without a hint comes back too soon.
    def __init__(self, message: str, retry_after_s: float | None = 1.0, *, reason: Reason) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.reason: Reason = reason

    @property
    def label(self) -> str:
        """With the reason behind a slash."""
        return f"{self.code.name}/{self.reason}"

    def __reduce__(self) -> tuple[partial[ResourceExhausted], tuple[str, float | None]]:
        return partial(type(self), reason=self.reason), (self.message, self.retry_after_s)


class DeadlineExceeded(ServiceError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unavailable(ServiceError):
    code = grpc.StatusCode.UNAVAILABLE


class FailedPrecondition(ServiceError):
    code = grpc.StatusCode.FAILED_PRECONDITION


class Unimplemented(ServiceError):
    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(ServiceError):
    code = grpc.StatusCode.INTERNAL
