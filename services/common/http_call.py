"""A request over HTTP as the gate sees it: what its headers say, in one place; and how it is told what went wrong."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping
from typing import Any

import grpc

from services.common.errors import DoorName, InvalidArgument, ServiceError
from services.common.grpc_call import DEADLINE, REFUSED, read_refused, sane_id
from services.common.shown import one_line

REQUEST_ID = "x-request-id"
# How long a caller waits, in seconds: HTTP has no header for it.
TIMEOUT = "heroserve-timeout"

# Status, and OpenAI's names for the type and the code of an error.
_TOLD: dict[grpc.StatusCode, tuple[int, str, str | None]] = {
    grpc.StatusCode.INVALID_ARGUMENT: (400, "invalid_request_error", None),
    grpc.StatusCode.UNAUTHENTICATED: (401, "authentication_error", "invalid_api_key"),
    grpc.StatusCode.NOT_FOUND: (404, "invalid_request_error", "not_found"),
    grpc.StatusCode.UNIMPLEMENTED: (404, "invalid_request_error", "unknown_url"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "rate_limit_error", "rate_limit_exceeded"),
    grpc.StatusCode.FAILED_PRECONDITION: (500, "server_error", "failed_precondition"),
    grpc.StatusCode.UNAVAILABLE: (503, "server_error", "unavailable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (504, "timeout_error", "deadline_exceeded"),
}
_BUG = (500, "server_error", "internal")


class HttpCall:
    """One request.

    Args:
        method: what the logs call it.
        headers: of the request, by names in lower case.
        size: bytes of its body.
    """

    def __init__(self, method: str, headers: Mapping[str, str], size: int) -> None:
        self.door: DoorName = "http"
        self.method = self.asked = method
        self.bytes_in = size
        self.bytes_out = 0
        self._headers = headers
        self.request_id = sane_id(headers.get(REQUEST_ID))

    @property
    def remaining_s(self) -> float:
        """Seconds that the caller still waits; infinite if it did not say."""
        try:
            deadline = float(self.header(DEADLINE))
        except ValueError:
            return math.inf
        return math.inf if math.isnan(deadline) else deadline - time.time()

    @property
    def refused_before(self) -> dict[str, int]:
        """Requests that the proxy refused since it let the last one through, by ``ServiceError.label``."""
        return read_refused(self.header(REFUSED))

    def header(self, name: str) -> str:
        """What the caller sent under this name, in lower case; empty if nothing."""
        return self._headers.get(name, "")

    def answered(self, message: bytes) -> bytes:
        """The message, which is on its way to the caller."""
        self.bytes_out += len(message)
        return message

    def refuse(self, error: ServiceError) -> None:
        """Nothing: its door tells it."""


class HttpError(ServiceError):
    """A refusal with a status and a code of HTTP's or OpenAI's own.

    Args:
        status: of the answer.
        error_code: what clients go by.
        param: what of the request is wrong; empty for none of it.
        problem: what is wrong with it.
        named: headers of the answer, by their names in lower case with ``_`` for ``-``.
    """

    code = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(self, status: int, error_code: str, param: str, problem: str, **named: str) -> None:
        super().__init__(f"{param}: {problem}" if param else problem)
        self.status = status
        self.error_code = error_code
        self.param = param
        self.named = named


def unknown_url(scope: Mapping[str, Any], served: str, methods: Collection[str] | None = None) -> HttpError:
    """A refusal of a path, or of a method where the path has others.

    Args:
        scope: of the request, as ASGI has it.
        served: what is, to stand behind a semicolon.
        methods: that the path has; None if nothing is served there.
    """
    # As the caller wrote it, without the application's own.
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    what = one_line(f"{scope['method']} {path}", 120)
    problem = f"{what} is not served here; {served}"
    if methods is None:
        return HttpError(404, "unknown_url", "", problem)
    return HttpError(405, "unknown_url", "", problem, allow=", ".join(methods))


def told(error: ServiceError) -> tuple[int, bytes]:
    """Status and body of an error, as OpenAI's API has them."""
    status, kind, code = _TOLD.get(error.code, _BUG)
    param = error.field if isinstance(error, InvalidArgument) else None
    if isinstance(error, HttpError):
        status, code, param = error.status, error.error_code, error.param or None
    message = {"message": error.message, "type": kind, "param": param, "code": code}
    return status, json.dumps({"error": message}, separators=(",", ":")).encode()


def headers(error: ServiceError, request_id: str) -> list[tuple[bytes, bytes]]:
    """Those of a response that tells an error."""
    found = [(REQUEST_ID.encode(), request_id.encode()), (b"content-type", b"application/json")]
    if error.code is grpc.StatusCode.UNAUTHENTICATED:
        found.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, HttpError):
        found += [(name.replace("_", "-").encode(), value.encode()) for name, value in error.named.items()]
    again_s = error.retry_after_s
    if error.code is grpc.StatusCode.FAILED_PRECONDITION or (again_s is not None and again_s < 0):
        # OpenAI's clients try again behind every 5xx that says no more.
        found.append((b"x-should-retry", b"false"))
    elif again_s is not None:
        # A whole number is all that the first may have, and OpenAI's clients look for the second.
        found.append((b"retry-after", str(math.ceil(again_s)).encode()))
        found.append((b"retry-after-ms", str(math.ceil(again_s * 1000)).encode()))
    return found
