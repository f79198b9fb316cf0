"""docker-compose.yml agrees with the code, with Kubernetes and with Prometheus' configuration."""

from __future__ import annotations

import dataclasses
import re

import pytest
import yaml

from services.encoder.settings import EncoderSettings
from tests.support.manifests import (
    CONTAINERS,
    ON_GPUS,
    PROFILES,
    ROOT,
    SERVICES,
    SETTINGS,
    Build,
    Object,
    build_arguments,
    composition,
    dotenv,
)

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
# What the containers with vLLM, or beside it, have.
ENGINES = {
    "llm-vllm": {"HEROSERVE_ENGINE": "vllm"},
    "llm-vllm-cpu": {"HEROSERVE_ENGINE": "vllm"},
    "llm-remote": {"HEROSERVE_ENGINE": "vllm-remote", "HEROSERVE_VLLM_URL": "http://vllm:8000"},
}
NAMES = [(service, name) for service in SERVICES for name in CONTAINERS[service]]


def test_compose_agrees(base: Build, production: Build) -> None:
    """Images, ports and variables; compose has the same services by shorter names."""
    composed = composition()
    for service in SERVICES:
        (version,) = {group.container["image"].rpartition(":")[2] for group in base.workers(service)}
        known = set(_variables(service))
        ports = base.workers(service)[0].ports
        for name, tag in CONTAINERS[service].items():
            assert composed[name]["image"] == f"heroserve-{service}:{version}{tag}"
            environment = composed[name]["environment"]
            assert environment.keys() - {"OTEL_EXPORTER_OTLP_ENDPOINT"} <= known
            settings = SETTINGS[service].from_env(environment)
            assert settings.grpc_port == ports["serve-grpc"]
            assert settings.http_port == ports["serve"]
            assert settings.metrics_port == ports["app-metrics"]
            # One name on the network whichever profile runs, which Prometheus and the LLM service know.
            assert name == service or composed[name]["networks"]["default"]["aliases"] == [service]
    assert composed["llm"]["environment"]["HEROSERVE_ENCODER_TARGET"] == f"encoder:{EncoderSettings().grpc_port}"
    pod = production.get("Deployment", "heroserve-redis")["spec"]["template"]["spec"]
    images = {container["name"]: container["image"] for container in pod["containers"]}
    assert images == {"redis": composed["redis"]["image"], "exporter": composed["redis-exporter"]["image"]}


@pytest.mark.parametrize(("service", "name"), NAMES)
def test_what_is_set_in_the_shell_reaches_the_container(service: str, name: str) -> None:
    shell = {name: f"shell's {name}" for kind in SERVICES for name in _variables(kind)}
    environment = composition(**shell)[name]["environment"]
    own = {**OWN, "HEROSERVE_DEVICE": "cuda" if name in ON_GPUS else "cpu", **ENGINES.get(name, {})}
    if service == "encoder":
        # Users have the LLM service's keys; the encoder takes what that service sends.
        own["HEROSERVE_API_KEYS"] = "shell's HEROSERVE_ENCODER_API_KEY"
        own |= dict.fromkeys(("HEROSERVE_KEY_RATE", "HEROSERVE_KEY_CONCURRENCY"), "")
    for variable in _variables(service):
        assert environment.get(variable) == own.get(variable, shell[variable]), variable


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
    for service, name in NAMES:
        grace = int(composition()[name]["stop_grace_period"].removesuffix("s"))
        assert grace > SETTINGS[service]().request_timeout_s


def test_compose_pins_the_images_of_others() -> None:
    for service in composition().values():
        if not service["image"].startswith("heroserve-"):
            registry, _, tag = service["image"].rpartition(":")
            assert registry.startswith("docker.io/")
            assert re.match(r"v?\d+\.\d+\.\d+", tag), service["image"]


def test_each_profile_has_both_services_once_and_what_they_need() -> None:
    """And nothing of another's, which would have the same name on the network."""
    always = {"redis", "redis-exporter", "prometheus", "alertmanager", "grafana"}
    for profile in PROFILES:
        names = {name for name, item in composition().items() if profile in item.get("profiles", [profile])} - always
        encoder = "encoder" if profile.endswith("cpu") else "encoder-gpu"
        assert (names & CONTAINERS["encoder"].keys(), len(names & CONTAINERS["llm"].keys())) == ({encoder}, 1), profile
        server = {"vllm-remote": "vllm", "vllm-remote-cpu": "vllm-cpu"}.get(profile)
        others = names - CONTAINERS["encoder"].keys() - CONTAINERS["llm"].keys()
        assert others == ({server, "language-model"} if server else set())


def test_vllm_beside_serves_what_is_written_for_it() -> None:
    """By one name, out of a folder that it can't write, and to nobody but the LLM service."""
    composed = composition()
    for name in ("vllm", "vllm-cpu"):
        server = composed[name]
        assert server["networks"]["default"]["aliases"] == ["vllm"]
        assert "--port=8000" in server["command"]
        assert "ports" not in server
        assert {"--enable-prompt-embeds", "--enable-prompt-tokens-details"} <= set(server["command"])
        (served,) = (word for word in server["command"] if word.endswith("/current"))
        folder = served.removeprefix("--model=").removesuffix("/current")
        assert f"language-model:{folder}:ro" in server["volumes"]
        assert server["depends_on"]["language-model"] == {"condition": "service_completed_successfully"}
    writer = composed["language-model"]
    assert f"language-model:{folder}" in writer["volumes"]
    assert writer["command"] == ["sh", "/export.sh", folder, dotenv()["HEROSERVE_VERSION"]]
    # Of the checkpoint that the service has.
    assert writer["image"] == composed["llm-remote"]["image"]
    for variable in ("HEROSERVE_MODEL", "HEROSERVE_REVISION"):
        assert variable in writer["environment"]
    # In the image it belongs to who writes it, and so does a volume that is made from it.
    assert f"/models {folder}\n" in stages()["base"]


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


def test_the_image_with_vllm_is_the_llm_services_otherwise() -> None:
    """What it says of ports, health and user, and what it runs."""
    told = (re.sub(r"^#.*\n?", "", stages()[name], flags=re.M) for name in ("llm", "llm-vllm"))
    plain, with_vllm = (stage.partition("COPY --from=code")[2].strip() for stage in told)
    assert with_vllm == plain
    assert with_vllm
    # Under all that both have, and last: no other target is built on it.
    assert stages()["llm-vllm"].startswith("FROM runtime AS llm-vllm\n")
    assert list(stages())[-1] == "llm-vllm"
    # Whichever files are named are in reach of the build.
    needs = build_arguments("llm-vllm-cpu")["VLLM_NEEDS"]
    assert (ROOT / needs).is_file()
    assert f"\n!{needs}\n" in (ROOT / ".dockerignore").read_text()


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
        for name in CONTAINERS[service]:
            target = "llm-vllm" if name.startswith("llm-vllm") else service
            assert composition()[name]["build"]["target"] == target


def stages() -> dict[str, str]:
    """Text of each stage of the Dockerfile, by its name."""
    text = (ROOT / "Dockerfile").read_text()
    return {re.split(r"\s", stage)[3]: stage for stage in re.split(r"^(?=FROM )", text, flags=re.M)[1:]}


def _aliases(service: Object) -> list[str]:
    aliases: list[str] = service.get("networks", {}).get("default", {}).get("aliases", [])
    return aliases


def _variables(service: str) -> list[str]:
    return [item.metadata["variable"] for item in dataclasses.fields(SETTINGS[service])]
