"""How Serve's proxies are set up; Serve calls ``configure`` in each before its servers start.

``node.set_environment`` names it in RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, and so does ``deploy/kubernetes``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from services.common.ingress import callers, pages
from services.common.ingress.front import API, Front
from services.common.ingress.http_door import HttpDoor
from services.common.ingress.readiness import HERE

logger = logging.getLogger(__name__)

# Connections that cost a proxy memory and a file each, and bring it nothing. A gRPC client notices none of this: it
# connects again with its next call.
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    # From the first byte to the end of HTTP/2's own greetings; gRPC's default is two minutes.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # No compression: thirty kilobytes of it become thirty megabytes, and neither pictures nor rows get smaller.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # Without a call. gRPC's default is for ever.
    ("grpc.max_connection_idle_ms", 120_000),
    # Whatever it does; calls under way end in peace. Other clients than the SDK thus find new proxies too.
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.max_connection_age_grace_ms", 3_600_000),
    # One whose other end is gone without a word.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The SDK pings as often during a call; by default two minutes would be the least, and the third ping the last.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
)


def configure() -> list[Any]:
    """Give the servers that are about to start our options; returns what stands before the HTTP proxy."""
    from ray.serve._private import constants
    from starlette.middleware import Middleware

    # The last one is asked first.
    door = Middleware(HttpDoor, callers=callers.HERE, prefix=API, route="/llm")
    front = [door, Middleware(Front, readiness=HERE, pages=_playground())]
    _bound_http()

    options = getattr(constants, "DEFAULT_GRPC_SERVER_OPTIONS", None)
    if not isinstance(options, list):
        logger.warning("this Ray Serve starts its gRPC server in another way: idle connections stay open")
        return front
    names = {name for name, _ in SERVER_OPTIONS}
    options[:] = [option for option in options if option[0] not in names] + list(SERVER_OPTIONS)
    return front


def _playground() -> dict[str, pages.Page]:
    """Of the LLM service, whose files these are; where they can't be read a proxy has other things to do."""
    # By name, as the route above: a proxy serves both services, and imports neither's code.
    folder = Path(__file__).resolve().parents[1] / "llm" / "doors" / "playground"
    try:
        return pages.from_env(folder, "/playground/")
    except OSError as error:
        logger.warning("the Playground's files can't be read, and it is not served: %s", error)
        return {}


def _bound_http() -> None:
    """Have uvicorn, which Serve gives no choice, take our connections where it would take its own."""
    try:
        from uvicorn import config

        from services.common.ingress.http_connection import HttpConnection
    except ImportError as error:
        logger.warning("this Ray Serve has another HTTP server: connections to it are not bounded (%s)", error)
        return
    protocols = getattr(config, "HTTP_PROTOCOLS", None)
    if not isinstance(protocols, dict) or "auto" not in protocols:
        logger.warning("this uvicorn chooses its connections in another way: those to the HTTP port are not bounded")
        return
    protocols["auto"] = f"{HttpConnection.__module__}:{HttpConnection.__name__}"
