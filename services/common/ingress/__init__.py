"""Our part of Ray Serve's gRPC proxy: what ``grpc_servicer_functions`` of a Serve config names.

Serve calls these in the proxy's own process, and makes handlers that hand a request to a replica. What a replica can't
do, or would do too late, is done around them: a key is checked before a request is read, and its size in parts before
it is parsed; quotas of a key are counted, and what the replicas would refuse under overload is refused, here, where it
costs the least; each RPC's id
goes back in the initial metadata, the time of its deadline and its whole name go to the replica; no traceback of Ray's
goes to a caller. A port answers for the services that are added to it, and says so to who asks for another. Canaries
find out all the time whether their applications answer, for ``grpc.health.v1`` and for ``/readyz``.

Where a config names the stubs' own functions instead, the replica makes an id if the caller sent none, knows of no
deadline but its own, and the proxy writes its tracebacks.
"""

from __future__ import annotations

import logging
from typing import Any

from heroserve import methods
from heroserve.v1.chat_pb2_grpc import add_VisionChatServicer_to_server
from heroserve.v1.encoder_pb2_grpc import add_VisionEncoderServicer_to_server
from services.common import api_keys, logs
from services.common.api_keys import ApiKeys
from services.common.ingress import callers
from services.common.ingress.readiness import HERE
from services.common.ingress.services import Services
from services.common.quotas import Quotas

logger = logging.getLogger(__name__)


def add_encoder(servicer: Any, server: Any) -> None:
    """``heroserve.v1.VisionEncoder`` on a proxy, for the application "encoder"."""
    served = (methods.ENCODE, methods.ENCODE_STREAM, methods.DESCRIBE_ENCODER)
    _add("encoder", served, add_VisionEncoderServicer_to_server, servicer, server)


def add_chat(servicer: Any, server: Any) -> None:
    """``heroserve.v1.VisionChat`` on a proxy, for the application "llm"."""
    _add("llm", (methods.GENERATE, methods.DESCRIBE), add_VisionChatServicer_to_server, servicer, server)


def _add(
    application: str, served: tuple[methods.Method[Any, Any], ...], stubs: Any, servicer: Any, server: Any
) -> None:
    logs.quiet_refusals()
    if not hasattr(server, "service_handler_factory") or not hasattr(server, "generic_rpc_handlers"):
        logger.warning("this Ray Serve makes its handlers in another way: ids and deadlines stay with the replicas")
        stubs(servicer, server)
        return
    # The environment's, where a replica goes by its application's settings: ``deployment.settings`` holds them alike.
    services = Services.of(server, ApiKeys(api_keys.from_env()), Quotas.from_env(), HERE)
    callers.HERE.callers = services.callers
    for method in served:
        kind = "unary_stream" if method.streams else "unary_unary"
        services.add(method, server.service_handler_factory(method.path, kind))
    proxy = getattr(server.service_handler_factory, "__self__", None)
    if hasattr(proxy, "proxy_router"):
        HERE.watch(served[0].service, application, proxy)
    else:
        logger.warning("this Ray Serve keeps its replicas in another way: health says that nothing is ready")
