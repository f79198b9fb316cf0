"""One Ray for the whole session: both applications behind one gRPC proxy, over a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common import node

node.set_environment()

import ray  # noqa: E402
from ray import serve  # noqa: E402

import heroserve  # noqa: E402
from scripts.redis_server import RedisServer, free_port  # noqa: E402
from services.common import ray_start  # noqa: E402
from services.encoder.app import build as build_encoder  # noqa: E402
from services.encoder.settings import EncoderSettings  # noqa: E402
from services.llm.app import build as build_llm  # noqa: E402
from services.llm.settings import LlmSettings  # noqa: E402
from tests.reference import Reference  # noqa: E402
from tests.support.otlp import Receiver, receiver  # noqa: E402
from tests.support.services import LLM_REPLICAS, MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, Services  # noqa: E402


@pytest.fixture(scope="session")
def services(untrained: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder: Path = tmp_path_factory.mktemp("services")
    redis = RedisServer(free_port(), folder)
    redis.start()
    ports = {name: free_port() for name in ("grpc", "http", "encoder", "llm")}
    # Ray's processes have their environment from here.
    with receiver() as spans, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", spans.endpoint)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        yield from _services(untrained, folder, redis, ports, spans)
    redis.stop()


def _services(
    untrained: str, folder: Path, redis: RedisServer, ports: dict[str, int], spans: Receiver
) -> Iterator[Services]:
    common = {"HEROSERVE_MODEL": untrained, "HEROSERVE_REPLICA_CPUS": "0.1", "HEROSERVE_DTYPE": "float32"}
    # Asked again where it does not come up in time, as a service's own is.
    ray_start.start(None, 8, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": ports["http"]},
        grpc_options={
            "port": ports["grpc"],
            "grpc_servicer_functions": list(node.SERVICERS.values()),
            "request_timeout_s": 120,
        },
    )
    encoder = build_encoder(
        {
            **common,
            "HEROSERVE_METRICS_PORT": str(ports["encoder"]),
            "HEROSERVE_METRICS_DIR": str(folder / "encoder"),
            "HEROSERVE_CACHE_URL": redis.url,
            "HEROSERVE_CACHE_TIMEOUT_S": "0.5",
            # Tells of each pass of the tower.
            "HEROSERVE_LOG_LEVEL": "DEBUG",
            "HEROSERVE_MAX_IMAGE_BYTES": str(MAX_IMAGE_BYTES),
            "HEROSERVE_MAX_IMAGE_PIXELS": str(MAX_IMAGE_PIXELS),
        }
    )
    llm = build_llm(
        {
            **common,
            "HEROSERVE_METRICS_PORT": str(ports["llm"]),
            "HEROSERVE_METRICS_DIR": str(folder / "llm"),
            "HEROSERVE_ENCODER_TARGET": f"localhost:{ports['grpc']}",
            "HEROSERVE_MIN_REPLICAS": str(LLM_REPLICAS),
            "HEROSERVE_MAX_REPLICAS": str(LLM_REPLICAS),
        }
    )
    serve.run(encoder, name="encoder", route_prefix="/encoder")
    serve.run(llm, name="llm", route_prefix="/llm")
    yield Services(
        grpc=f"localhost:{ports['grpc']}",
        http=f"http://127.0.0.1:{ports['http']}",
        metrics={name: ports[name] for name in ("encoder", "llm")},
        metrics_dirs={
            name: Path(settings(metrics_dir=str(folder / name), metrics_port=ports[name]).metrics_folder)
            for name, settings in (("encoder", EncoderSettings), ("llm", LlmSettings))
        },
        redis=redis,
        logs=Path(ray._private.worker._global_node.get_logs_dir_path()),
        spans=spans,
    )
    serve.shutdown()
    ray.shutdown()


@pytest.fixture
def client(services: Services) -> Iterator[heroserve.Client]:
    with services.client() as client:
        yield client


@pytest.fixture(scope="session")
def reference(untrained: str) -> Reference:
    return Reference(untrained)
