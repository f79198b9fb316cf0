"""What hits cost, and what Redis has to do for them, by replicas of the encoder's ingress.

    python -m benchmarks.replicas [--replicas 1,2,4] [--at-once 8] [--requests N] [--rounds N] [--out FILE]

One Ray and one Redis, and the encoder three times: as it is (its images find their replica, rows are near), with rows
read of Redis each time, and besides with replicas that Serve chooses by load. Rounds of all three take turns: digests
of two dozen pictures, asked about again and again; and a picture that is new, asked about by all at once. The tower has
rows and tiles of CLIP-L/14-336, and four layers: a hit does not touch it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.common import node

# Before Ray is imported.
node.set_environment()

import grpc  # noqa: E402
import redis  # noqa: E402
from ray import serve  # noqa: E402
from ray.serve.config import RequestRouterConfig  # noqa: E402

from benchmarks.own_serve import own_serve  # noqa: E402
from benchmarks.percentile import percentile  # noqa: E402
from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens  # noqa: E402
from heroserve.v1.encoder_pb2_grpc import VisionEncoderStub  # noqa: E402
from heroserve.v1.tokens_pb2 import Budget, Image  # noqa: E402
from models.untrained import build  # noqa: E402
from models.untrained_shapes import CLIP_L_ROWS  # noqa: E402
from scripts.redis_server import free_port  # noqa: E402
from scripts.stack import PICTURE, ROOT  # noqa: E402
from services.encoder.app import build as build_encoder  # noqa: E402

# By the names of the applications.
KINDS = {"near": "as it is", "store": "rows of Redis", "spread": "rows of Redis, any replica"}
QUESTIONS = ("What is the total?", "Who wrote it?", "Which day is it?", "What colour is the sign?")
PICTURES = 24
OPTIONS = [("grpc.max_receive_message_length", 64 << 20)]
_new = itertools.count(1000)


@dataclass(frozen=True)
class Round:
    """Milliseconds of a request at the median and of the slowest twentieth, requests a second, what Redis did for one,
    and what it did for one new picture that all ask about at once: commands, and the time until all have it."""

    median_ms: float
    p95_ms: float
    requests_s: float
    redis_commands: float
    redis_kilobytes: float
    new_commands: float
    new_ms: float


class Port:
    """All three encoders, behind one proxy."""

    def __init__(self, target: str, store: redis.Redis, at_once: int) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=OPTIONS)
        self._stub: Any = VisionEncoderStub(self._channel)
        self._store = store
        self._at_once = at_once
        self._picture = (ROOT / PICTURE).read_bytes()

    def picture(self, number: int) -> bytes:
        # Bytes behind the end of a PNG change its digest and not its picture.
        return self._picture + number.to_bytes(4, "little")

    async def encode(self, kind: str, image: Image, question: str = QUESTIONS[0]) -> VisualTokens:
        request = EncodeRequest(image=image, question=question, budget=Budget(retention=0.2))
        answer: VisualTokens = await self._stub.Encode(request, metadata=[("application", kind)], timeout=300)
        return answer

    async def round(self, kind: str, digests: list[str], requests: int) -> Round:
        draw = random.Random(0)  # noqa: S311 - no secret
        asked = [(draw.choice(digests), draw.choice(QUESTIONS)) for _ in range(requests)]
        times: list[float] = []

        async def ask() -> None:
            while asked:
                digest, question = asked.pop()
                began = time.perf_counter()
                answer = await self.encode(kind, Image(digest=digest), question)
                times.append((time.perf_counter() - began) * 1e3)
                if answer.cache != VisualTokens.HIT:
                    raise SystemExit(f"a digest that was cached was none: {digest}")

        before, began = self._done(), time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(self._at_once)))
        seconds, after = time.perf_counter() - began, self._done()
        new = Image(data=self.picture(next(_new)))
        start = time.perf_counter()
        await asyncio.gather(*(self.encode(kind, new) for _ in range(self._at_once)))
        new_ms, last = (time.perf_counter() - start) * 1e3, self._done()
        return Round(
            median_ms=statistics.median(times),
            p95_ms=percentile(times, 0.95),
            requests_s=requests / seconds,
            redis_commands=(after[0] - before[0]) / requests,
            redis_kilobytes=(after[1] - before[1]) / requests / 1e3,
            new_commands=last[0] - after[0],
            new_ms=new_ms,
        )

    async def close(self) -> None:
        await self._channel.close()

    def _done(self) -> tuple[int, int]:
        """Commands that Redis was given so far, but for those that ask so, and bytes that it sent."""
        told: Any = self._store.info("all")
        commands = sum(each["calls"] for name, each in told.items() if name.startswith("cmdstat_"))
        return commands - told.get("cmdstat_info", {"calls": 0})["calls"], told["total_net_output_bytes"]


def deploy(folder: Path, url: str, kind: str, replicas: int) -> None:
    """One encoder, named by its kind; of towers it has one."""
    number = list(KINDS).index(kind)
    settings = {
        "HEROSERVE_MODEL": str(folder / "model"),
        "HEROSERVE_METRICS_DIR": str(folder / f"metrics-{number}"),
        "HEROSERVE_METRICS_PORT": str(free_port()),
        "HEROSERVE_REPLICA_CPUS": "0.1",
        # So that each has entries of its own.
        "HEROSERVE_CACHE_URL": f"{url.rpartition('/')[0]}/{number}",
    }
    if kind != "near":
        settings["HEROSERVE_CACHE_NEAR_BYTES"] = "0"
    application = build_encoder(settings)
    options: dict[str, Any] = {"autoscaling_config": {"min_replicas": replicas, "max_replicas": replicas}}
    if kind == "spread":
        options["request_router_config"] = RequestRouterConfig()
    ingress = serve.Application(application._bound_deployment.options(**options))
    serve.run(ingress, name=kind, route_prefix=f"/{number}")


async def measure(port: Port, requests: int, rounds: int) -> dict[str, list[Round]]:
    digests = {
        kind: [(await port.encode(kind, Image(data=port.picture(number)))).image_digest for number in range(PICTURES)]
        for kind in KINDS
    }
    for kind in KINDS:
        await port.round(kind, digests[kind], requests)
    found: dict[str, list[Round]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            found[kind].append(await port.round(kind, digests[kind], requests))
    return found


def row(replicas: int, kind: str, rounds: list[Round]) -> str:
    cells = [str(replicas), KINDS[kind]]
    for name in Round.__dataclass_fields__:
        values = [getattr(each, name) for each in rounds]
        cells.append(f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicas", default="1,2,4", help="of the ingress, several after commas")
    parser.add_argument("--at-once", type=int, default=8, help="requests under way")
    parser.add_argument("--requests", type=int, default=400, help="of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    parser.add_argument("--out", type=Path, help="write all numbers there, as JSON")
    options = parser.parse_args()
    told = []
    print("| replicas | encoder | median ms | p95 ms | requests/s | Redis commands a hit | kB a hit | ", end="")
    print("commands a new picture | ms until all have it |\n| ---: | --- |" + " ---: |" * 7, flush=True)
    with own_serve(cores=16) as own:
        build(own.folder / "model", 0, CLIP_L_ROWS)
        for replicas in map(int, options.replicas.split(",")):
            for kind in KINDS:
                deploy(own.folder, own.redis.url, kind, replicas)

            async def run() -> dict[str, list[Round]]:
                port = Port(f"127.0.0.1:{own.port}", redis.Redis.from_url(own.redis.url), options.at_once)
                try:
                    return await measure(port, options.requests, options.rounds)
                finally:
                    await port.close()

            for kind, rounds in asyncio.run(run()).items():
                print(row(replicas, kind, rounds), flush=True)
                told.append({"replicas": replicas, "encoder": kind, "rounds": list(map(asdict, rounds))})
    if options.out:
        options.out.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
