"""In front of an application's HTTP side: as ``door`` is for an RPC, and with the same callers."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from services.common.errors import NO_ROOM, InvalidArgument, ResourceExhausted, ServiceError, Unavailable
from services.common.grpc_call import DEADLINE, REFUSED, sane_id, spell_refused
from services.common.http_call import REQUEST_ID, TIMEOUT
from services.common.ingress import cross_site, http_body
from services.common.ingress.callers import Here
from services.common.ingress.http_answer import HttpAnswer, refuse
from services.common.ingress.in_flight import InFlightLimit
from services.common.ingress.refusals import Refusals
from services.common.scope import HEADER as SCOPE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# What only the proxy may say.
_OURS = {name.encode() for name in (REQUEST_ID, DEADLINE, REFUSED, TIMEOUT)}
# What Serve itself takes from whoever sends it: no caller may keep a replica at work that he has left.
_SERVES = (b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve_")


class HttpDoor:
    """Before Serve's proxy, for paths that ``Front`` lets through.

    Args:
        app: Serve's.
        callers: of this proxy, when there is a service for any.
        prefix: of the paths that callers write.
        route: of the application, which Serve finds it by.
    """

    def __init__(self, app: ASGIApp, callers: Here, prefix: str, route: str) -> None:
        self._app = app
        self._callers = callers
        self._prefix = prefix
        self._route = route
        self._refusals = Refusals()
        self._in_flight = InFlightLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = sane_id(named.get(REQUEST_ID))
        path: tuple[str, str] | None = None
        patience_s, answer, arrived = math.inf, None, time.time()
        try:
            with contextlib.ExitStack() as held:
                if (callers := self._callers.callers) is None:
                    raise Unavailable("the service is starting; try again")
                if not callers.keys.asked:
                    cross_site.check(scope["method"], named)
                key = callers.admit(named.get("authorization", ""))
                # Quotas first: a body of any size is read for nobody who has used up his own.
                held.enter_context(callers.quotas.under_way(key))
                patience_s = _patience(named.get(TIMEOUT, ""))
                http_body.check_plain(scope["headers"])
                http_body.check_length(named.get("content-length", ""))
                # Whole, as gRPC's messages come: a caller that sends a byte a second holds no place in a replica.
                body = await http_body.read(receive, patience_s)
                if body is None:
                    return
                entering = key, named.get(SCOPE, "")
                if not self._in_flight.enter(entering, patience_s):
                    raise ResourceExhausted(NO_ROOM, reason="proxy")
                path = entering
                answer = HttpAnswer(send, request_id)
                await self._forward(scope, http_body.again(body, receive), answer, request_id, arrived + patience_s)
                await answer.end()
        except ServiceError as error:
            self._refusals.add(error)
            await refuse(send, error, request_id)
        finally:
            if path is not None:
                full = answer is not None and answer.status == 429
                self._in_flight.leave(path, patience_s, refused=full)

    async def _forward(
        self, scope: Scope, receive: Receive, answer: HttpAnswer, request_id: str, deadline: float
    ) -> None:
        told = self._refusals.hand_over()
        ours = {REQUEST_ID: request_id, REFUSED: spell_refused(told)}
        if deadline < math.inf:
            ours[DEADLINE] = f"{deadline:.6f}"
        sent = [pair for pair in scope["headers"] if pair[0] not in _OURS and not pair[0].startswith(_SERVES)]
        forwarded: dict[str, Any] = {
            **scope,
            "path": self._route + scope["path"],
            "raw_path": self._route.encode() + scope.get("raw_path", scope["path"].encode()),
            "headers": sent + [(name.encode(), value.encode()) for name, value in ours.items() if value],
        }
        await self._app(forwarded, receive, answer.send)
        if answer.turned_away:
            self._refusals.turned_away(told)


def _patience(said: str) -> float:
    if not said:
        return math.inf
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidArgument(TIMEOUT, f"is {said[:40]!r}; it must be a number of seconds above 0")
    return seconds
