"""A Ray with Serve of a benchmark's own, in this process, and a Redis beside it.

Whoever imports this has set its environment (``node.set_environment``): Ray reads that as it is imported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import serve

from scripts.redis_server import RedisServer, free_port
from services.common import node


@dataclass(frozen=True)
class OwnServe:
    """Args:
    folder: for checkpoints, metrics and Redis; it goes with them.
    redis: that has been started.
    port: of Serve's gRPC proxy, on this machine.
    """

    folder: Path
    redis: RedisServer
    port: int


@contextmanager
def own_serve(cores: int, object_store_mib: int = 256) -> Iterator[OwnServe]:
    """All of it until the block is left.

    Args:
        cores: that Ray is told of; more than there are, where all is to be placed.
        object_store_mib: of Ray's object store.
    """
    with tempfile.TemporaryDirectory(prefix="heroserve-") as name:
        own = OwnServe(Path(name), RedisServer(free_port(), Path(name)), free_port())
        own.redis.start()
        ray.init(
            address="local",
            num_cpus=cores,
            include_dashboard=False,
            object_store_memory=object_store_mib << 20,
            log_to_driver=False,
        )
        try:
            serve.start(
                http_options={"host": "127.0.0.1", "port": free_port()},
                grpc_options={"port": own.port, "grpc_servicer_functions": list(node.SERVICERS.values())},
            )
            yield own
        finally:
            serve.shutdown()  # type: ignore[no-untyped-call]
            ray.shutdown()
            own.redis.stop()
