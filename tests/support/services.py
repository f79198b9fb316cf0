"""The session's services, as tests of tests/integration meet them."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

import heroserve
from scripts.redis_server import RedisServer
from tests.support.otlp import Receiver

MAX_IMAGE_BYTES = 2_000_000
MAX_IMAGE_PIXELS = 4_000_000
LLM_REPLICAS = 2


def processes() -> Iterator[tuple[psutil.Process, str]]:
    """Those of this session's Ray, which are all below this one, with their command lines; nobody else's."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            yield process, " ".join(process.cmdline())


@dataclass(frozen=True)
class Services:
    """Where the session's services listen."""

    grpc: str
    http: str
    metrics: dict[str, int]
    metrics_dirs: dict[str, Path]
    redis: RedisServer
    logs: Path
    spans: Receiver

    def lines(self, request_id: str) -> list[dict[str, Any]]:
        """What our own modules logged of a request, in any process, oldest first."""
        lines = [
            json.loads(line)
            for file in self.logs.glob("worker-*.err")
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("{")
        ]
        told = [line for line in lines if request_id in (line.get("request_id"), *line.get("request_ids", []))]
        return sorted(told, key=lambda line: line["time"])

    def sample(self, service: str, name: str, **labels: str) -> float:
        """A metric's value as a scrape sees it now; 0 if it was never counted."""
        with urllib.request.urlopen(f"http://localhost:{self.metrics[service]}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def client(self) -> heroserve.Client:
        return heroserve.Client(self.grpc, encoder_target=self.grpc, timeout_s=60)
