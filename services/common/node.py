"""Run one service on this machine: ``python -m services.encoder``, ``python -m services.llm``."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.common import logs, metrics
from services.common.settings import SettingError, Settings

if TYPE_CHECKING:
    from ray.serve import Application

# What travels in one message, both ways: an image, or every feature of one. Ray's own limit is 2 GiB.
_MAX_MESSAGE_BYTES = 64 << 20
_OBJECT_STORE_BYTES = 256 << 20

logger = logging.getLogger(__name__)


def main(read: Callable[[], Settings], build: Callable[[], Application], servicer: str) -> None:
    """Start the service and stay until SIGTERM or SIGINT; then let requests finish, and stop.

    Args:
        read: its settings.
        build: its Ray Serve application; imported by now, but built after the environment is set.
        servicer: import path of the function that adds it to a gRPC server.
    """
    try:
        settings = read()
        _check_ports(settings)
        _serve(settings, build, servicer)
    except SettingError as error:
        sys.exit(f"heroserve: {error}")


def _serve(settings: Settings, build: Callable[[], Application], servicer: str) -> None:
    import ray
    from ray import serve
    from ray.serve.schema import LoggingConfig

    logs.configure(settings.log_level)
    metrics.prepare(settings.metrics_dir)
    # Serve tells of every request and every scaling step; our own modules log what matters.
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
    address = os.environ.get("RAY_ADDRESS")
    ray.init(
        address=address or "local",
        namespace="heroserve",
        include_dashboard=None if address else False,
        object_store_memory=None if address else _OBJECT_STORE_BYTES,
        logging_level=logging.WARNING,
    )
    stop = threading.Event()
    # Not earlier: Ray puts in handlers of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve.start(
            proxy_location="EveryNode",
            http_options={"host": settings.host, "port": settings.http_port},
            grpc_options={
                "port": settings.grpc_port,
                "grpc_servicer_functions": [servicer],
                "request_timeout_s": settings.request_timeout_s,
            },
            logging_config=quiet,
        )
        serve.run(build(), name=settings.name, route_prefix=f"/{settings.name}", logging_config=quiet)
        logger.info(
            "%s is ready: gRPC on port %d, health at http://%s:%d/-/healthz, metrics at http://%s:%d/metrics",
            settings.name,
            settings.grpc_port,
            *(_reachable(settings.host), settings.http_port),
            *(_reachable(settings.host), settings.metrics_port),
        )
        stop.wait()
        logger.info("%s is stopping: requests under way may finish", settings.name)
        serve.delete(settings.name)
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()
    logger.info("%s has stopped", settings.name)


def set_environment() -> None:
    """What Ray reads when it is imported or starts its processes; a value that is set already stays."""
    for variable, value in {
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(_MAX_MESSAGE_BYTES),
        "RAY_USAGE_STATS_ENABLED": "0",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }.items():
        os.environ.setdefault(variable, value)


def _check_ports(settings: Settings) -> None:
    """Raises:
    SettingError: another process listens on one of them.
    """
    for variable, number in (
        ("HEROSERVE_GRPC_PORT", settings.grpc_port),
        ("HEROSERVE_HTTP_PORT", settings.http_port),
        ("HEROSERVE_METRICS_PORT", settings.metrics_port),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", number))
            except OSError as error:
                raise SettingError(f"{variable}={number}: the port can't be used ({error.strerror})") from error


def _reachable(host: str) -> str:
    return "localhost" if host in ("0.0.0.0", "::") else host
