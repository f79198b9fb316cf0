"""An answer over HTTP on its way through the proxy: a replica's as it is, Serve's own words in ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.common.errors import NO_ROOM, DeadlineExceeded, Internal, ResourceExhausted, ServiceError, Unavailable
from services.common.http_call import REQUEST_ID, headers, told

if TYPE_CHECKING:
    from starlette.types import Message, Send

_STREAM = b"text/event-stream"
_OURS = (b"application/json", _STREAM)
_LOST = Unavailable("a replica died while it served this; try again")
_BUG = Internal("internal error; the service's log has the details")
_BACKPRESSURE = b"backpressure"
# Of what Serve says as much as tells what it is.
_HEARD = 4096


class HttpAnswer:
    """What Serve sends, changed where that is not from a replica's door.

    Args:
        send: to the caller.
        request_id: which every answer tells.

    Attributes:
        status: that the caller was told; 0 before.
        turned_away: Serve itself had no room for it.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self._to_caller = send
        self._request_id = request_id
        self._serve_says: int | None = None
        self._heard = b""
        self._streams = False
        self._ended = False
        self.status = 0
        self.turned_away = False

    async def send(self, message: Message) -> None:
        """For Serve to call."""
        if message["type"] == "http.response.start":
            named = dict(message["headers"])
            if not named.get(b"content-type", b"").startswith(_OURS):
                self._serve_says = message["status"]
                return
            self.status = message["status"]
            self._streams = named[b"content-type"].startswith(_STREAM)
            kept = [(name, value) for name, value in message["headers"] if name.lower() != REQUEST_ID.encode()]
            message = {**message, "headers": [*kept, (REQUEST_ID.encode(), self._request_id.encode())]}
        if self._serve_says is not None:
            self._heard = (self._heard + message.get("body", b""))[:_HEARD]
            return
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._ended = True
        await self._to_caller(message)

    async def end(self) -> None:
        """When Serve has sent all: tells what it would have told in its own words."""
        if self.status:
            if self._streams and not self._ended:
                _, body = told(_LOST)
                await self._to_caller({"type": "http.response.body", "body": b"data: " + body + b"\n\n"})
            return
        error = self._in_our_words()
        self.status = told(error)[0]
        await refuse(self._to_caller, error, self._request_id)

    def _in_our_words(self) -> ServiceError:
        if _BACKPRESSURE in self._heard.lower():
            self.turned_away = True
            return ResourceExhausted(NO_ROOM, reason="serve")
        if self._serve_says in (404, 503):
            return Unavailable("the service is starting, or a replica this request needs is not available; try again")
        if self._serve_says in (408, 504):
            return DeadlineExceeded("the deadline has passed")
        # Bugs are told by the gate: of who says nothing the process is gone.
        return _LOST if self._serve_says is None else _BUG


async def refuse(send: Send, error: ServiceError, request_id: str) -> None:
    """The whole answer to a request that is not served; whatever else a caller has sent is not read."""
    status, body = told(error)
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers(error, request_id), length]})
    await send({"type": "http.response.body", "body": body})
