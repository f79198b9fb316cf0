"""Everything that can go wrong in a call, as one tree:

HeroserveError
├── InvalidArgument       what was sent is wrong; the message names the field and its limit
│   └── ArgumentError     an argument that no request can be made of; it is a ValueError and a TypeError too
│       └── ImageError    an image that cannot be sent at all: missing, unreadable, empty, too large, not a file
├── NotFound              no such thing there, e.g. an image digest the encoder has not cached
├── ResourceExhausted     overload: the service refuses more work (a tenth is retried)
├── Unauthenticated       no API key, or a wrong one
├── PermissionDenied      a good key that may not do this
├── DeadlineExceeded      not done within `timeout_s`
├── Unavailable           nobody reachable there, or the service lost its encoder (retried)
├── Cancelled             cancelled by this client, or by the service
├── Unimplemented         the service is older than this client, or not heroserve at all
├── FailedPrecondition    the service is not in a state to do this
└── Internal              a bug in the service; also every status that has no class of its own
"""

from __future__ import annotations

import grpc


class HeroserveError(Exception):
    """A call that did not succeed.

    Attributes:
        code: the gRPC status; for an error found before anything was sent, the one that fits it.
        details: what happened, for people; also `str(error)`.
        request_id: what the service's logs call this request; empty when nothing was sent.
        retry_after_s: when the service wants to be asked again, in seconds; less than 0 for never, None if it did not
            say.
    """

    default_code = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        details: str = "",
        *,
        code: grpc.StatusCode | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(details)
        self.details = details
        self.code = code or self.default_code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class InvalidArgument(HeroserveError):
    """What was sent is wrong; the message names the field and its limit."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class ArgumentError(InvalidArgument, ValueError, TypeError):
    """An argument that no request can be made of: of a wrong type, or what its field can't hold."""


class ImageError(ArgumentError):
    """An image that cannot be sent at all: missing, unreadable, empty, too large, not a file."""


class NotFound(HeroserveError):
    """No such thing there, e.g. an image digest the encoder has not cached."""

    default_code = grpc.StatusCode.NOT_FOUND


class ResourceExhausted(HeroserveError):
    """Overload: the service refuses more work."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unauthenticated(HeroserveError):
    """No API key, or a wrong one."""

    default_code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(HeroserveError):
    """A good API key that may not do this."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class DeadlineExceeded(HeroserveError):
    """Not done within `timeout_s`."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unavailable(HeroserveError):
    """Nobody reachable there, or the service lost its encoder."""

    default_code = grpc.StatusCode.UNAVAILABLE


class Cancelled(HeroserveError):
    """Cancelled by this client, or by the service."""

    default_code = grpc.StatusCode.CANCELLED


class Unimplemented(HeroserveError):
    """The service is older than this client, or not heroserve at all."""

    default_code = grpc.StatusCode.UNIMPLEMENTED


class FailedPrecondition(HeroserveError):
    """The service is not in a state to do this."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class Internal(HeroserveError):
    """A bug in the service; also every status that has no class of its own."""

    default_code = grpc.StatusCode.INTERNAL


# Every status but OK, spelled out: the services send none of those that have no class of their own.
EXCEPTIONS: dict[grpc.StatusCode, type[HeroserveError]] = {
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNKNOWN: Internal,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Internal,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Internal,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DATA_LOSS: Internal,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
}


def from_status(
    code: grpc.StatusCode, details: str | None, request_id: str = "", retry_after_s: float | None = None
) -> HeroserveError:
    """The exception of a failed RPC; `code` is anything but OK."""
    return EXCEPTIONS[code](details or code.value[1], code=code, request_id=request_id, retry_after_s=retry_after_s)
