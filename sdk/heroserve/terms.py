"""What a caller says about one call, beside the request itself."""

from __future__ import annotations

import re
import reprlib
import uuid
from collections.abc import Mapping
from typing import TypedDict

from heroserve.errors import ArgumentError

# Printable ASCII: it travels in a header, and stands in a line of a log.
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_TRACE_KEY = re.compile(r"[a-z0-9_.-]+")
_TRACE_VALUE = re.compile(r"[ -~]*")
# Metadata that says for whom, of a caller's own users, a call is made: services keep what is theirs apart.
SCOPE = "heroserve-scope"
# Ours to send, or gRPC's.
_TAKEN = re.compile(r"application|request_id|authorization|content-type|user-agent|te|grpc-.*|.*-bin")
# Whatever was handed in, which may be a whole picture.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class CallOptions(TypedDict, total=False):
    """What every method that calls a service takes, beside what it asks for.

    Keys:
        timeout_s: seconds the call may take, retries and their pauses included; None takes the client's.
        request_id: what the services' logs shall call it, 1 to 128 printable ASCII characters without spaces;
            None makes one up.
        trace: headers of the trace that it is part of, for the services to go on with: W3C's `traceparent`,
            `tracestate` and `baggage`, or what another propagator injects. `heroserve-scope` may be among them: who
            calls for users of his own says by it which of them share what is cached of their images.
    """

    timeout_s: float | None
    request_id: str | None
    trace: Mapping[str, str] | None


class Terms:
    """One call's options, checked. Raises ArgumentError for what can't be sent.

    Attributes:
        timeout_s: as in `CallOptions`.
        request_id: the caller's, or a new one.
        trace: the headers to send.
    """

    def __init__(
        self, timeout_s: float | None = None, request_id: str | None = None, trace: Mapping[str, str] | None = None
    ) -> None:
        if request_id is not None and not (isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id)):
            raise ArgumentError(
                f"request_id must be 1 to 128 printable ASCII characters, no space, not {_SHORT.repr(request_id)}"
            )
        if not isinstance(trace, Mapping | None):
            raise ArgumentError(f"trace must be a mapping of a trace's headers, not {type(trace).__name__}")
        self.timeout_s = timeout_s
        self.request_id = request_id or uuid.uuid4().hex
        self.trace: dict[str, str] = {}
        for name, value in (trace or {}).items():
            key = name.lower() if isinstance(name, str) else ""
            fits = _TRACE_KEY.fullmatch(key) and isinstance(value, str) and _TRACE_VALUE.fullmatch(value)
            if not fits or _TAKEN.fullmatch(key):
                raise ArgumentError(f"trace must hold a trace's headers, not {_SHORT.repr(name)}: {_SHORT.repr(value)}")
            self.trace[key] = value
