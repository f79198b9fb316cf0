"""A RayService's pods as KubeRay starts them, each pod a container.

KubeRay's own part is played here: it makes a `ray start` of each group, gives a cluster a token, and hands Serve's
config to the head. What is not there is Kubernetes: network policies, Services but for their names, the autoscaler.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from functools import cached_property
from typing import Any

import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _get_ray_resources_from_group_spec

from tests.support.compose import Failed, inspect, run
from tests.support.manifests import Build, Group, decoded

LABEL = "heroserve.test=pods"
_NETWORK = "heroserve-pods"
_TOKEN = "a-token-of-one-cluster-and-not-of-another"
_DASHBOARD = 8265


def make_network() -> None:
    run("podman", "network", "create", _NETWORK)


def remove_all() -> None:
    """Every pod, and their network."""
    names = run("podman", "ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
    if names:
        run("podman", "rm", "--force", "--time", "10", *names)
    try:
        run("podman", "network", "rm", _NETWORK)
    except Failed as error:
        if "not found" not in str(error):
            raise


class Pod:
    """A container with what a pod's one container says.

    Args:
        name: of the container.
        spec: the pod's.
        environment: of the container.
        arguments: the command's.
        hosts: names by which others find it.
    """

    def __init__(
        self, name: str, spec: dict[str, Any], environment: dict[str, str], arguments: list[str], hosts: list[str]
    ) -> None:
        (container,) = spec["containers"]
        self.name = name
        self.container = container
        security, pod_security = container["securityContext"], spec["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        options = ["--read-only", "--cap-drop", *security["capabilities"]["drop"]]
        options += ["--security-opt", "no-new-privileges"]
        options += ["--user", f"{pod_security['runAsUser']}:{pod_security['runAsGroup']}"]
        options += ["--memory", container["resources"]["limits"]["memory"].replace("Gi", "g"), "--shm-size", "512m"]
        for mount in container["volumeMounts"]:
            options += ["--tmpfs", f"{mount['mountPath']}:mode=1777"]
        for variable, value in environment.items():
            options += ["--env", f"{variable}={value}"]
        for host in hosts:
            options += ["--network-alias", host]
        self._command = ["podman", "run", "--detach", "--name", name, "--label", LABEL, "--network", _NETWORK]
        self._command += [*options, container["image"], *arguments]

    def start(self) -> None:
        run(*self._command)

    @cached_property
    def address(self) -> str:
        networks = inspect(self.name)["NetworkSettings"]["Networks"]
        found: str = networks[_NETWORK]["IPAddress"]
        return found

    def probe(self, name: str) -> bool:
        """What the kubelet would find."""
        probe = self.container[name]["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        try:
            self.get(ports.get(probe["port"], probe["port"]), probe["path"])
        except OSError:
            return False
        return True

    def get(self, port: int, path: str) -> str:
        """The page. Raises OSError."""
        with urllib.request.urlopen(f"http://{self.address}:{port}{path}", timeout=10) as page:
            text: str = page.read().decode()
            return text


class RayService:
    """The pods of one RayService, with one pod a group.

    Args:
        build: the overlay's objects.
        service: encoder or llm.
    """

    def __init__(self, build: Build, service: str) -> None:
        self._config = build.serve_config(service)
        head = f"heroserve-{service}-head-svc"
        self.head = self._pod(build, service, build.head(service), [head], ["--head", "--dashboard-host=0.0.0.0"])
        # KubeRay's Service has every pod with a proxy but the head.
        hosts = [f"heroserve-{service}-serve-svc"]
        self.workers = {
            group.name: self._pod(build, service, group, hosts, [f"--address={head}:6379"])
            for group in build.workers(service)
        }

    def deploy(self) -> None:
        """Hand Serve's config to the head."""
        self._dashboard("PUT", self._config)

    @property
    def running(self) -> bool:
        """Whether each application is, and all its replicas."""
        applications = self.status()["applications"].values()
        return bool(applications) and all(item["status"] == "RUNNING" for item in applications)

    def status(self) -> dict[str, Any]:
        """Serve's own, as the dashboard tells it."""
        return self._dashboard("GET")

    def places(self) -> dict[str, set[str]]:
        """In which groups' pods each deployment has replicas."""
        groups = {pod.address: name for name, pod in {**self.workers, "head": self.head}.items()}
        (application,) = self.status()["applications"].values()
        return {
            name: {groups[replica["node_ip"]] for replica in item["replicas"]}
            for name, item in application["deployments"].items()
        }

    def refuses_strangers(self) -> bool:
        try:
            self.head.get(_DASHBOARD, "/api/serve/applications/")
        except urllib.error.HTTPError as error:
            return error.code == 401
        return False

    def _pod(self, build: Build, service: str, group: Group, hosts: list[str], options: list[str]) -> Pod:
        parameters = dict(group.spec["rayStartParams"])
        resources = _get_ray_resources_from_group_spec(group.spec, group.name == "headgroup")
        parameters.setdefault("num-cpus", str(resources.pop("CPU")))
        parameters["memory"] = str(resources.pop("memory"))
        parameters["resources"] = f"'{json.dumps(resources)}'"
        parameters |= {"metrics-export-port": "8080", "dashboard-agent-listen-port": "52365"}
        start = " ".join(["ray start --block", *options, *(f"--{key}={value}" for key, value in parameters.items())])
        environment = build.environment(group)
        for source in group.container["envFrom"]:
            if "secretRef" in source:
                environment |= decoded(build.get("Secret", source["secretRef"]["name"]))
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}
        name = f"heroserve-pods-{service}-{group.name}"
        return Pod(name, group.pod, environment, ["/bin/bash", "-ce", "--", start], hosts)

    def _dashboard(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://{self.head.address}:{_DASHBOARD}/api/serve/applications/",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=120) as page:
            text = page.read().decode()
        told: dict[str, Any] = yaml.safe_load(text) if text else {}
        return told
