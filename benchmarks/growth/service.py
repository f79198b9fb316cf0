"""Both services in one Ray of this process, with a Redis and an echo behind the same proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common import node

# Before Ray is imported.
node.set_environment()

from ray import serve  # noqa: E402

from benchmarks.growth.gauge import Gauge  # noqa: E402
from benchmarks.growth.kinds import GRIDS  # noqa: E402
from benchmarks.growth.towers import TOWERS  # noqa: E402
from benchmarks.own_serve import OwnServe, own_serve  # noqa: E402
from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens  # noqa: E402
from models.image_processor import save_image_processor  # noqa: E402
from models.untrained import LANGUAGE, build  # noqa: E402
from models.untrained_shapes import SHAPES  # noqa: E402
from scripts.redis_server import free_port  # noqa: E402
from services.encoder.app import build as build_encoder  # noqa: E402
from services.llm.app import build as build_llm  # noqa: E402

ECHO = "echo"
LANGUAGES = {"tiny": LANGUAGE, "135m": SHAPES["135m"].language}


class Echo:
    """Answers each question with the reply that it was given for it: the floor that any service there stands on."""

    def __init__(self, replies: dict[str, bytes]) -> None:
        self._replies = replies

    async def Encode(self, request: EncodeRequest) -> VisualTokens:
        return VisualTokens.FromString(self._replies[request.question])


class Service:
    """Args:
    own: where it is served.
    tower: one of ``benchmarks.growth.towers``'s.
    cpus: cores that a model replica computes with.
    language: one of ``LANGUAGES``; beside the tiny one what is left is what the services take themselves.
    """

    def __init__(self, own: OwnServe, tower: str, cpus: int, language: str) -> None:
        self.tile = TOWERS[tower].image_size
        self.port, self.redis = own.port, own.redis
        self._metrics = free_port()
        self._model = own.folder / "model"
        build(self._model, 0, TOWERS[tower], LANGUAGES[language])
        _cut(self._model, self.tile)
        self._variables = {
            "HEROSERVE_MODEL": str(self._model),
            "HEROSERVE_DTYPE": "bfloat16",
            "HEROSERVE_REPLICA_CPUS": str(cpus),
            "HEROSERVE_METRICS_DIR": str(own.folder / "metrics"),
        }

    @property
    def gauge(self) -> Gauge:
        return Gauge(self.redis.url, self._metrics)

    def deploy_encoder(self, replicas: int = 1) -> None:
        variables = {
            **self._variables,
            "HEROSERVE_CACHE_URL": self.redis.url,
            "HEROSERVE_METRICS_PORT": str(self._metrics),
            "HEROSERVE_MIN_REPLICAS": str(replicas),
            "HEROSERVE_MAX_REPLICAS": str(replicas),
        }
        serve.run(build_encoder(variables), name="encoder", route_prefix="/encoder")

    def deploy_llm(self) -> None:
        variables = {
            **self._variables,
            "HEROSERVE_ENCODER_TARGET": f"localhost:{self.port}",
            "HEROSERVE_METRICS_PORT": str(free_port()),
        }
        serve.run(build_llm(variables), name="llm", route_prefix="/llm")

    def deploy_echo(self, replies: dict[str, bytes], replicas: int = 1) -> None:
        serve.run(serve.deployment(num_replicas=replicas)(Echo).bind(replies), name=ECHO, route_prefix="/echo")


def _cut(model: Path, tile: int) -> None:
    """Have its pictures cut as ``GRIDS`` says."""
    pinpoints = [[tile * rows, tile * columns] for rows, columns in GRIDS.values()]
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_grid_pinpoints": pinpoints}))
    save_image_processor(model, tile, pinpoints)


@contextmanager
def served(tower: str, cpus: int, language: str) -> Iterator[Service]:
    # Ray is told of more cores than there are: what is measured is to be placed.
    with own_serve(cores=32, object_store_mib=512) as own:
        service = Service(own, tower, cpus, language)
        service.deploy_encoder()
        yield service
