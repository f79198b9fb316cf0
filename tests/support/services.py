"""The session's services, as tests of tests/integration meet them."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import heroserve
from scripts.redis_server import RedisServer

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
