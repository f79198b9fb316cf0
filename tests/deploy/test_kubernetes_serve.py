"""Serve's config and the settings agree with the code."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Iterator

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _get_ray_resources_from_group_spec
from ray.serve import Application, Deployment
from ray.serve._private.constants import DEFAULT_UVICORN_KEEP_ALIVE_TIMEOUT_S
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

import heroserve
from services.common import node
from services.common.ingress import front
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings
from tests.support.manifests import KUBERNETES, ROOT, SERVICES, SETTINGS, Build, Group, Object, decoded


@pytest.mark.parametrize("service", SERVICES)
def test_serve_config_does_what_node_does(service: str, build: Build) -> None:
    settings = SETTINGS[service]()
    config = ServeDeploySchema.model_validate(build.serve_config(service))
    assert config.proxy_location == "EveryNode"
    assert (config.http_options.host, config.http_options.port) == (settings.host, settings.http_port)
    assert config.grpc_options.port == settings.grpc_port
    assert config.grpc_options.grpc_servicer_functions == [node.SERVICERS[service]]
    assert config.grpc_options.request_timeout_s == settings.request_timeout_s
    assert config.logging_config is not None
    assert (config.logging_config.log_level, config.logging_config.enable_access_log) == ("WARNING", False)
    (application,) = config.applications
    assert (application.name, application.route_prefix) == (settings.name, f"/{settings.name}")
    for path in (application.import_path.replace(":", "."), *config.grpc_options.grpc_servicer_functions):
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("service", SERVICES)
def test_deployments_are_those_of_the_code(service: str, build: Build) -> None:
    (application,) = build.serve_config(service)["applications"]
    written = {item["name"]: item for item in application["deployments"]}
    deployed = _deployments(service, build)
    assert written.keys() == deployed.keys()
    for name, deployment in deployed.items():
        # What is written goes in the place of all that the code says, so it must say all of it.
        told = AutoscalingConfig(**written[name]["autoscaling_config"])
        code = deployment._deployment_config.autoscaling_config
        assert told.target_ongoing_requests == code.target_ongoing_requests
        assert told.policy == code.policy
        assert told.min_replicas <= told.max_replicas
        assert told.downscale_delay_s >= 60
        options = deployment.ray_actor_options
        if "ray_actor_options" in written[name]:
            assert written[name]["ray_actor_options"]["num_cpus"] == options["num_cpus"]
            assert written[name]["ray_actor_options"].get("num_gpus", 0) == options.get("num_gpus", 0)
            # Of these Serve merges the application's.
            assert application["runtime_env"] == options["runtime_env"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_holds_one_replica_of_one_deployment(service: str, build: Build) -> None:
    """And both autoscalers stop at the same number, so that every replica has its pod and no pod is without."""
    (application,) = build.serve_config(service)["applications"]
    placed = {}
    for item in application["deployments"]:
        options = {**_deployments(service, build)[item["name"]].ray_actor_options, **item.get("ray_actor_options", {})}
        needs = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus", 0), **options.get("resources", {})}
        fitting = [group for group in build.workers(service) if _fit(needs, group) > 0]
        assert [_fit(needs, group) for group in fitting] == [1], f"{item['name']}: {needs}"
        placed[fitting[0].name] = fitting[0]
        bounds = item["autoscaling_config"]
        assert bounds["min_replicas"] == fitting[0].spec["minReplicas"]
        assert bounds["max_replicas"] == fitting[0].spec["maxReplicas"]
    assert len(placed) == len(build.workers(service)) == len(application["deployments"])


def test_overlays_scale_as_they_say(dev: Build, production: Build) -> None:
    for overlay, build in (("dev", dev), ("production", production)):
        told = yaml.safe_load((KUBERNETES / f"overlays/{overlay}/scaling.yaml").read_text())["spec"]
        for service in SERVICES:
            groups = {group.name: group.spec for group in build.workers(service)}
            assert told[service].keys() == groups.keys()
            for name, bounds in told[service].items():
                assert (groups[name]["minReplicas"], groups[name]["maxReplicas"]) == (bounds["min"], bounds["max"])


@pytest.mark.parametrize("service", SERVICES)
def test_settings_are_known_and_right(service: str, build: Build) -> None:
    known = {item.metadata["variable"] for item in dataclasses.fields(SETTINGS[service])}
    for group in (build.head(service), *build.workers(service)):
        environment = build.environment(group)
        told = {name for name in environment if name.startswith("HEROSERVE_")}
        assert told <= known
        SETTINGS[service].from_env(environment)
        # Built on the head, run on the workers.
        assert environment == build.environment(build.head(service))


def test_secrets_are_settings_and_fit_together(dev: Build) -> None:
    secrets = {item["metadata"]["name"]: decoded(item) for item in dev.all("Secret")}
    for service in SERVICES:
        known = {item.metadata["variable"] for item in dataclasses.fields(SETTINGS[service])}
        assert secrets[f"heroserve-{service}"].keys() <= known
    assert secrets["heroserve-encoder"]["HEROSERVE_API_KEYS"] == secrets["heroserve-llm"]["HEROSERVE_ENCODER_API_KEY"]
    service = dev.get("Service", "heroserve-redis")
    address = f"//{service['metadata']['name']}:{service['spec']['ports'][0]['port']}/"
    assert address in secrets["heroserve-encoder"]["HEROSERVE_CACHE_URL"]
    assert secrets["heroserve-encoder"]["HEROSERVE_CACHE_PASSWORD"] == secrets["heroserve-redis"]["password"]


def test_no_secret_is_in_the_overlay_for_production(production: Build) -> None:
    assert not production.all("Secret")
    for item in production.all("ConfigMap"):
        secret = {"HEROSERVE_API_KEYS", "HEROSERVE_ENCODER_API_KEY", "HEROSERVE_CACHE_URL"}
        secret |= {"HEROSERVE_CACHE_PASSWORD", "HEROSERVE_CACHE_SENTINEL_PASSWORD", "HEROSERVE_CACHE_KEY"}
        assert not item["data"].keys() & secret


def test_what_ray_reads_is_what_node_sets(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    node.set_environment()
    for group in build.groups():
        assert os.environ.items() <= build.environment(group).items()
    assert os.environ["RAY_SERVE_GRPC_MAX_MESSAGE_SIZE"] == str(heroserve.MAX_MESSAGE_BYTES)


@pytest.mark.parametrize("service", SERVICES)
def test_ports(service: str, build: Build) -> None:
    settings = SETTINGS[service]()
    served = {"serve": settings.http_port, "serve-grpc": settings.grpc_port}
    # KubeRay gives its Service the ports that the head names.
    assert served.items() <= build.head(service).ports.items()
    for group in build.workers(service):
        assert group.ports == {**served, "app-metrics": settings.metrics_port, "metrics": 8080}


def test_the_llm_finds_the_encoder(build: Build) -> None:
    """At KubeRay's Service, which is headless so that gRPC's round robin sees every pod."""
    for service in SERVICES:
        assert build.ray_service(service)["spec"]["serveService"]["spec"] == {"clusterIP": "None"}
    target = build.environment(build.head("llm"))["HEROSERVE_ENCODER_TARGET"]
    assert target == f"heroserve-encoder-serve-svc:{EncoderSettings().grpc_port}"


def test_routes_lead_to_the_llm(production: Build) -> None:
    settings = LlmSettings()
    for kind, port in (("GRPCRoute", settings.grpc_port), ("HTTPRoute", settings.http_port)):
        (route,) = production.all(kind)
        (rule,) = route["spec"]["rules"]
        assert rule["backendRefs"] == [{"name": "heroserve-llm-serve-svc", "port": port}]
    # The service ends it first, and says so.
    assert seconds(rule["timeouts"]["request"]) > settings.request_timeout_s
    policies = {}
    for policy in production.all("BackendTrafficPolicy"):
        (target,) = policy["spec"]["targetRefs"]
        assert target["name"] == production.all(target["kind"])[0]["metadata"]["name"]
        policies[target["kind"]] = policy["spec"]["timeout"]["http"]
    assert policies.keys() == {"GRPCRoute", "HTTPRoute"}
    # A GRPCRoute can't say so, and without a word Envoy ends an answer after 15 s.
    assert policies["GRPCRoute"]["requestTimeout"] == "0s"
    assert seconds(policies["GRPCRoute"]["maxStreamDuration"]) > settings.request_timeout_s
    # A connection that the service is about to close gets no request.
    assert seconds(policies["HTTPRoute"]["connectionIdleTimeout"]) < DEFAULT_UVICORN_KEEP_ALIVE_TIMEOUT_S
    (gateway,) = production.all("Gateway")
    listeners = {item["name"]: item for item in gateway["spec"]["listeners"]}
    assert {item["protocol"] for item in listeners.values()} == {"HTTPS"}
    for kind in ("GRPCRoute", "HTTPRoute"):
        for parent in production.all(kind)[0]["spec"]["parentRefs"]:
            assert parent["sectionName"] in listeners


def test_what_http_serves_is_routed(production: Build) -> None:
    """By what the port itself lets through for programs, and nothing else of it: the Playground stays inside."""
    (route,) = production.all("HTTPRoute")
    paths = [match["path"] for match in route["spec"]["rules"][0]["matches"]]
    prefixes = [path["value"] for path in paths if path["type"] == "PathPrefix"]
    # Whole segments: what /v1 matches is /v1 and /v1/..., as Gateway API has it.
    assert [f"{prefix}/" for prefix in prefixes] == [front.API]
    assert {path["value"] for path in paths if path["type"] == "Exact"} == set(front.HEALTH)


def test_images_are_this_version(base: Build, production: Build) -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for service in SERVICES:
        for build, image in (
            (base, f"heroserve-{service}:{version}"),
            # With GPUs, torch is another.
            (production, f"registry.example.com/heroserve-{service}:{version}-cuda"),
        ):
            assert {group.container["image"] for group in (build.head(service), *build.workers(service))} == {image}


def test_kubernetes_and_compose_watch_the_same(production: Build) -> None:
    """Rules, dashboards, jobs and what is kept of Ray's metrics."""
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())["scrape_configs"]
    jobs = {item["job_name"]: item for item in scraped}
    app, of_ray = production.get("PodMonitor", "heroserve")["spec"]["podMetricsEndpoints"]
    assert jobs.keys() == {*_jobs(app), *_jobs(of_ray), "heroserve-vllm", "heroserve-redis"}
    (beside,) = production.get("PodMonitor", "heroserve-vllm")["spec"]["podMetricsEndpoints"]
    (kept,) = beside["metricRelabelings"]
    assert kept["regex"] == jobs["heroserve-vllm"]["metric_relabel_configs"][0]["regex"]
    assert {"targetLabel": "job", "replacement": "heroserve-vllm"} in beside["relabelings"]
    told = jobs["heroserve-llm-ray"]["metric_relabel_configs"]
    kept, dropped = of_ray["metricRelabelings"]
    assert kept["regex"] == told[0]["regex"]
    assert dropped["regex"] == told[1]["regex"]
    for service in SERVICES:
        (discovery,) = jobs[f"heroserve-{service}"]["dns_sd_configs"]
        assert discovery["port"] == SETTINGS[service]().metrics_port
    names = {port["name"] for group in production.groups() for port in group.container["ports"]}
    assert {app["port"], of_ray["port"]} <= names


def test_every_dashboard_is_there(production: Build) -> None:
    dashboards = {path.name for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    labelled = [item for item in production.all("ConfigMap") if item["metadata"].get("labels")]
    assert {name for item in labelled for name in item["data"]} == dashboards
    assert all(item["metadata"]["labels"] == {"grafana_dashboard": "1"} for item in labelled)


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


_VLLM_ARGS = "HEROSERVE_VLLM_ARGS"


def _deployments(service: str, build: Build) -> dict[str, Deployment]:
    """What the code would deploy with this build's settings, and the model of this checkout."""
    environment = build.environment(build.head(service))
    environment.pop("HEROSERVE_MODEL", None)
    # vLLM is not installed here; what it is given of a node is no other.
    environment = {name: value for name, value in environment.items() if name not in ("HEROSERVE_ENGINE", _VLLM_ARGS)}
    module = importlib.import_module(f"services.{service}.app")
    return {deployment.name: deployment for deployment in _bound(module.build(environment))}


def _bound(application: Application) -> Iterator[Deployment]:
    deployment = application._bound_deployment
    yield deployment
    for argument in deployment.init_args:
        if isinstance(argument, Application):
            yield from _bound(argument)


def _fit(needs: dict[str, float], group: Group) -> int:
    """How many replicas Ray would put on a pod, reckoned as its autoscaler does."""
    offered = _get_ray_resources_from_group_spec(group.spec, False)
    return int(min(offered.get(name, 0) // amount for name, amount in needs.items() if amount))


def _jobs(endpoint: Object) -> list[str]:
    (rule,) = (item for item in endpoint["relabelings"] if item.get("targetLabel") == "job")
    return [rule["replacement"].replace("$1", service) for service in SERVICES]
