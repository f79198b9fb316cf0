"""What tiles cost on their way to the tower, and rows on their way back: over Ray's object store, and over gRPC.

    python -m benchmarks.hop.tiles [--requests N] [--rounds N]

Ten tiles of 336 x 336 go to a replica that answers with rows it has ready, of 5760 tokens by 1024 values in float32.
Rounds of both take turns, one request at a time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

from services.common import node

node.set_environment()
# Ray's own is 4 MiB.
os.environ["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"] = str(64 << 20)

import numpy as np  # noqa: E402
import ray  # noqa: E402
from ray import serve  # noqa: E402
from ray.serve.handle import DeploymentHandle  # noqa: E402

TILES = (10, 3, 336, 336)
ROWS = (5760, 4096)
WAYS = {"object store": True, "gRPC": False}


class Ready:
    """A tower that has its rows."""

    def __init__(self) -> None:
        self._rows = np.zeros(ROWS, np.uint8)

    async def rank(self, tiles: np.ndarray[Any, Any]) -> AsyncIterator[np.ndarray[Any, Any] | None]:
        yield None
        yield self._rows


class Asks:
    """The encoder's ingress."""

    def __init__(self, tower: DeploymentHandle[Any]) -> None:
        self._tower = tower
        self._tiles = np.zeros(TILES, np.uint8)

    async def measure(self, by_reference: bool, requests: int) -> list[float]:
        """Seconds of each request, after two that do not count."""
        handle: Any = self._tower.options(stream=True, _by_reference=by_reference)
        seconds = []
        for _ in range(requests + 2):
            began = time.perf_counter()
            async for _ in handle.rank.remote(self._tiles):
                pass
            seconds.append(time.perf_counter() - began)
        return seconds[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=50, help="of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of each way")
    options = parser.parse_args()
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=512 << 20, log_to_driver=False)
    try:
        tower = serve.deployment()(Ready).bind()
        asks: Any = serve.run(serve.deployment()(Asks).bind(tower), name="tiles", route_prefix="/tiles")
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, by_reference in WAYS.items():
                seconds = asks.measure.remote(by_reference, options.requests).result()
                found[way].append(statistics.median(seconds) * 1e3)
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()
    print("| tiles and rows over | median ms | lowest to highest of the rounds |\n| --- | --- | --- |")
    for way, medians in found.items():
        print(f"| {way} | {statistics.median(medians):.1f} | {min(medians):.1f} to {max(medians):.1f} |")


if __name__ == "__main__":
    main()
