"""docker-compose.yml on real containers, with podman and podman-compose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.manifests import ROOT, dotenv

_PROJECT = "heroserve-test"
_COMPOSE = str(Path(sys.executable).parent / "podman-compose")
# Nothing here stands in for them.
_NOT_RUN = ("GRAFANA_IMAGE", "ALERTMANAGER_IMAGE", "VLLM_IMAGE")
_EXPORTER = "tests/containers/redis-exporter.Dockerfile"


class Failed(Exception):
    """A command ended with an error; the message is what it printed."""


def run(*command: str, timeout: float = 300, **shell: str) -> str:
    """What a command prints; not on stderr, where podman tells what it misses on a machine. Raises Failed.

    Args:
        shell: what is set for it beside this process's environment.
    """
    environ = {**os.environ, **shell}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def compose(*arguments: str, timeout: float = 600, **shell: str) -> str:
    return run(_COMPOSE, "--project-name", _PROJECT, *arguments, timeout=timeout, **shell)


def reached() -> bool:
    """Whether this machine can run containers at all."""
    return bool(shutil.which("podman")) and Path(_COMPOSE).exists()


def build(*names: str, **shell: str) -> None:
    """Images of these containers, by what docker-compose.yml says.

    Args:
        shell: see ``run``.
    """
    options = ["--network host", "-v /etc/ssl/certs:/etc/ssl/certs:ro", "--format docker"]
    wheels = os.environ.get("PIP_FIND_LINKS")
    if wheels:
        # torch's CPU build lies there, and its index may be out of reach.
        options += [f"-v {wheels}:{wheels}:ro", f"--build-arg PIP_FIND_LINKS={wheels}", "--build-arg TORCH_INDEX="]
    for name in names:
        # One after the other: podman begins what both need twice where they are built side by side.
        compose(f"--podman-build-args={' '.join(options)} --layers", "build", name, timeout=1800, **shell)


def fetch() -> None:
    """The images of others. Where no registry is reached, what there is of the same repository takes their place."""
    for variable, image in dotenv().items():
        if not variable.endswith("_IMAGE") or variable in _NOT_RUN or _exists(image):
            continue
        try:
            run("podman", "pull", "--quiet", image)
        except Failed:
            if variable == "REDIS_EXPORTER_IMAGE":
                certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"
                run("podman", "build", "--network", "host", "-v", certificates, "-f", _EXPORTER, "-t", image, ".")
            else:
                run("podman", "tag", _other(image.rpartition(":")[0]), image)


def take_down() -> None:
    """Every container and volume of the project goes; those that `--scale` added too, of which `down` knows nothing."""
    names = [item["Names"][0] for item in _listed("--all")]
    if names:
        # Some need others, and podman takes none away that is needed.
        run("podman", "rm", "--force", "--ignore", "--depend", "--time", "30", *names)
    compose("down", "--volumes")


def containers(service: str) -> list[str]:
    """Names of a service's containers that run."""
    return sorted(item["Names"][0] for item in _listed() if item["Labels"]["com.docker.compose.service"] == service)


def healthy(container: str) -> bool:
    """By its own health check."""
    return subprocess.run(["podman", "healthcheck", "run", container], capture_output=True).returncode == 0


def inspect(name: str) -> dict[str, Any]:
    """What podman knows of a container or an image."""
    (told,) = json.loads(run("podman", "inspect", name))
    return told  # type: ignore[no-any-return]


def written(container: str) -> list[str]:
    """Lines of its own output, as an engine keeps them: what `docker logs` and `kubectl logs` show."""
    told = subprocess.run(["podman", "logs", container], capture_output=True, text=True, check=True)
    return (told.stdout + told.stderr).splitlines()


def finished(container: str, request_id: str) -> list[str]:
    """Methods of the requests of that id which its own output tells to have finished."""
    lines = [json.loads(line) for line in written(container) if line.startswith("{")]
    ended = [line for line in lines if line["message"] == "request finished"]
    return [line["method"] for line in ended if line["request_id"] == request_id]


def logs() -> str:
    """The end of what every container wrote."""
    written = []
    for item in _listed("--all"):
        (name,) = item["Names"]
        told = subprocess.run(["podman", "logs", "--tail", "40", name], capture_output=True, text=True)
        written.append(f"--- {name}\n{told.stdout}{told.stderr}")
    return "\n".join(written)


def _listed(*options: str) -> list[dict[str, Any]]:
    label = f"label=io.podman.compose.project={_PROJECT}"
    found: list[dict[str, Any]] = json.loads(run("podman", "ps", *options, "--format", "json", "--filter", label))
    return found


def _exists(image: str) -> bool:
    return subprocess.run(["podman", "image", "exists", image]).returncode == 0


def _other(repository: str) -> str:
    """An image of that repository, with any tag."""
    listed = run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    found = [image for image in listed if image.rpartition(":")[0] == repository]
    if not found:
        raise Failed(f"{repository} can't be pulled, and no image of it is here")
    return found[0]
