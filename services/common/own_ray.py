"""A Ray that a service starts for itself listens on loopback alone, and asks for a token.

Who reaches Ray's ports and is let in runs any code, with our API keys in its environment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOOPBACK = "127.0.0.1"
# What RAY_ADDRESS says where a new one is to be started.
_NONE = ("", "local")

logger = logging.getLogger(__name__)


def close() -> None:
    """Before Ray is imported; nothing where RAY_ADDRESS names one that runs already."""
    if os.environ.get("RAY_ADDRESS", "local").strip() in _NONE:
        # Whoever asks for it hereafter finds that there is none to join.
        os.environ.pop("RAY_ADDRESS", None)
        # What Ray does on Windows and macOS: its node is 127.0.0.1, and its ports listen there.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Whatever is set: it makes itself a token.
        os.environ["RAY_AUTH_MODE"] = "token"
        # Ray's own is 15: whatever else runs on the machine would go before the replicas.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # How long a machine that is busy may take to start it; Ray's own is half a minute.
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "60")
        # Threads that wait for the rest of their pass sleep: spinning they would take cores from whoever computes.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def without_what_serves_clusters() -> Iterator[None]:
    """Have a Ray that is started within do without what one machine has no use for, and a start would wait for.

    The monitor asks a cloud for more machines. The dashboard's server, which is started without a dashboard too, tells
    Ray's makers how it is used. Neither has a setting.
    """
    from ray._private.node import Node

    left_out = {name: getattr(Node, name) for name in ("start_monitor", "start_api_server") if hasattr(Node, name)}
    if len(left_out) < 2:
        logger.debug("this Ray starts its processes in another way")
    for name in left_out:
        setattr(Node, name, lambda self, **options: None)
    try:
        yield
    finally:
        for name, method in left_out.items():
            setattr(Node, name, method)


def keep_replica_inside() -> None:
    """Have this replica listen for others on its node's address, where that is loopback.

    Serve opens a port of each replica on every address, for calls between deployments that we don't make over it. It
    asks for the token too. Called before the replica is ready, which is when Serve does that.
    """
    import ray
    from ray.serve._private import replica

    bind = getattr(replica, "add_port_to_grpc_server", None)
    if bind is None:
        logger.debug("this Ray Serve opens its replicas' ports in another way")
    elif ray.util.get_node_ip_address() == _LOOPBACK:  # type: ignore[no-untyped-call]

        def inside(server: Any, address: str) -> Any:
            return bind(server, address.replace("[::]", _LOOPBACK))

        replica.add_port_to_grpc_server = inside  # type: ignore[attr-defined]
