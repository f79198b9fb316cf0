"""The pods of the overlay `dev`, run: images, commands, probes, settings, placement, names, and an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import heroserve
from scripts.stack import PICTURE, QUESTION
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings
from tests.support import pods
from tests.support.compose import finished, run, written
from tests.support.manifests import KUBERNETES, ROOT, SERVICES, Build, decoded, dotenv, kustomize
from tests.support.pods import Pod, RayService
from tests.support.waiting import until

_PATIENCE_S = 300.0
IDS = ("the-first-of-two", "the-second-of-two")

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def dev() -> Build:
    return kustomize(KUBERNETES / "overlays/dev")


@pytest.fixture(scope="module")
def services(images: None, dev: Build) -> Iterator[dict[str, RayService]]:
    """Both, with Redis, ready."""
    version = dotenv()["HEROSERVE_VERSION"]
    for service in SERVICES:
        run("podman", "tag", f"heroserve-{service}:{version}", f"heroserve-{service}:dev")
    pods.remove_all()
    pods.make_network()
    try:
        redis(dev).start()
        services = {service: RayService(dev, service) for service in SERVICES}
        for service in services.values():
            service.head.start()
        for service in services.values():
            wait(service.head, "readinessProbe")
            for pod in service.workers.values():
                pod.start()
        for service in services.values():
            for pod in service.workers.values():
                wait(pod, "livenessProbe")
            # No traffic yet.
            assert not any(pod.probe("readinessProbe") for pod in service.workers.values())
            service.deploy()
        for service in services.values():
            assert until(lambda running=service: running.running, _PATIENCE_S, 3), service.status()  # type: ignore[misc]
        yield services
    finally:
        pods.remove_all()


def redis(dev: Build) -> Pod:
    spec = dev.get("Deployment", "heroserve-redis")["spec"]["template"]["spec"]
    password = decoded(dev.get("Secret", "heroserve-redis"))["password"]
    arguments = [argument.replace("$(REDISCLI_AUTH)", password) for argument in spec["containers"][0]["args"]]
    host = dev.get("Service", "heroserve-redis")["metadata"]["name"]
    return Pod("heroserve-pods-redis", spec, {"REDISCLI_AUTH": password}, arguments, [host])


def wait(pod: Pod, probe: str) -> None:
    assert until(lambda: pod.probe(probe), _PATIENCE_S), run("podman", "logs", "--tail", "50", pod.name)


def test_every_probe_succeeds(services: dict[str, RayService]):
    for service in services.values():
        for pod in (service.head, *service.workers.values()):
            wait(pod, "livenessProbe")
            wait(pod, "readinessProbe")


def test_each_deployment_is_in_its_own_group(services: dict[str, RayService]):
    assert services["encoder"].places() == {"Encoder": {"ingress"}, "VisionTower": {"tower"}}
    assert services["llm"].places() == {"Chat": {"chat"}}


def test_ray_obeys_nobody_without_the_clusters_token(services: dict[str, RayService]):
    for service in services.values():
        assert service.refuses_strangers()


@pytest.fixture(scope="module")
def answers(services: dict[str, RayService]) -> list[str]:
    """Two, about the same picture, by way of the names that KubeRay's Services have."""
    (chat,) = services["llm"].workers.values()
    with heroserve.Client(f"{chat.address}:{LlmSettings().grpc_port}", timeout_s=60) as client:
        return [client.ask(str(ROOT / PICTURE), QUESTION, retention=0.2, request_id=name).text.strip() for name in IDS]


def test_questions_are_answered(answers: list[str]):
    assert answers == ["T", "T"]


def test_one_id_is_in_the_own_output_of_both_services_pods(services: dict[str, RayService], answers: list[str]):
    """Not only in files of Ray's session: `kubectl logs` shows what the container itself writes."""
    chat, ingress = services["llm"].workers["chat"], services["encoder"].workers["ingress"]
    for name in IDS:
        assert until(lambda told=name: finished(chat.name, told) == ["heroserve.v1.VisionChat/Generate"], 30)
        assert until(lambda told=name: finished(ingress.name, told) == ["heroserve.v1.VisionEncoder/Encode"], 30)
    for pod in (chat, *services["encoder"].workers.values()):
        lines = written(pod.name)
        assert any('"logger": "services.' in line for line in lines), "\n".join(lines)
        # What `ray start` says is no JSON, and coloured; ours is nothing else.
        assert [line for line in lines if "services." in line and not line.startswith("{")] == []


def test_the_encoder_wants_its_key(services: dict[str, RayService]):
    for pod in services["encoder"].workers.values():
        target = f"{pod.address}:{EncoderSettings().grpc_port}"
        with heroserve.Client(encoder_target=target) as stranger, pytest.raises(heroserve.Unauthenticated):
            stranger.encode(str(ROOT / PICTURE), QUESTION)


def test_metrics_are_where_the_pod_monitors_look(services: dict[str, RayService], answers: list[str]):
    """The services' own on pods with a replica, Ray's on each."""
    port = EncoderSettings().metrics_port
    told = {name: pod.get(port, "/metrics") for name, pod in services["encoder"].workers.items()}
    # Which takes Redis's password.
    assert 'heroserve_cache_requests_total{result="hit"} 1.0' in told["ingress"]
    assert "heroserve_tower_batch_tiles_count 1.0" in told["tower"]
    (chat,) = services["llm"].workers.values()
    page = chat.get(LlmSettings().metrics_port, "/metrics")
    assert 'heroserve_chat_requests_total{code="OK",door="grpc"} 2.0' in page
    for service in services.values():
        for pod in (service.head, *service.workers.values()):
            assert "ray_node_cpu_utilization" in pod.get(8080, "/metrics")
