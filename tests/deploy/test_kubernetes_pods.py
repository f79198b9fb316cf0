"""What every pod has: little power, probes, requests; and what makes upgrades and scaling harmless."""

from __future__ import annotations

import ray
from packaging.version import Version
from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT

from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings
from tests.support.manifests import SERVICES, Build

REQUEST_TIMEOUT_S = max(EncoderSettings().request_timeout_s, LlmSettings().request_timeout_s)
# ray.serve: how long a proxy without replicas drains at least.
PROXY_DRAINING_S = 30


def test_pods_are_restricted(build: Build) -> None:
    for name, _, pod in build.pods():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            _check_restricted(container["securityContext"])
    for service in SERVICES:
        options = build.ray_service(service)["spec"]["rayClusterConfig"]["autoscalerOptions"]
        _check_restricted(options["securityContext"])
    (namespace,) = build.all("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def _check_restricted(security: dict[str, object]) -> None:
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_lost_head_comes_back(production: Build) -> None:
    address = production.get("Service", "heroserve-gcs")
    for service in SERVICES:
        options = production.ray_service(service)["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
        assert options["redisAddress"] == f"{address['metadata']['name']}:{address['spec']['ports'][0]['port']}"
        assert "valueFrom" in options["redisPassword"]


def test_only_heads_talk_to_the_api_server(build: Build) -> None:
    """Ray's autoscaler is beside them."""
    accounts = {item["metadata"]["name"]: item for item in build.all("ServiceAccount")}
    for name, labels, pod in build.pods():
        account = accounts[pod["serviceAccountName"]]
        if labels.get("ray.io/node-type") == "head":
            assert account["metadata"]["name"].endswith("-head")
        else:
            assert pod["automountServiceAccountToken"] is False, name
            assert account["automountServiceAccountToken"] is False, name


def test_ray_asks_for_a_token(build: Build) -> None:
    """Who reaches a Ray cluster's ports may run anything in it."""
    for service in SERVICES:
        assert build.ray_service(service)["spec"]["rayClusterConfig"]["authOptions"] == {"mode": "token"}


def test_ray_runs_as_the_images_user_and_can_write_where_it_must(build: Build) -> None:
    for group in build.groups():
        assert group.pod["securityContext"]["runAsUser"] == 10001
        writable = {volume["name"] for volume in group.pod["volumes"] if volume.get("emptyDir") == {}}
        mounts = {mount["mountPath"]: mount["name"] for mount in group.container["volumeMounts"]}
        environment = build.environment(group)
        assert mounts["/tmp"] in writable
        assert mounts[environment["HEROSERVE_METRICS_DIR"]] in writable
        assert environment["HOME"] in mounts
        assert environment["HF_HOME"] in mounts


def test_requests_limits_and_probes(build: Build) -> None:
    for name, _, pod in build.pods():
        for container in pod["containers"]:
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), name
            assert "memory" in resources["limits"], name
            assert "readinessProbe" in container, name
    for group in build.groups():
        probe = group.container["livenessProbe"]["httpGet"]
        assert probe == {"path": "/api/healthz", "port": DEFAULT_DASHBOARD_AGENT_LISTEN_PORT}
    for service in SERVICES:
        for group in build.workers(service):
            # An encoder that is away takes no pod of the LLM service out of its Service, and restarts none.
            path = {"encoder": "/readyz", "llm": "/readyz?exclude=encoder"}[service]
            assert group.container["readinessProbe"]["httpGet"] == {"path": path, "port": "serve"}


def test_upgrades_lose_no_request(build: Build) -> None:
    for service in SERVICES:
        spec = build.ray_service(service)["spec"]
        assert spec["upgradeStrategy"]["type"] == "NewCluster"
        # The cluster that is replaced stays until its last request has ended.
        assert spec["rayClusterDeletionDelaySeconds"] > REQUEST_TIMEOUT_S + PROXY_DRAINING_S
        # The head has no replicas, and so none to lose.
        assert spec["excludeHeadPodFromServeSvc"] is True
        assert build.head(service).spec["rayStartParams"]["num-cpus"] == "0"
        for group in build.workers(service):
            # A pod that is evicted lets its requests end: first it is forgotten, then Ray drains it.
            pause = int(group.container["lifecycle"]["preStop"]["exec"]["command"][1])
            draining = float(build.environment(group)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
            assert draining > REQUEST_TIMEOUT_S
            assert group.pod["terminationGracePeriodSeconds"] > pause + draining


def test_scaling_down_loses_no_request(build: Build) -> None:
    for service in SERVICES:
        cluster = build.ray_service(service)["spec"]["rayClusterConfig"]
        assert cluster["enableInTreeAutoscaling"] is True
        assert cluster["autoscalerOptions"]["version"] == "v2"
        assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] >= REQUEST_TIMEOUT_S + PROXY_DRAINING_S


def test_disruption_budgets(base: Build, production: Build, dev: Build) -> None:
    """One for every worker group; none where it would forbid that a node is drained at all."""
    assert not dev.all("PodDisruptionBudget")
    for build in (base, production):
        budgets = [item["spec"] for item in build.all("PodDisruptionBudget")]
        groups = [group for service in SERVICES for group in build.workers(service)]
        assert len(budgets) == len(groups)
        for group in groups:
            (budget,) = (item for item in budgets if item["selector"]["matchLabels"].items() <= group.labels.items())
            # Of pods of a custom resource Kubernetes knows no total: a percentage or maxUnavailable would not work.
            assert 0 < budget["minAvailable"] < group.spec["minReplicas"]


def test_heads_are_kept(build: Build) -> None:
    """By autoscalers that tidy nodes up, by whatever has no room, and not both by one node."""
    classes = {item["metadata"]["name"]: item["value"] for item in build.all("PriorityClass")}
    for service in SERVICES:
        head = build.head(service)
        annotations = head.spec["template"]["metadata"]["annotations"]
        assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
        assert annotations["karpenter.sh/do-not-disrupt"] == "true"
        assert classes[head.pod["priorityClassName"]] > 0
        (term,) = head.pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        apart = term["podAffinityTerm"]
        assert apart["topologyKey"] == "kubernetes.io/hostname"
        # Heads of both services, and nothing else.
        kept = {
            name for name, labels, _ in build.pods() if apart["labelSelector"]["matchLabels"].items() <= labels.items()
        }
        assert kept == {f"{one} headgroup" for one in SERVICES}
        # A worker may go: its requests are waited for.
        for group in build.workers(service):
            assert "annotations" not in group.spec["template"]["metadata"]
            assert "priorityClassName" not in group.pod


def test_a_node_pool_is_for_those_who_choose_it(build: Build) -> None:
    """A pod without a GPU would keep a node with one from being given back."""
    for name, labels, pod in build.pods():
        tolerated = {item["value"] for item in pod.get("tolerations", []) if item["key"] == "heroserve.io/pool"}
        chosen = {pod["nodeSelector"]["heroserve.io/pool"]} if "nodeSelector" in pod else set()
        assert tolerated == chosen, name
        if chosen:
            assert chosen == {labels["app.kubernetes.io/component"]}
            assert any(item["key"] == "nvidia.com/gpu" for item in pod["tolerations"])


def test_gpus(production: Build, dev: Build) -> None:
    """For models, and for nothing else."""
    for build, expected in ((production, {"tower", "chat"}), (dev, set())):
        with_gpu = {
            group.name for group in build.groups() if "nvidia.com/gpu" in group.container["resources"]["limits"]
        }
        assert with_gpu == expected
        for group in build.groups():
            # Decided where the application is built, which is the head, so it can't be found out there.
            assert (build.environment(group).get("HEROSERVE_DEVICE") == "cuda") is bool(expected)
            tolerated = {item["key"] for item in group.pod.get("tolerations", [])}
            assert ("nvidia.com/gpu" in tolerated) is (group.name in with_gpu)


def test_ray_is_one_version(build: Build) -> None:
    for service in SERVICES:
        told = Version(build.ray_service(service)["spec"]["rayClusterConfig"]["rayVersion"])
        assert Version("2.50") <= told <= Version(ray.__version__)
