"""The pages of a stack's services and of its Redis, scraped by a real Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.free_port import free_port
from scripts.programs import found, process, wait_for
from scripts.prometheus import EXPORTERS, Prometheus
from scripts.stack import Ports


@contextmanager
def scraping(ports: Ports, redis_url: str, folder: Path, every_s: int = 5) -> Iterator[Prometheus]:
    """All of them, until the block is left.

    Args:
        ports: of the stack.
        redis_url: of its cache; what tells of it is started too.
        folder: for configuration, data and logs.
        every_s: see ``Prometheus``.

    Raises:
        MissingProgram: Prometheus or Redis's exporter is not there.
    """
    exporter = free_port()
    targets = {
        "heroserve-encoder": ports.encoder_metrics,
        "heroserve-encoder-ray": ports.encoder_ray_metrics,
        "heroserve-llm": ports.llm_metrics,
        "heroserve-llm-ray": ports.llm_ray_metrics,
        "heroserve-redis": exporter,
    }
    address = ["-redis.addr", redis_url, "-web.listen-address", f"127.0.0.1:{exporter}"]
    with (folder / "exporter.log").open("wb") as log, process([found(*EXPORTERS), *address], log):
        wait_for(f"http://127.0.0.1:{exporter}/metrics")
        with Prometheus(targets, folder, every_s).running() as prometheus:
            yield prometheus
