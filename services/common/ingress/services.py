"""The services of a port, and who may call them: decided before a request is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from heroserve.methods import Method
from services.common.api_keys import ApiKeys
from services.common.errors import ServiceError, Unimplemented
from services.common.grpc_call import REQUEST_ID, sane_id
from services.common.ingress.bytes_first import bytes_first
from services.common.ingress.callers import Callers
from services.common.ingress.door import Door, trailing
from services.common.ingress.health import Health
from services.common.ingress.readiness import Readiness
from services.common.ingress.refusals import Refusals
from services.common.quotas import Quotas
from services.common.shown import shown, shown_name

# What libraries add to the server after us, for everybody: reflection.
_LATER = "grpc."
# Of what Serve itself answers: whether its proxy runs. What it runs is for those with a key.
_OPEN = ("/ray.serve.RayServeAPIService/Healthz",)


class Services(grpc.GenericRpcHandler):
    """Finds the handler of an RPC by its name and metadata, as gRPC asks for it when those have arrived.

    Args:
        keys: callers must have one of them.
        quotas: what each of them may have, of all services of the port together.
        readiness: what health tells, to everybody.
        others: the server's handlers, the one that is made here among them, and those to come.

    Attributes:
        callers: of the port, and of whichever else the proxy has.
        refusals: by service.
    """

    def __init__(
        self, keys: ApiKeys, quotas: Quotas, readiness: Readiness, others: Sequence[Sequence[Any]] = ()
    ) -> None:
        self.refusals: dict[str, Refusals] = {}
        self.callers = Callers(keys, quotas)
        # Under the name that Serve reads to tell reflection what there is.
        self._method_handlers: dict[str, Door | grpc.RpcMethodHandler[Any, Any]] = {**Health(readiness).handlers()}
        self._open = {*self._method_handlers, *_OPEN}
        self._others = others
        for handler, *_ in others:
            # gRPC asks who came first, which is Serve.
            for path, method in handler._method_handlers.items():
                self._method_handlers[path] = bytes_first(method)
            handler._method_handlers = {}

    @classmethod
    def of(cls, server: Any, keys: ApiKeys, quotas: Quotas, readiness: Readiness) -> Services:
        """Those of a server of Serve's; the same ones if asked again."""
        for handler, *_ in server.generic_rpc_handlers:
            if isinstance(handler, cls):
                return handler
        services = cls(keys, quotas, readiness, server.generic_rpc_handlers)
        server.generic_rpc_handlers.append((services,))
        # gRPC's method, not that of Serve's server, which would put Serve's handlers in the place of ours.
        base: Any = super(type(server), server)
        base.add_generic_rpc_handlers((services,))
        # What libraries register by name as well would be asked before us.
        server.add_registered_method_handlers = lambda *_: None
        return services

    def add(self, method: Method[Any, Any], handler: Callable[..., Any]) -> None:
        """Answer one more method, with a handler of Serve's."""
        refusals = self.refusals.setdefault(method.service, Refusals())
        self._method_handlers[method.path] = Door(method, handler, refusals, self.callers.quotas)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        path = details.method or ""
        metadata = dict(details.invocation_metadata or ())
        if path in self._open:
            return self._found(path, "")
        for other, *_ in self._others if path.strip("/").startswith(_LATER) else ():
            if other is not self and (handler := other.service(details)) is not None:
                return bytes_first(handler)
        try:
            key = self.callers.admit(str(metadata.get("authorization", "")))
            if path not in self._method_handlers:
                raise Unimplemented(self._not_served(path))
        except ServiceError as error:
            service = path.strip("/").partition("/")[0]
            if service in self.refusals:
                self.refusals[service].add(error)
            return grpc.stream_stream_rpc_method_handler(_refusal(error, sane_id(metadata.get(REQUEST_ID))))
        return self._found(path, key)

    def _not_served(self, path: str) -> str:
        named = path.strip("/")
        if named and named not in self.refusals:
            return f"{shown_name(named)} is not served here, {' and '.join(self.refusals)} is"
        ours = [name.strip("/") for name, handler in self._method_handlers.items() if isinstance(handler, Door)]
        return f"{shown(path)} names no method; served here are {', '.join(ours)}"

    def _found(self, path: str, key: str) -> grpc.RpcMethodHandler[Any, Any] | None:
        found = self._method_handlers.get(path)
        return found.handler(key) if isinstance(found, Door) else found


def _refusal(error: ServiceError, request_id: str) -> Callable[[Any, Any], Awaitable[None]]:
    """A handler that reads nothing."""

    async def refuse(_: Any, context: Any) -> None:
        await context.send_initial_metadata(((REQUEST_ID, request_id),))
        context.set_trailing_metadata(trailing(request_id, error.retry_after_s))
        await context.abort(error.code, error.message)

    return refuse
