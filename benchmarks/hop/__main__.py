"""What a hit and a question about a known image cost, against echoes of the same bytes behind the same Ray Serve.

    python -m benchmarks.hop [--at-once 1,8,64] [--requests N] [--rounds N] [--dtype DTYPE] [--out FILE]

One Ray, one Redis, four applications: the encoder, whose tower has tiles and rows of CLIP-L/14-336 and four layers; the
LLM service with an engine that takes no time; an echo that answers as the encoder did; and one that asks the echo, as
the LLM service asks the encoder. Rounds of ours and of the echo take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from services.common import node

# Before Ray is imported.
node.set_environment()

from ray import serve  # noqa: E402

from benchmarks.hop.cases import Port  # noqa: E402
from benchmarks.hop.echoes import Chain, Echo  # noqa: E402
from benchmarks.hop.instant_chat import InstantChat  # noqa: E402
from benchmarks.hop.report import as_json, table  # noqa: E402
from benchmarks.hop.rounds import Round, run  # noqa: E402
from benchmarks.own_serve import own_serve  # noqa: E402
from heroserve.v1.tokens_pb2 import Image  # noqa: E402
from models.untrained import build  # noqa: E402
from models.untrained_shapes import CLIP_L_ROWS  # noqa: E402
from scripts.redis_server import RedisServer, free_port  # noqa: E402
from scripts.stack import PICTURE, ROOT  # noqa: E402
from services.common import deployment  # noqa: E402
from services.encoder.app import build as build_encoder  # noqa: E402
from services.llm import parts  # noqa: E402
from services.llm.settings import LlmSettings  # noqa: E402


def deploy(folder: Path, redis: RedisServer, address: str, dtype: str) -> None:
    """The services. Echoes come when there is something to answer with."""
    build(folder / "model", 0, CLIP_L_ROWS)
    shared = {"HEROSERVE_MODEL": str(folder / "model"), "HEROSERVE_METRICS_DIR": str(folder / "metrics")}
    own = {"HEROSERVE_CACHE_URL": redis.url, "HEROSERVE_METRICS_PORT": str(free_port()), "HEROSERVE_DTYPE": dtype}
    serve.run(build_encoder(shared | own), name="encoder", route_prefix="/encoder")
    own = {"HEROSERVE_ENCODER_TARGET": address, "HEROSERVE_METRICS_PORT": str(free_port())}
    settings = deployment.settings(LlmSettings, shared | own)
    source = parts.model(settings)
    chat = deployment.deploy(serve.ingress()(InstantChat), "Chat", parts.settled(settings, source))
    serve.run(chat.bind(settings, source), name="llm", route_prefix="/llm")


async def measure(address: str, levels: list[int], requests: int, rounds: int) -> dict[str, list[tuple[Round, Round]]]:
    """By case and level rounds of ours, each beside one of its echo."""
    port = Port(address, "", 0.2)
    answer = await port.encode("encoder", Image(data=(ROOT / PICTURE).read_bytes()))
    echo = serve.deployment(max_ongoing_requests=100)(Echo).bind(answer.SerializeToString())
    serve.run(echo, name="echo", route_prefix="/echo")
    chain = serve.deployment(max_ongoing_requests=100)(Chain).bind(address, "echo")
    serve.run(chain, name="chain", route_prefix="/chain")
    await port.close()
    port = Port(address, answer.image_digest, 0.2)
    print(f"an answer has {len(answer.features.data) / 1e6:.2f} MB of rows", flush=True)
    found: dict[str, list[tuple[Round, Round]]] = {}
    for name, (ours, theirs) in port.cases().items():
        for level in levels:
            pairs = [(await run(ours, level, requests), await run(theirs, level, requests)) for _ in range(rounds)]
            found[f"{name}, {level} at once"] = pairs
    await port.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--at-once", default="1,8,64", help="requests under way, several after commas")
    parser.add_argument("--requests", type=int, default=200, help="of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    parser.add_argument("--dtype", default="float32", help="of the tower and its rows; bfloat16 has half of the bytes")
    parser.add_argument("--out", type=Path, help="write all numbers there, as JSON")
    options = parser.parse_args()
    levels = [int(level) for level in options.at_once.split(",")]
    with own_serve(cores=8) as own:
        deploy(own.folder, own.redis, f"127.0.0.1:{own.port}", options.dtype)
        found = asyncio.run(measure(f"127.0.0.1:{own.port}", levels, options.requests, options.rounds))
    print(table(found))
    if options.out:
        options.out.write_text(json.dumps(as_json(found), indent=2) + "\n")


if __name__ == "__main__":
    main()
