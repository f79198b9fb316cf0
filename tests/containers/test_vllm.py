"""The stack with vLLM on processors: in the LLM service, and in an unmodified `vllm serve` beside it. Last of all."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import heroserve
from scripts.stack import PICTURE, QUESTION
from tests.containers.test_stack import COMMAND
from tests.support import compose
from tests.support.compose import inspect, run
from tests.support.manifests import ROOT, dotenv
from tests.support.waiting import until

# vLLM takes half a minute of a machine that is not busy.
_PATIENCE_S = 300.0
_PAGE = "import urllib.request as u; print(u.urlopen('http://localhost:{}/metrics').read().decode())"

pytestmark = pytest.mark.timeout(3600)


@dataclass(frozen=True)
class Profile:
    """One of docker-compose.yml's.

    Args:
        engine: that the LLM service is told.
        llm: its container.
        server: vLLM's own, if any.
    """

    engine: str
    llm: str
    server: str = ""

    @property
    def containers(self) -> list[str]:
        beside = ["language-model", self.server] if self.server else []
        return ["redis", "encoder", *beside, self.llm]


PROFILES = {
    "vllm-cpu": Profile("vllm", "llm-vllm-cpu"),
    "vllm-remote-cpu": Profile("vllm-remote", "llm-remote", "vllm-cpu"),
}


@pytest.fixture(scope="module")
def image(images: None) -> str:
    compose.build("llm-vllm-cpu", COMPOSE_PROFILES="vllm-cpu")
    return f"heroserve-llm:{dotenv()['HEROSERVE_VERSION']}-vllm-cpu"


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest, image: str) -> Iterator[Profile]:
    """Up, and well."""
    chosen: Profile = PROFILES[request.param]
    compose.take_down()
    try:
        compose.compose("up", "--detach", *chosen.containers, COMPOSE_PROFILES=request.param)
        for service in (chosen.server, "encoder", chosen.llm):
            for container in compose.containers(service):
                assert until(lambda name=container: compose.healthy(name), _PATIENCE_S, 3), compose.logs()  # type: ignore[misc]
        yield chosen
    finally:
        compose.take_down()


def test_a_question_is_answered_as_without_vllm(profile: Profile):
    command = [COMMAND, "ask", PICTURE, QUESTION, "--retention", "0.2", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{done.stderr}\n{compose.logs()}"
    answer = json.loads(done.stdout)
    assert answer["text"].strip() == "T"
    assert answer["savings"].items() >= {"total": 448, "kept": 88, "dropped": 360}.items()
    with heroserve.Client("localhost:9001") as client:
        assert client.describe().engine == profile.engine


def test_what_the_engine_did_is_told_where_prometheus_looks(profile: Profile):
    """A question that came before is read out of the cache, for all but the end of it."""
    with heroserve.Client("localhost:9001") as client:
        for _ in range(2):
            client.ask(str(ROOT / PICTURE), QUESTION, retention=1.0)
    service, port = (profile.server, 8000) if profile.server else (profile.llm, 9101)
    hits = "vllm:prefix_cache_hits_total" if profile.server else 'heroserve_engine_prefix_tokens_total{outcome="hit"}'
    (container,) = compose.containers(service)

    def hit() -> bool:
        page = run("podman", "exec", container, "python3", "-c", _PAGE.format(port)).splitlines()
        return any(float(line.split()[-1]) > 0 for line in page if line.startswith(hits))

    assert until(hit, 30, 1)


def test_containers_with_vllm_have_no_power(profile: Profile):
    (container,) = compose.containers(profile.server or profile.llm)
    told = inspect(container)
    assert told["HostConfig"]["ReadonlyRootfs"] is True
    assert told["EffectiveCaps"] in (None, [])
    assert run("podman", "exec", container, "id", "-u").strip() == "10001"
