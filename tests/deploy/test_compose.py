"""docker-compose.yml agrees with the code, with Kubernetes and with Prometheus' configuration."""

from __future__ import annotations

import dataclasses
import re

import pytest
import yaml

from services.encoder.settings import EncoderSettings
from tests.deploy.manifests import ROOT, SERVICES, SETTINGS, Build, Object, dotenv

COMPOSE = ROOT / "docker-compose.yml"


def test_compose_agrees(base: Build, production: Build) -> None:
    """Images, ports and variables; compose has the same services by shorter names."""
    composed = composition()
    for service in SERVICES:
        (version,) = {group.container["image"].rpartition(":")[2] for group in base.workers(service)}
        known = {item.metadata["variable"] for item in dataclasses.fields(SETTINGS[service])}
        ports = base.workers(service)[0].ports
        for name, tag in ((service, version), (f"{service}-gpu", f"{version}-cuda")):
            assert composed[name]["image"] == f"heroserve-{service}:{tag}"
            environment = composed[name]["environment"]
            assert environment.keys() <= known
            settings = SETTINGS[service].from_env(environment)
            assert settings.grpc_port == ports["serve-grpc"]
            assert settings.http_port == ports["serve"]
            assert settings.metrics_port == ports["app-metrics"]
    # One name on the network whichever profile runs, which Prometheus and the LLM service know.
    assert composed["encoder-gpu"]["networks"]["default"]["aliases"] == ["encoder"]
    assert composed["llm-gpu"]["networks"]["default"]["aliases"] == ["llm"]
    assert composed["llm"]["environment"]["HEROSERVE_ENCODER_TARGET"] == f"encoder:{EncoderSettings().grpc_port}"
    pod = production.get("Deployment", "heroserve-redis")["spec"]["template"]["spec"]
    images = {container["name"]: container["image"] for container in pod["containers"]}
    assert images == {"redis": composed["redis"]["image"], "exporter": composed["redis-exporter"]["image"]}


def test_compose_drains_as_long_as_a_request_may_take() -> None:
    for name in (*SERVICES, *(f"{service}-gpu" for service in SERVICES)):
        grace = int(composition()[name]["stop_grace_period"].removesuffix("s"))
        assert grace > SETTINGS[name.removesuffix("-gpu")]().request_timeout_s


def test_compose_pins_the_images_of_others() -> None:
    for name, service in composition().items():
        if name.removesuffix("-gpu") not in SERVICES:
            registry, _, tag = service["image"].rpartition(":")
            assert registry.startswith("docker.io/")
            assert re.match(r"v?\d+\.\d+\.\d+", tag), service["image"]


def test_prometheus_finds_composes_services() -> None:
    composed = composition()
    names = composed.keys() | {alias for item in composed.values() for alias in _aliases(item)}
    for job in yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())["scrape_configs"]:
        (discovery,) = job["dns_sd_configs"]
        assert set(discovery["names"]) <= names


@pytest.mark.parametrize("service", SERVICES)
def test_a_dockerfile_says_which_ports_there_are(service: str) -> None:
    settings = SETTINGS[service]()
    ports = (settings.grpc_port, settings.http_port, settings.metrics_port, settings.ray_metrics_port)
    (exposed,) = re.findall(r"^EXPOSE (.+)$", dockerfile(service), re.MULTILINE)
    assert exposed.split() == [str(port) for port in ports]


def test_the_dockerfiles_differ_by_their_service_only() -> None:
    """Docker knows no way to share their text; what is mended in one is to be mended in the other."""
    alike = {
        re.sub(rf"\b({service}|{service.upper()})\b|^EXPOSE .+", "", dockerfile(service), flags=re.M)
        for service in SERVICES
    }
    assert len(alike) == 1


def dockerfile(service: str) -> str:
    return (ROOT / f"services/{service}/Dockerfile").read_text()


def composition() -> dict[str, Object]:
    """docker-compose.yml's, filled in from `.env`."""
    values = dotenv()

    def fill(match: re.Match[str]) -> str:
        name, _, default = match[1].partition(":-")
        return values.get(name.partition(":?")[0]) or default

    filled: dict[str, Object] = yaml.safe_load(re.sub(r"\$\{([^}]+)\}", fill, COMPOSE.read_text()))["services"]
    for service in filled.values():
        # Compose fills in what YAML has parsed: there blank is a string.
        service["environment"] = {name: value or "" for name, value in service.get("environment", {}).items()}
    return filled


def _aliases(service: Object) -> list[str]:
    aliases: list[str] = service.get("networks", {}).get("default", {}).get("aliases", [])
    return aliases
