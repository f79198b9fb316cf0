"""Makes requests in a closed loop, and tells what they took."""

from __future__ import annotations

import asyncio
import statistics
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence

import redis
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from benchmarks.census import census, less
from benchmarks.growth.point import Point
from benchmarks.percentile import percentile

# Makes a request, and says how many bytes its reply has.
Ask = Callable[[], Awaitable[int]]

_TILES = "heroserve_tower_batch_tiles"


class Gauge:
    """Args:
    cache: URL of the Redis.
    metrics: port of the encoder's.
    """

    def __init__(self, cache: str, metrics: int) -> None:
        self._redis = redis.Redis.from_url(cache)
        self._metrics = f"http://localhost:{metrics}/metrics"

    async def measure(self, x: int, kind: str, users: Sequence[Sequence[Ask]], width: int) -> Point:
        """``users`` come ``width`` at a time, each with one request after the other.

        Raises:
            grpc.RpcError: one was not answered; then there is nothing to tell.
        """
        await asyncio.to_thread(self._counts)  # connections, and what is made but once
        cores, counts, started = census(), self._counts(), time.perf_counter()
        waiting = iter(users)
        done = [each for lane in await asyncio.gather(*(_lane(waiting) for _ in range(width))) for each in lane]
        seconds = time.perf_counter() - started
        took, counted = less(census(), cores), less(self._counts(), counts)
        times = [ms for ms, _ in done]
        number = len(done)
        return Point(
            x=x,
            kind=kind,
            requests=number,
            seconds=seconds,
            ms=(min(times), statistics.median(times), percentile(times, 0.95)),
            cores={part: 1e3 * value / number for part, value in took.items() if value > 0},
            reply_bytes=statistics.mean(size for _, size in done),
            redis={name: counted[name] / number for name in ("in", "out", "commands")},
            pass_tiles=counted[f"{_TILES}_sum"] / max(1, counted[f"{_TILES}_count"]),
        )

    @property
    def kept_bytes(self) -> int:
        """Memory that Redis has taken for what it keeps."""
        told = self._redis.info("memory")
        return int(told["used_memory"]) - int(told["used_memory_startup"])

    @property
    def entries_bytes(self) -> int:
        """Of keys' values, as they were written."""
        return sum(self._redis.strlen(key) for key in self._redis.scan_iter())

    def _counts(self) -> dict[str, float]:
        """What Redis and the tower have counted so far."""
        told = self._redis.info("stats")
        with urllib.request.urlopen(self._metrics, timeout=10) as page:  # noqa: S310 - our own
            families = text_string_to_metric_families(page.read().decode())
        passes = [each for family in families if family.name == _TILES for each in family.samples]
        return {
            "in": told["total_net_input_bytes"],
            "out": told["total_net_output_bytes"],
            "commands": told["total_commands_processed"],
            **{f"{_TILES}_{what}": _sum(passes, what) for what in ("sum", "count")},
        }


def _sum(passes: Sequence[Sample], what: str) -> float:
    return sum(each.value for each in passes if each.name == f"{_TILES}_{what}")


async def _lane(waiting: Iterator[Sequence[Ask]]) -> list[tuple[float, int]]:
    """Milliseconds and bytes of the replies of all whom it serves."""
    done = []
    for user in waiting:
        for ask in user:
            started = time.perf_counter()
            size = await ask()
            done.append((1e3 * (time.perf_counter() - started), size))
    return done
