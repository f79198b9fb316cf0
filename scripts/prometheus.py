"""A real Prometheus over the checked-in configuration, as Debian has it, for tests and for pictures of dashboards."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from scripts.free_port import free_port
from scripts.programs import found, process, wait_for

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "prometheus"
PROMETHEUS = ("prometheus",)
# Debian's name; elsewhere the exporter is called redis_exporter.
EXPORTERS = ("prometheus-redis-exporter", "redis_exporter")


class QueryError(RuntimeError):
    """Prometheus refused a query; the message is its own."""


class Api:
    """What a running Prometheus answers."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """What an endpoint of its API answers.

        Raises:
            QueryError: an error.
        """
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as page:
                return json.load(page)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that an expression has now; NaN is none."""
        result = self.get("query", query=expr)["result"]
        return [sample for sample in result if sample["value"][1] != "NaN"]


class Prometheus(Api):
    """Scrapes what the checked-in configuration names, here and oftener.

    Args:
        targets: port of each of its jobs; what is not there is not scraped.
        folder: for its configuration, data and log.
        every_s: between scrapes. Not less: Ray makes a page of a megabyte and a half, and a busy machine takes seconds
            for it.

    Raises:
        MissingProgram: there is none.
    """

    def __init__(self, targets: Mapping[str, int], folder: Path, every_s: int = 5) -> None:
        super().__init__(f"http://127.0.0.1:{free_port()}")
        self.data = folder / "prometheus"
        self._log = folder / "prometheus.log"
        config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
        config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{every_s}s")
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
        self._command = _command(self.url, self.data, path)

    @contextmanager
    def running(self) -> Iterator[Prometheus]:
        with self._log.open("ab") as log, process(self._command, log):
            wait_for(f"{self.url}/-/ready")
            yield self

    def snapshot(self) -> Path:
        """The folder with a copy of all that it has stored so far."""
        request = urllib.request.Request(f"{self.url}/api/v1/admin/tsdb/snapshot", method="POST")
        with urllib.request.urlopen(request, timeout=60) as page:
            return self.data / "snapshots" / str(json.load(page)["data"]["name"])

    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def over(data: Path, folder: Path) -> Iterator[Api]:
    """A Prometheus that scrapes nothing and answers from what another one stored.

    Args:
        data: its folder.
        folder: for a configuration and a log.

    Raises:
        MissingProgram: there is none.
    """
    api = Api(f"http://127.0.0.1:{free_port()}")
    config = folder / "nothing.yaml"
    config.write_text("{}\n")
    # What was stored stays, however long ago that was.
    command = [*_command(api.url, data, config), "--storage.tsdb.retention.time=100y"]
    with (folder / "prometheus.log").open("ab") as log, process(command, log):
        wait_for(f"{api.url}/-/ready")
        yield api


def _command(url: str, data: Path, config: Path) -> list[str]:
    return [
        found(*PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--web.enable-admin-api",
        "--log.level=warn",
    ]
