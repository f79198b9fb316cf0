"""Where docker-compose.yml's Alertmanager sends what: by its own tool, and by itself."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from scripts.redis_server import free_port
from tests.support.manifests import ROOT, composition
from tests.support.prometheus import process, program, rules, wait_for
from tests.support.waiting import until

FOLDER = ROOT / "deploy/alertmanager"
CONFIG = FOLDER / "alertmanager.yaml"


def started(to: Path, *command: str, webhook: str = "", config: Path = CONFIG) -> str:
    """What the command says that the container would become."""
    environ = {"PATH": os.environ["PATH"], "ALERT_WEBHOOK_URL": webhook}
    arguments = ["sh", str(FOLDER / "start.sh"), str(config), str(to), *command]
    done = subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def receiver(config: Path, **labels: str) -> str:
    told = [f"{name}={value}" for name, value in labels.items()]
    command = [program("amtool"), "config", "routes", "test", f"--config.file={config}", *told]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("severity", sorted({rule["labels"]["severity"] for rule in rules() if "alert" in rule}))
def test_without_an_address_nobody_is_told(severity: str, tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yaml"
    assert "SUCCESS" in started(config, program("amtool"), "check-config", str(config))
    assert receiver(config, alertname="HeroserveRedisDown", severity=severity) == "nobody"


@pytest.mark.parametrize(
    "url", ["http://pager:8080/alerts", "https://u:p@example.com/a?b=c&d='e'#f", "https://example.com/$1\\2/%20/a|b"]
)
def test_an_address_is_taken_as_it_is(url: str, tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yaml"
    assert "SUCCESS" in started(config, program("amtool"), "check-config", str(config), webhook=url)
    for severity in ("critical", "warning"):
        assert receiver(config, alertname="HeroserveRedisDown", severity=severity) == "webhook"
    (webhook,) = (item for item in yaml.safe_load(config.read_text())["receivers"] if item["name"] == "webhook")
    assert webhook["webhook_configs"] == [{"url": url}]
    # There may be a password in it.
    assert config.stat().st_mode & 0o077 == 0


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict]]]:
    """The address of somebody who is told, and what."""
    messages: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", messages
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_alert_arrives_by_installation(told: tuple[str, list[dict]], tmp_path: Path) -> None:
    """Two of production are one message, staging's another; what a page says already is not said again."""
    url, messages = told
    hasty, config = tmp_path / "hasty.yaml", tmp_path / "alertmanager.yaml"
    hasty.write_text(CONFIG.read_text().replace("group_wait: 10s", "group_wait: 1s"))
    started(config, "true", webhook=url, config=hasty)
    address = f"127.0.0.1:{free_port()}"
    options = (
        f"--config.file={config}",
        f"--storage.path={tmp_path}",
        "--cluster.listen-address=",
        f"--web.listen-address={address}",
    )
    alerts = [
        {"labels": {"alertname": "HeroserveErrorBudgetBurn", "cluster": "c", "namespace": n, "application": a, **more}}
        for n, a, more in (
            ("production", "llm", {"severity": "critical"}),
            ("production", "encoder", {"severity": "critical"}),
            ("staging", "llm", {"severity": "critical"}),
            ("staging", "llm", {"severity": "warning"}),
        )
    ]
    alertmanager = [program("prometheus-alertmanager", "alertmanager"), *options]
    with (tmp_path / "log").open("wb") as log, process(alertmanager, log):
        wait_for(f"http://{address}/-/ready")
        post = urllib.request.Request(
            f"http://{address}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(post, timeout=10).close()
        assert until(lambda: len(messages) == 2, 30), (tmp_path / "log").read_text()
    found = {message["groupLabels"]["namespace"]: len(message["alerts"]) for message in messages}
    assert found == {"production": 2, "staging": 1}


def test_prometheus_sends_to_composes_alertmanager() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
    ((discovery,),) = (item["dns_sd_configs"] for item in config["alerting"]["alertmanagers"])
    service = composition(ALERT_WEBHOOK_URL="http://pager/")["alertmanager"]
    assert discovery["names"] == ["alertmanager"]
    (port,) = service["ports"]
    assert str(port).endswith(f":{discovery['port']}")
    assert service["environment"]["ALERT_WEBHOOK_URL"] == "http://pager/"
    assert "./deploy/alertmanager:/etc/alertmanager:ro" in service["volumes"]
    # Whoever gets in could silence it.
    assert str(composition(BIND_ADDRESS="0.0.0.0")["alertmanager"]["ports"][0]).startswith("127.0.0.1:")


def test_every_series_says_whose_it_is() -> None:
    """By what leaves this Prometheus, and by what stays, which no external label is on."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
    names = config["global"]["external_labels"]
    assert names.keys() == {"cluster", "namespace"}
    for job in config["scrape_configs"]:
        written = {
            item["target_label"]: item["replacement"] for item in job["relabel_configs"] if "replacement" in item
        }
        assert written == names, job["job_name"]
