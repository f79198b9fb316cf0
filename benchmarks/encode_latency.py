"""What the rank-once cache saves, and what the encoder service costs above an echo of the same bytes.

    python -m benchmarks.encode_latency [--tower tiny|clip-l] [--requests N]

One run measures, at concurrency 1 and over real gRPC, Ray Serve and Redis: an image's first request (miss), later
requests with its bytes and with its digest alone (hit), and an echo deployment behind the same proxy that answers each
with a canned reply of the same size. ``clip-l`` is CLIP-L/14-336 in shape, with random weights: time does not depend on
what the weights say.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from services.common import node

# Before Ray is imported.
node.set_environment()

import grpc  # noqa: E402
from ray import serve  # noqa: E402

from benchmarks.own_serve import own_serve  # noqa: E402
from benchmarks.percentile import percentile  # noqa: E402
from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens  # noqa: E402
from heroserve.v1.encoder_pb2_grpc import VisionEncoderStub  # noqa: E402
from heroserve.v1.tokens_pb2 import Budget, Image  # noqa: E402
from models.untrained import TOWER, build  # noqa: E402
from models.untrained_shapes import CLIP_L  # noqa: E402
from scripts.redis_server import RedisServer, free_port  # noqa: E402
from scripts.stack import PICTURE, ROOT  # noqa: E402
from services.encoder.app import build as build_encoder  # noqa: E402

TOWERS = {
    "tiny": TOWER,
    "clip-l": CLIP_L,
}
RETENTIONS = (0.2, 1.0)
OPTIONS = [("grpc.max_receive_message_length", 64 << 20)]


class Echo:
    """Answers with the reply it was given for a retention: the floor that any service behind Serve stands on."""

    def __init__(self, replies: dict[float, bytes]) -> None:
        self._replies = replies

    async def Encode(self, request: EncodeRequest) -> VisualTokens:
        return VisualTokens.FromString(self._replies[request.budget.retention])


def timed(call: Callable[[], Any], requests: int) -> list[float]:
    """Milliseconds of each call; two before them do not count."""
    for _ in range(2):
        call()
    times = []
    for _ in range(requests):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def row(name: str, times: list[float], size: int) -> str:
    median, tail = statistics.median(times), percentile(times, 0.95)
    return f"| {name} | {len(times)} | {median:.1f} | {min(times):.1f} | {tail:.1f} | {size / 1e6:.2f} |"


def deploy_encoder(folder: Path, redis: RedisServer, tower: str) -> None:
    build(folder / "model", 0, TOWERS[tower])
    serve.run(
        build_encoder(
            {
                "HEROSERVE_MODEL": str(folder / "model"),
                "HEROSERVE_CACHE_URL": redis.url,
                "HEROSERVE_METRICS_PORT": str(free_port()),
                "HEROSERVE_METRICS_DIR": str(folder / "metrics"),
                "HEROSERVE_REPLICA_CPUS": "2",
            }
        ),
        name="encoder",
        route_prefix="/encoder",
    )


def measure(target: str, requests: int) -> None:
    data = (ROOT / PICTURE).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    with grpc.insecure_channel(target, options=OPTIONS) as channel:
        stub = VisionEncoderStub(channel)

        def encode(image: Image, retention: float, application: str = "encoder") -> VisualTokens:
            request = EncodeRequest(image=image, question="What is the total?", budget=Budget(retention=retention))
            tokens: VisualTokens = stub.Encode(request, metadata=[("application", application)], timeout=600)
            return tokens

        misses = []
        for index in range(4):
            # Another file each time: bytes behind the end of a PNG change its digest and not its picture.
            start = time.perf_counter()
            encode(Image(data=data + bytes([index])), 0.2)
            misses.append((time.perf_counter() - start) * 1e3)
        replies = {retention: encode(Image(data=data), retention) for retention in RETENTIONS}
        echo = Echo.__name__
        serve.run(
            serve.deployment()(Echo).bind({k: tokens.SerializeToString() for k, tokens in replies.items()}),
            name=echo,
            route_prefix="/echo",
        )
        print("| request | n | median ms | min | p95 | reply MB |\n| --- | --- | --- | --- | --- | --- |")
        print(row("miss, R = 0.2 (the first of them warms up and is left out)", misses[1:], replies[0.2].ByteSize()))
        for retention, reply in replies.items():
            for name, image in (("bytes", Image(data=data)), ("digest", Image(digest=digest))):
                for application in ("encoder", echo):
                    times = timed(partial(encode, image, retention, application), requests)
                    what = "echo" if application == echo else "hit"
                    print(row(f"{what}, {name} sent, R = {retention:g}", times, reply.ByteSize()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tower", choices=TOWERS, default="clip-l")
    parser.add_argument("--requests", type=int, default=100)
    options = parser.parse_args()
    with own_serve(cores=8, object_store_mib=512) as own:
        deploy_encoder(own.folder, own.redis, options.tower)
        measure(f"localhost:{own.port}", options.requests)


if __name__ == "__main__":
    main()
