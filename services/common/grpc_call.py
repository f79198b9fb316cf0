"""An RPC as the gate sees it: what gRPC and Ray Serve say in metadata and statuses, in one place."""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from google.protobuf.message import Message

from services.common.errors import DoorName, ServiceError

if TYPE_CHECKING:
    from ray.serve.grpc_util import RayServegRPCContext

M = TypeVar("M", bound=Message)

REQUEST_ID = "request_id"
# When the caller stops waiting, in seconds of Unix time: Serve's own context does not tell its replicas.
DEADLINE = "heroserve-deadline"
# What the proxy has refused since the last request that it let through: it has no metrics of its own.
REFUSED = "heroserve-refused"
# gRPC's own name for it: after how many milliseconds to try again, less than 0 for never.
PUSHBACK = "grpc-retry-pushback-ms"
# What the caller called: Serve finds a handler by a method's name alone, whichever service it is of.
METHOD = "heroserve-method"
# What the SDK takes too: it stands in headers and in lines of logs.
_REFUSALS = re.compile(r"\b([A-Z_]+(?:/[a-z]+)?)=(\d{1,9})\b")
_ID = re.compile(r"[!-~]{1,128}")


def sane_id(sent: object) -> str:
    """A caller's id for its request, or a new one where it has none that could stand in a log."""
    return sent if isinstance(sent, str) and _ID.fullmatch(sent) else uuid.uuid4().hex


def spell_refused(refusals: Mapping[str, int]) -> str:
    """Requests by ``ServiceError.label``, as ``GrpcCall.refused_before`` reads them."""
    return " ".join(f"{label}={count}" for label, count in refusals.items())


def read_refused(spelt: str) -> dict[str, int]:
    """What ``spell_refused`` has written."""
    return {label: int(count) for label, count in _REFUSALS.findall(spelt)}


def pushback(seconds: float) -> str:
    """A hint when to try again, as gRPC spells it."""
    return "-1" if seconds < 0 else str(round(seconds * 1000))


class Sent:
    """A message that nobody changes any more, as bytes: Serve asks for those and for nothing else of it.

    To learn a message's size is to serialise it, and Serve would do that again.
    """

    def __init__(self, message: Message) -> None:
        self._data = message.SerializeToString()

    def SerializeToString(self) -> bytes:
        return self._data


class GrpcCall:
    """One RPC.

    Args:
        method: ``package.Service/Method``.
        context: Serve's, of this RPC.
        request: its message.
    """

    def __init__(self, method: str, context: RayServegRPCContext, request: Message) -> None:
        self.door: DoorName = "grpc"
        self.method = method.strip("/")
        self.bytes_in = request.ByteSize()
        self.bytes_out = 0
        self._context = context
        # Of a name that comes twice the last one counts, as with Ray.
        self._metadata = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        self.request_id = sane_id(self._metadata.get(REQUEST_ID))

    @property
    def asked(self) -> str:
        """What the caller called, as ``method``; a proxy of another make does not tell."""
        return self._metadata.get(METHOD, self.method).strip("/")

    @property
    def remaining_s(self) -> float:
        """Seconds that the caller still waits; infinite if it did not say, or a proxy of another make did not tell."""
        try:
            deadline = float(self._metadata.get(DEADLINE, ""))
        except ValueError:
            return math.inf
        return math.inf if math.isnan(deadline) else deadline - time.time()

    @property
    def refused_before(self) -> dict[str, int]:
        """Requests that the proxy refused since it let the last one through, by ``ServiceError.label``."""
        return read_refused(self._metadata.get(REFUSED, ""))

    def header(self, name: str) -> str:
        """What the caller sent under this name, in lower case; empty if nothing."""
        return self._metadata.get(name, "")

    def answered(self, message: M) -> M:
        """The message, which is on its way to the caller; in the form of ``Sent``."""
        sent = Sent(message)
        self.bytes_out += len(sent.SerializeToString())
        return cast("M", sent)

    def refuse(self, error: ServiceError) -> None:
        """End it with this status."""
        self._context.set_code(error.code)
        self._context.set_details(error.message)
        if error.retry_after_s is not None:
            self._context.set_trailing_metadata([(PUSHBACK, pushback(error.retry_after_s))])
