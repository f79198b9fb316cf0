"""Every overlay, with every choice of components, builds into valid objects that refer to what is there."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.support.manifests import (
    CUSTOM_KINDS,
    KUBERNETES,
    OPTIONAL,
    OVERLAYS,
    Build,
    Kustomize,
    Object,
    combinations,
    overlay,
    schemas,
)

# The oldest and the newest Kubernetes; objects that were fields or kinds of one of them alone fail.
VERSIONS = ("1.30", "1.37")
# Made outside of git, but for dev's.
SECRETS = {"heroserve-redis", "heroserve-encoder", "heroserve-llm", "heroserve-gcs", "heroserve-tls"}
OF_THE_CLUSTER = {"Namespace", "PriorityClass"}
# Made by KubeRay.
SERVICES = {"heroserve-encoder-serve-svc", "heroserve-llm-serve-svc"}


@pytest.mark.parametrize("chosen", combinations(), ids=lambda chosen: "+".join(chosen) or "none")
def test_every_choice_of_components(chosen: tuple[str, ...], kustomize: Kustomize, tmp_path: Path) -> None:
    """As an overlay of one's own would choose them."""
    _check(kustomize(overlay(tmp_path, *chosen)))


def test_overlays(build: Build) -> None:
    _check(build)


def test_every_component_is_tested() -> None:
    components = {path.parent.name for path in KUBERNETES.glob("components/*/kustomization.yaml")}
    assert components == {"scaling", *(name for chosen in combinations() for name in chosen)}
    assert {path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml")} == set(OVERLAYS)


def test_ray_services_against_the_crd(build: Build) -> None:
    for item in build.all("RayService"):
        _validate(item)


@pytest.mark.parametrize("name", OPTIONAL)
def test_ray_services_with_a_component_against_the_crd(name: str, kustomize: Kustomize, tmp_path: Path) -> None:
    for item in kustomize(overlay(tmp_path, name)).all("RayService"):
        _validate(item)


def test_the_crd_is_strict() -> None:
    with pytest.raises(jsonschema.ValidationError, match="rayClusterConfigs"):
        jsonschema.validate({"spec": {"rayClusterConfig": {}, "rayClusterConfigs": {}}}, _crd())


def test_a_changed_setting_is_a_changed_ray_service(dev: Build, production: Build) -> None:
    """So that KubeRay rolls it out: every ConfigMap a pod names has a digest in its name."""
    names = {item["metadata"]["name"] for item in dev.all("ConfigMap")}
    assert names
    assert not names & {item["metadata"]["name"] for item in production.all("ConfigMap") if "HOME" in item["data"]}


def _check(build: Build) -> None:
    identities = [(item["kind"], item["metadata"]["name"]) for item in build.objects]
    assert len(identities) == len(set(identities))
    for item in build.objects:
        assert item["kind"] in OF_THE_CLUSTER or item["metadata"]["namespace"] == "heroserve", item["metadata"]
        # kustomize's own keys must not come out, and nothing may be left that it didn't understand.
        assert item["kind"] not in ("Scaling", "Engine")
        if item["kind"] not in CUSTOM_KINDS:
            _valid(json.dumps(item))
    for group in build.groups():
        # Inside a RayService, too, pods are Kubernetes' own.
        pods = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": group.name}}
        _valid(json.dumps({**pods, "template": group.spec["template"]}))
    _check_references(build)


@cache
def _valid(text: str) -> None:
    """Once for each distinct object."""
    item = json.loads(text)
    for version in VERSIONS:
        kubernetes_validate.validate(item, version, strict=True)


def _check_references(build: Build) -> None:
    there = {
        "ConfigMap": {item["metadata"]["name"] for item in build.all("ConfigMap")},
        "Secret": SECRETS,
        "ServiceAccount": {item["metadata"]["name"] for item in build.all("ServiceAccount")},
        "Service": SERVICES | {item["metadata"]["name"] for item in build.all("Service")},
        "Gateway": {item["metadata"]["name"] for item in build.all("Gateway")},
    }
    keys = {
        "configMapRef": "ConfigMap",
        "secretRef": "Secret",
        "secretKeyRef": "Secret",
        "certificateRefs": "Secret",
        "backendRefs": "Service",
        "parentRefs": "Gateway",
    }
    claims = [claim for item in build.all("StatefulSet") for claim in item["spec"].get("volumeClaimTemplates", [])]
    claimed = {claim["metadata"]["name"] for claim in claims}
    for name, _, pod in build.pods():
        assert pod["serviceAccountName"] in there["ServiceAccount"], name
        containers = (*pod.get("initContainers", []), *pod["containers"])
        mounted = {mount["name"] for container in containers for mount in container.get("volumeMounts", [])}
        assert mounted <= claimed | {volume["name"] for volume in pod.get("volumes", [])}, name
    for key, reference in _walk(build.objects):
        if key in keys:
            for one in reference if isinstance(reference, list) else [reference]:
                assert one["name"] in there[keys[key]], f"{key}: {one}"


def _validate(ray_service: Object) -> None:
    jsonschema.Draft202012Validator(_crd()).validate(ray_service)


def _walk(value: Any) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


@cache
def _crd() -> Object:
    """RayService's schema, in which an unknown field is an error, as it is to `kubectl apply`."""
    folder = schemas()
    path = folder / "ray.io_rayservices.yaml" if folder else None
    if path is None or not path.exists():
        missing = "RayService is NOT validated: no ray.io_rayservices.yaml in HEROSERVE_SCHEMAS or ../shared/schemas"
        warnings.warn(missing, stacklevel=2)
        pytest.skip(missing)
    with path.open() as file:
        crd = yaml.load(file, yaml.CSafeLoader)
    (version,) = (version for version in crd["spec"]["versions"] if version["name"] == "v1")
    schema: Object = version["schema"]["openAPIV3Schema"]
    _forbid_unknown(schema)
    return schema


def _forbid_unknown(schema: Any) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            schema.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
        for inner in schema.values():
            _forbid_unknown(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _forbid_unknown(inner)
