"""docker-compose.yml agrees with the code, with Kubernetes and with Prometheus' configuration."""

from __future__ import annotations

import dataclasses
import re

import pytest
import yaml

from services.encoder.settings import EncoderSettings
from tests.support.manifests import ROOT, SERVICES, SETTINGS, Build, Object, composition

# What every container has of its own, whatever the shell says, and what one service has.
OWN = {
    "HEROSERVE_GRPC_PORT": None,
    "HEROSERVE_HTTP_PORT": None,
    "HEROSERVE_METRICS_PORT": None,
    "HEROSERVE_RAY_METRICS_PORT": None,
    "HEROSERVE_HTTP_HOST": None,
    "HEROSERVE_METRICS_DIR": None,
    "HEROSERVE_LOG_FILE": None,
    "HEROSERVE_CACHE_URL": "redis://redis:6379/0",
    "HEROSERVE_CACHE_USERNAME": None,
    "HEROSERVE_CACHE_PASSWORD": "change-me",
    "HEROSERVE_CACHE_SENTINEL_PASSWORD": None,
    "HEROSERVE_ENCODER_TARGET": "encoder:9000",
}


def test_compose_agrees(base: Build, production: Build) -> None:
    """Images, ports and variables; compose has the same services by shorter names."""
    composed = composition()
    for service in SERVICES:
        (version,) = {group.container["image"].rpartition(":")[2] for group in base.workers(service)}
        known = set(_variables(service))
        ports = base.workers(service)[0].ports
        for name, tag in ((service, version), (f"{service}-gpu", f"{version}-cuda")):
            assert composed[name]["image"] == f"heroserve-{service}:{tag}"
            environment = composed[name]["environment"]
            assert environment.keys() - {"OTEL_EXPORTER_OTLP_ENDPOINT"} <= known
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


@pytest.mark.parametrize("gpu", ["", "-gpu"])
@pytest.mark.parametrize("service", SERVICES)
def test_what_is_set_in_the_shell_reaches_the_container(service: str, gpu: str) -> None:
    shell = {name: f"shell's {name}" for kind in SERVICES for name in _variables(kind)}
    environment = composition(**shell)[f"{service}{gpu}"]["environment"]
    own = {**OWN, "HEROSERVE_DEVICE": "cuda" if gpu else "cpu"}
    if service == "encoder":
        # Users have the LLM service's keys; the encoder takes what that service sends.
        own["HEROSERVE_API_KEYS"] = "shell's HEROSERVE_ENCODER_API_KEY"
        own |= dict.fromkeys(("HEROSERVE_KEY_RATE", "HEROSERVE_KEY_CONCURRENCY"), "")
    for name in _variables(service):
        assert environment.get(name) == own.get(name, shell[name]), name


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_set_nowhere_is_the_default(service: str) -> None:
    environment = composition()[service]["environment"]
    own = {
        name: environment[name]
        for name in ("HEROSERVE_CACHE_URL", "HEROSERVE_CACHE_PASSWORD", "HEROSERVE_ENCODER_TARGET")
        if name in environment
    }
    assert SETTINGS[service].from_env(environment) == SETTINGS[service].from_env({**own, "HEROSERVE_DEVICE": "cpu"})


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
    (exposed,) = re.findall(r"^EXPOSE (.+)$", stages()[service], re.MULTILINE)
    assert exposed.split() == [str(port) for port in ports]


def test_images_differ_by_their_service_only() -> None:
    """What is mended in one stage is to be mended in the other."""
    for suffix in ("", "-own"):
        alike = {
            re.sub(rf"\b{service}\b|^(EXPOSE|#) .+\n", "", stages()[f"{service}{suffix}"], flags=re.M).strip()
            for service in SERVICES
        }
        assert len(alike) == 1


def test_what_both_images_need_is_one_layer() -> None:
    """Neither stage that it comes from knows a service; the targets are built upon them, and compose builds those."""
    found = stages()
    for name in ("shared", "runtime"):
        commands = re.sub(r"^#.*\n", "", found[name], flags=re.M)
        assert not re.search(r"\b(encoder|llm)\b", commands), name
    assert "torch" in found["shared"]
    assert "COPY --from=shared /opt/venv" in found["runtime"]
    for service in SERVICES:
        assert found[service].startswith(f"FROM runtime AS {service}\n")
        assert "RUN" not in found[service]
        for name in (service, f"{service}-gpu"):
            assert composition()[name]["build"]["target"] == service


def stages() -> dict[str, str]:
    """Text of each stage of the Dockerfile, by its name."""
    text = (ROOT / "Dockerfile").read_text()
    return {re.split(r"\s", stage)[3]: stage for stage in re.split(r"^(?=FROM )", text, flags=re.M)[1:]}


def _aliases(service: Object) -> list[str]:
    aliases: list[str] = service.get("networks", {}).get("default", {}).get("aliases", [])
    return aliases


def _variables(service: str) -> list[str]:
    return [item.metadata["variable"] for item in dataclasses.fields(SETTINGS[service])]
