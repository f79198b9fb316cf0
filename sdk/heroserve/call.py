"""One call's life between the arguments and the outcome, free of input and output.

The synchronous and the asynchronous client differ only in how they wait; what to send, for how long, whether
to try again and which exception to raise is decided here, once for every RPC.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable
from typing import Generic

import grpc
from google.protobuf.message import Message

from heroserve import failure as failures
from heroserve import ray_serve
from heroserve.digests import SentImages, digest_of, images_of
from heroserve.errors import HeroserveError, InvalidArgument, NotFound, from_status
from heroserve.limits import MAX_MESSAGE_BYTES
from heroserve.methods import Request
from heroserve.retry import Retries
from heroserve.terms import SCOPE
from heroserve.v1.encoder_pb2 import EncodeChunk, VisualTokens

# gRPC's own words on either side; it reports this as RESOURCE_EXHAUSTED, which elsewhere means overload.
_TOO_LARGE = "message larger than max"
_RESPONSE = "CLIENT: Received"
# What gRPC can say; a service's own limit comes first.
_FOREVER_S = 86_400.0 * 365


class Call(Generic[Request]):
    """What to send next, and what to make of how it went.

    Args:
        place: where it goes, as a failure shows it.

    Attributes:
        request: the message of the next attempt.
        metadata: sent with every attempt.
        request_id: the same for every attempt.
    """

    def __init__(
        self,
        route: tuple[str, str],
        request: Request,
        *,
        timeout_s: float,
        retries: Retries,
        api_key: str | None,
        sent: SentImages,
        place: str = "",
        request_id: str = "",
        trace: Iterable[tuple[str, str]] = (),
    ) -> None:
        if math.isnan(timeout_s):
            raise ValueError("timeout_s must be a number of seconds, not nan")
        self._deadline = time.monotonic() + min(timeout_s, _FOREVER_S)
        self._retries = retries
        self._place = place
        self._sent = sent
        headers = dict(trace)
        self._absent = ""
        self._answered = False
        self.request_id = request_id or uuid.uuid4().hex
        self.metadata: tuple[tuple[str, str], ...] = (
            route,
            ("request_id", self.request_id),
            *headers.items(),
        )
        if api_key:
            self.metadata += (("authorization", f"Bearer {api_key}"),)
        self._full = request
        self._digests = [digest_of(image) for image in images_of(request)]
        # A service that knows them in one scope says in another that it doesn't, as of pictures that nobody has sent.
        self._names = [headers.get(SCOPE, "") + digest for digest in self._digests]
        self.request = self._without_known_images()

    def start(self) -> float:
        """Seconds the next attempt may take: what is left of the deadline, which all attempts share.

        Raises InvalidArgument for a request that gRPC would not send.
        """
        size = self.request.ByteSize()
        if size > MAX_MESSAGE_BYTES:
            raise InvalidArgument(
                f"image.data: the request with it has {size} bytes; at most {MAX_MESSAGE_BYTES} can be sent"
            )
        return self._remaining_s()

    def succeeded(self, response: Message) -> None:
        """A response arrived: the images are there now, and from here on nothing may be sent twice."""
        if not self._answered:
            self._answered = True
            tokens = response.tokens if isinstance(response, EncodeChunk) else response
            # What went by the cache is not there: a digest would only cost a round trip.
            if not (isinstance(tokens, VisualTokens) and tokens.cache == VisualTokens.BYPASS):
                self._sent.remember(self._names)

    def failed(self, failure: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt; raises the call's exception when there is none."""
        error = self.exception(failure)
        if self._answered:
            raise error from failure
        if isinstance(error, NotFound) and self.request is not self._full:
            self._sent.forget(self._names)
            self.request = self._full
            return 0.0
        setback = failures.setback_of(failure.code(), failure.details() or "")
        if setback is None or _TOO_LARGE in error.details:
            raise error from failure
        pause_s = self._retries.pause_s(setback, self._remaining_s(), error.retry_after_s)
        if pause_s is None:
            raise error from failure
        self._absent = error.details if setback == "absent" else ""
        return pause_s

    def exception(self, failure: grpc.RpcError) -> HeroserveError:
        """The exception for a failed RPC."""
        details = failure.details() or ""
        if _TOO_LARGE in details and _RESPONSE not in details:
            return InvalidArgument(f"image.data: {details}", request_id=self.request_id)
        if reason := ray_serve.unavailable(failure.code(), details):
            return from_status(grpc.StatusCode.UNAVAILABLE, reason, self.request_id)
        if self._place and failures.setback_of(failure.code(), details) == "absent":
            details = failures.nobody(self._place, details)
        if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED and self._absent:
            details = f"{details}; the attempt before it: {self._absent}"
        return from_status(failure.code(), details, self.request_id, failures.hint_s(failure))

    def _remaining_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _without_known_images(self) -> Request:
        """The request with digests for the images the service has; the request itself if it has none."""
        if not any(name in self._sent for name in self._names):
            return self._full
        slim = type(self._full)()
        slim.CopyFrom(self._full)
        for image, digest, name in zip(images_of(slim), self._digests, self._names, strict=True):
            if name in self._sent:
                image.digest = digest
        return self._full if slim == self._full else slim
