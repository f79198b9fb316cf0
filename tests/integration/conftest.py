"""One Ray for the whole session: both applications behind one gRPC proxy, over a real Redis."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.common import node

node.set_environment()

import ray  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402
from ray import serve  # noqa: E402

import heroserve  # noqa: E402
from scripts.redis_server import RedisServer, free_port  # noqa: E402
from services.common import metrics  # noqa: E402
from services.encoder.app import build as build_encoder  # noqa: E402
from services.llm.app import build as build_llm  # noqa: E402
from tests.reference import Reference  # noqa: E402

MAX_IMAGE_BYTES = 2_000_000
MAX_IMAGE_PIXELS = 4_000_000
LLM_REPLICAS = 2


@dataclass(frozen=True)
class Services:
    """Where the session's services listen."""

    grpc: str
    metrics: dict[str, int]
    metrics_dirs: dict[str, Path]
    redis: RedisServer

    def sample(self, service: str, name: str, **labels: str) -> float:
        """A metric's value as a scrape sees it now; 0 if it was never counted."""
        with urllib.request.urlopen(f"http://localhost:{self.metrics[service]}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def client(self) -> heroserve.Client:
        return heroserve.Client(self.grpc, encoder_target=self.grpc, timeout_s=60)


@pytest.fixture(scope="session")
def services(untrained: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder: Path = tmp_path_factory.mktemp("services")
    redis = RedisServer(free_port(), folder)
    redis.start()
    ports = {name: free_port() for name in ("grpc", "http", "encoder", "llm")}
    common = {"HEROSERVE_MODEL": untrained, "HEROSERVE_REPLICA_CPUS": "0.1", "HEROSERVE_DTYPE": "float32"}
    for service in ("encoder", "llm"):
        metrics.prepare(str(folder / service))
    ray.init(address="local", num_cpus=8, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": ports["http"]},
        grpc_options={
            "port": ports["grpc"],
            "grpc_servicer_functions": list(node.SERVICERS),
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
        metrics={name: ports[name] for name in ("encoder", "llm")},
        metrics_dirs={name: folder / name for name in ("encoder", "llm")},
        redis=redis,
    )
    serve.shutdown()
    ray.shutdown()
    redis.stop()


@pytest.fixture
def client(services: Services) -> Iterator[heroserve.Client]:
    with services.client() as client:
        yield client


@pytest.fixture(scope="session")
def reference(untrained: str) -> Reference:
    return Reference(untrained)
