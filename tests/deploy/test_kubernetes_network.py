"""Who reaches what, by the NetworkPolicies, as Kubernetes reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.support.manifests import Build, Object

OWN = "heroserve"


@dataclass(frozen=True)
class Pod:
    """One that asks, or is asked."""

    labels: dict[str, str]
    namespace: str = OWN
    namespace_labels: dict[str, str] = field(default_factory=dict)


PROMETHEUS = Pod({"app.kubernetes.io/name": "prometheus"}, "monitoring")
OPERATOR = Pod({"app.kubernetes.io/name": "kuberay-operator"}, "kuberay-system")
GATEWAY = Pod({}, "envoy-gateway-system")
CLIENT = Pod({"heroserve.io/client": "true"})
CLIENT_ELSEWHERE = Pod({"heroserve.io/client": "true"}, "default")
CLIENT_NAMESPACE = Pod({}, "apps", {"heroserve.io/client": "true"})
STRANGER = Pod({"app.kubernetes.io/name": "heroserve", "app.kubernetes.io/component": "llm"}, "default")
NEIGHBOUR = Pod({"app": "other"})


@pytest.fixture
def pods(production: Build) -> dict[str, Pod]:
    return {name: Pod(labels) for name, labels, _ in production.pods()}


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("llm chat", "encoder ingress", "serve-grpc"),
        ("llm chat", "encoder tower", "serve-grpc"),
        ("encoder ingress", "heroserve-redis", "redis"),
        ("encoder tower", "encoder headgroup", "gcs-server"),
        ("encoder headgroup", "encoder tower", None),
        ("llm chat", "llm headgroup", None),
        (PROMETHEUS, "encoder ingress", "app-metrics"),
        (PROMETHEUS, "encoder tower", "app-metrics"),
        (PROMETHEUS, "llm chat", "app-metrics"),
        (PROMETHEUS, "llm headgroup", "metrics"),
        (PROMETHEUS, "heroserve-redis", "metrics"),
        ("encoder headgroup", "heroserve-gcs", "redis"),
        ("llm headgroup", "heroserve-gcs", "redis"),
        (OPERATOR, "encoder headgroup", "dashboard"),
        (OPERATOR, "llm headgroup", "dashboard"),
        (GATEWAY, "llm chat", "serve-grpc"),
        (GATEWAY, "llm chat", "serve"),
        (CLIENT, "llm chat", "serve-grpc"),
        (CLIENT_NAMESPACE, "llm chat", "serve-grpc"),
        # OpenAI's API.
        (CLIENT, "llm chat", "serve"),
        (CLIENT_NAMESPACE, "llm chat", "serve"),
    ],
)
def test_reaches(source: str | Pod, target: str, port: str | None, pods: dict[str, Pod], production: Build) -> None:
    assert allowed(production, pods[source] if isinstance(source, str) else source, pods[target], port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        # Only the LLM service reaches the encoder, and only its gRPC.
        (CLIENT, "encoder ingress", "serve-grpc"),
        (GATEWAY, "encoder ingress", "serve-grpc"),
        (NEIGHBOUR, "encoder ingress", "serve-grpc"),
        (STRANGER, "encoder ingress", "serve-grpc"),
        (PROMETHEUS, "encoder ingress", "serve-grpc"),
        ("heroserve-redis", "encoder ingress", "serve-grpc"),
        ("llm chat", "encoder ingress", "serve"),
        ("llm chat", "encoder headgroup", "dashboard"),
        ("encoder ingress", "llm chat", "serve-grpc"),
        # Only the encoder reaches Redis.
        ("llm chat", "heroserve-redis", "redis"),
        (CLIENT, "heroserve-redis", "redis"),
        (PROMETHEUS, "heroserve-redis", "redis"),
        (NEIGHBOUR, "heroserve-redis", "redis"),
        ("llm chat", "heroserve-gcs", "redis"),
        (CLIENT, "heroserve-gcs", "redis"),
        # Only Prometheus reaches metrics.
        ("llm chat", "encoder ingress", "app-metrics"),
        (CLIENT, "llm chat", "app-metrics"),
        (CLIENT, "llm chat", "metrics"),
        (GATEWAY, "llm chat", "app-metrics"),
        (Pod(PROMETHEUS.labels, "default"), "llm chat", "app-metrics"),
        # Whoever reaches the dashboard runs what they like.
        (CLIENT, "llm headgroup", "dashboard"),
        (GATEWAY, "llm headgroup", "dashboard"),
        (PROMETHEUS, "llm headgroup", "dashboard"),
        (Pod(OPERATOR.labels, "default"), "llm headgroup", "dashboard"),
        (OPERATOR, "llm chat", "serve-grpc"),
        (NEIGHBOUR, "llm chat", "serve-grpc"),
        (NEIGHBOUR, "llm chat", "serve"),
        (CLIENT, "encoder ingress", "serve"),
        (GATEWAY, "encoder ingress", "serve"),
        (CLIENT_ELSEWHERE, "llm chat", "serve-grpc"),
        (CLIENT_ELSEWHERE, "llm chat", "serve"),
        # Nor anything else that is put into the namespace.
        (CLIENT, NEIGHBOUR, "http"),
    ],
)
def test_is_refused(source: str | Pod, target: str | Pod, port: str, pods: dict[str, Pod], production: Build) -> None:
    asked = pods[target] if isinstance(target, str) else target
    assert not allowed(production, pods[source] if isinstance(source, str) else source, asked, port)


def test_redis_begins_nothing(production: Build) -> None:
    spec = production.get("NetworkPolicy", "heroserve-redis")["spec"]
    assert "Egress" in spec["policyTypes"]
    assert "egress" not in spec


def test_nobody_outside_reaches_the_llm_without_the_gateway(dev: Build) -> None:
    chat = Pod(dev.workers("llm")[0].labels)
    assert not allowed(dev, GATEWAY, chat, "serve-grpc")


def test_named_ports_are_there(production: Build) -> None:
    """A policy for a port by a name that no pod has would allow nothing, silently."""
    names = {port["name"] for _, _, pod in production.pods() for one in pod["containers"] for port in one["ports"]}
    for policy in production.all("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule.get("ports", [])} <= names


def allowed(build: Build, source: Pod, target: Pod, port: str | None) -> bool:
    """Whether some policy for the target lets the source in; with no policy for it, everybody is in."""
    applying = [
        policy["spec"]
        for policy in build.all("NetworkPolicy")
        if "Ingress" in policy["spec"]["policyTypes"]
        and target.namespace == policy["metadata"]["namespace"]
        and _matches(policy["spec"]["podSelector"], target.labels)
    ]
    if not applying:
        return True
    return any(
        any(_is_peer(peer, source) for peer in rule["from"])
        and ("ports" not in rule or port in [one["port"] for one in rule["ports"]])
        for spec in applying
        for rule in spec.get("ingress", [])
    )


def _is_peer(peer: Object, source: Pod) -> bool:
    if "namespaceSelector" in peer:
        labels = {"kubernetes.io/metadata.name": source.namespace, **source.namespace_labels}
        if not _matches(peer["namespaceSelector"], labels):
            return False
    elif source.namespace != OWN:
        return False
    return _matches(peer.get("podSelector", {}), source.labels)


def _matches(selector: Object, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "teach this test matchExpressions"
    return selector.get("matchLabels", {}).items() <= labels.items()
