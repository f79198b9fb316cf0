"""A real Prometheus over the checked-in configuration, and programs of Debian's that come with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.redis_server import free_port

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
# Debian's names; elsewhere the exporter is called redis_exporter.
EXPORTERS = ("prometheus-redis-exporter", "redis_exporter")
_PATIENCE_S = 30.0


def program(*names: str) -> str:
    """Path of the first of these programs that is installed. Without one the test is skipped."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(
        f"{names[0]} is not installed: apt-get install prometheus prometheus-redis-exporter prometheus-alertmanager"
    )


def rules() -> list[dict[str, Any]]:
    """Every rule, recorded ones first."""
    names = ("recording", "objectives", "alerts")
    files = [yaml.safe_load((FOLDER / "rules" / f"{name}.yaml").read_text()) for name in names]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


class Api:
    """What a running Prometheus answers."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """What an endpoint of its API answers.

        Raises:
            AssertionError: an error; the message is Prometheus' own.
        """
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as page:
                return json.load(page)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that an expression has now; NaN is none."""
        result = self.get("query", query=expr)["result"]
        return [sample for sample in result if sample["value"][1] != "NaN"]


class Prometheus(Api):
    """Scrapes what the checked-in configuration names, here and oftener.

    Args:
        targets: port of each of its jobs; what is not there is not scraped.
        folder: for its configuration, data and log.
    """

    def __init__(self, targets: Mapping[str, int], folder: Path) -> None:
        super().__init__(f"http://127.0.0.1:{free_port()}")
        self._log = folder / "prometheus.log"
        config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
        # Not oftener: Ray makes a page of a megabyte and a half, and a busy machine takes seconds for it.
        config["global"] = {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "5s"}
        config["rule_files"] = [str(folder / "rules" / "*.yaml")]
        # Nobody there to tell.
        del config["alerting"]
        (folder / "rules").mkdir()
        for path in (FOLDER / "rules").glob("*.yaml"):
            # What has a minute of its own is as often as the rest.
            rules = re.sub(r"^    interval: .+\n", "", path.read_text(), flags=re.MULTILINE)
            (folder / "rules" / path.name).write_text(rules)
        config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] in targets]
        for job in config["scrape_configs"]:
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
        path = folder / "prometheus.yaml"
        path.write_text(yaml.safe_dump(config))
        self._command = [
            program("prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--log.level=warn",
        ]

    @contextmanager
    def running(self) -> Iterator[Prometheus]:
        with self._log.open("wb") as log, process(self._command, log):
            wait_for(f"{self.url}/-/ready")
            yield self

    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def process(command: list[str], log: Any) -> Iterator[None]:
    running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
