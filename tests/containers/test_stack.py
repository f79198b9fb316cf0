"""The stack as `docker compose up` makes it, asked from outside of it, in the order of the tests."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

import heroserve
from scripts.stack import PICTURE, QUESTION
from tests.support.compose import compose, containers, finished, healthy, inspect, logs, run, written
from tests.support.manifests import ROOT, SERVICES, composition, size
from tests.support.pictures import encoded, picture
from tests.support.prometheus import Api, rules
from tests.support.waiting import until

COMMAND = str(Path(sys.executable).parent / "heroserve")
# The LLM service's metrics, which are published nowhere.
_PAGE = "import urllib.request as u; print(u.urlopen('http://localhost:9101/metrics').read().decode())"
# A scrape every 15 s, rules a minute's rate, and the client's look for new encoders once a minute.
_PATIENCE_S = 240.0

pytestmark = [pytest.mark.usefixtures("stack"), pytest.mark.timeout(3600)]


class Questions:
    """Asks one after the other, known and new pictures in turn, until told to stop or refused.

    Args:
        retry: of the client.
    """

    def __init__(self, retry: heroserve.RetryPolicy | None = None) -> None:
        self.answered = 0
        self.failure: heroserve.HeroserveError | None = None
        self._retry = retry or heroserve.RetryPolicy()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Questions:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with heroserve.Client("localhost:9001", retry=self._retry) as client:
            while not self._stop.is_set() and self.failure is None:
                image = encoded(picture(300, 200, seed=self.answered if self.answered % 2 else 0))
                try:
                    client.ask(image, "What is it?", max_tokens=4)
                except heroserve.HeroserveError as error:
                    self.failure = error
                else:
                    self.answered += 1


def ask() -> dict:
    """The command line's answer to the demo's question."""
    command = [COMMAND, "ask", PICTURE, QUESTION, "--retention", "0.2", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.stderr}\n{logs()}"
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def total(prometheus: Api, expr: str) -> float:
    return sum(float(sample["value"][1]) for sample in prometheus.query(expr))


def healths(prometheus: Api) -> set[str]:
    """What has come of evaluating the rules."""
    return {rule["health"] for group in prometheus.get("rules")["groups"] for rule in group["rules"]}


def test_a_question_from_outside():
    answer = ask()
    assert answer["text"].strip() == "T"
    assert answer["savings"].items() >= {"total": 448, "kept": 88, "dropped": 360}.items()


def test_a_question_over_openais_api():
    """Streamed, through the port that is published; its count has its door."""
    image = {"url": f"data:image/png;base64,{base64.b64encode((ROOT / PICTURE).read_bytes()).decode()}"}
    content = [{"type": "image_url", "image_url": image}, {"type": "text", "text": QUESTION}]
    with openai.OpenAI(base_url="http://localhost:8001/v1", api_key="none") as api:
        stream = api.chat.completions.create(
            model="heroserve-tiny", messages=[{"role": "user", "content": content}], stream=True
        )
        assert "".join(piece.choices[0].delta.content or "" for piece in stream) == "T"
    (container,) = containers("llm")
    page = run("podman", "exec", container, "python", "-c", _PAGE)
    assert 'heroserve_chat_requests_total{code="OK",door="http"} 1.0' in page


def test_one_id_is_in_both_services_logs():
    """In lines that a machine reads, from replicas as from the process that started them."""
    with heroserve.Client("localhost:9001") as client:
        client.ask(str(ROOT / PICTURE), QUESTION, request_id="asked-of-the-stack")
    for service, method in (("llm", "VisionChat/Generate"), ("encoder", "VisionEncoder/Encode")):
        (container,) = containers(service)
        expected = [f"heroserve.v1.{method}"]
        assert until(lambda name=container, told=expected: finished(name, "asked-of-the-stack") == told, 30), logs()
        lines = written(container)
        assert any(line.startswith("{") and " is ready: " in line for line in lines)
        assert [line for line in lines if "services." in line and not line.startswith("{")] == []
        assert "\x1b" not in "".join(lines)


def test_every_container_has_its_limits():
    composed = composition()
    for service in ("redis", "redis-exporter", *SERVICES, "prometheus"):
        told = inspect(containers(service)[0])["HostConfig"]
        assert told["Memory"] == size(composed[service]["mem_limit"])
        assert told["NanoCpus"] == float(composed[service]["cpus"]) * 1e9


def test_containers_have_no_power():
    for service in SERVICES:
        (container,) = containers(service)
        told = inspect(container)
        assert told["HostConfig"]["ReadonlyRootfs"] is True
        assert told["EffectiveCaps"] in (None, [])
        assert "no-new-privileges" in str(told["HostConfig"]["SecurityOpt"])
        assert run("podman", "exec", container, "id", "-u").strip() == "10001"


def test_only_what_users_need_is_published():
    published = {}
    for service in ("redis", "redis-exporter", *SERVICES, "prometheus"):
        bindings = inspect(containers(service)[0])["HostConfig"]["PortBindings"]
        published[service] = [(host["HostIp"], host["HostPort"]) for hosts in bindings.values() for host in hosts or ()]
    assert {service: hosts for service, hosts in published.items() if hosts} == {
        "llm": [("127.0.0.1", "8001"), ("127.0.0.1", "9001")],
        "prometheus": [("127.0.0.1", "9090")],
    }


def test_redis_wants_its_password_and_evicts():
    (container,) = containers("redis")
    anonymous = ("podman", "exec", "--env", "REDISCLI_AUTH=", container, "redis-cli")
    assert "NOAUTH" in run(*anonymous, "ping")
    told = run("podman", "exec", container, "redis-cli", "config", "get", "maxmemory*").split()
    assert told[told.index("maxmemory-policy") + 1] == "allkeys-lfu"
    assert int(told[told.index("maxmemory") + 1]) == 1 << 30
    # Which the encoder knows: what was asked above is there.
    assert int(run("podman", "exec", container, "redis-cli", "dbsize")) > 0


def test_prometheus_scrapes_everything_and_every_rule_is_well(prometheus: Api):
    assert until(lambda: total(prometheus, "sum(up)") == 5, _PATIENCE_S), prometheus.get("targets")
    assert sum(len(group["rules"]) for group in prometheus.get("rules")["groups"]) == len(rules())
    assert until(lambda: healths(prometheus) == {"ok"}, _PATIENCE_S)
    hits = 'heroserve_cache_requests_total{result="hit"}'
    ask()
    assert until(lambda: total(prometheus, hits) > 0, _PATIENCE_S)
    assert until(lambda: total(prometheus, 'heroserve_visual_tokens_total{outcome="dropped"}') >= 360, _PATIENCE_S)
    assert until(lambda: total(prometheus, "redis_up") == 1, _PATIENCE_S)


def test_redis_may_go_and_come_back():
    """No question fails meanwhile, and afterwards the cache is used again."""
    (redis,) = containers("redis")
    with Questions() as questions:
        assert until(lambda: questions.answered > 3, 60)
        compose("stop", "redis")
        before = questions.answered
        assert until(lambda: questions.answered > before + 5, 60), logs()
        compose("start", "redis")
        assert until(lambda: healthy(redis), 60)
        assert until(lambda: int(run("podman", "exec", redis, "redis-cli", "dbsize")) > 0, 60)
    assert questions.failure is None


def test_a_second_encoder_gets_its_share(prometheus: Api):
    """Without a restart of the LLM service, and without a question that fails."""
    (first,) = containers("encoder")
    (llm,) = containers("llm")
    started = inspect(llm)["State"]["StartedAt"]
    with Questions() as questions:
        compose("up", "--detach", "--no-recreate", "--scale", "encoder=2", "encoder")
        assert len(containers("encoder")) == 2
        (second,) = (name for name in containers("encoder") if name != first)
        assert until(lambda: healthy(second), _PATIENCE_S), logs()
        served = 'count(increase(heroserve_encoder_requests_total{code="OK"}[1m]) > 0)'
        assert until(lambda: total(prometheus, served) == 2, _PATIENCE_S), prometheus.query(
            "heroserve_encoder_requests_total"
        )
    assert questions.failure is None
    assert inspect(llm)["State"]["StartedAt"] == started
    assert total(prometheus, 'count(up{job="heroserve-encoder"} == 1)') == 2


def test_sigterm_cuts_no_answer_short():
    """Last: the LLM service is stopped under load. Who was heard is answered, who comes later is refused."""
    (container,) = containers("llm")
    with ExitStack() as on_exit:
        askers = [on_exit.enter_context(Questions(heroserve.RetryPolicy(attempts=1))) for _ in range(6)]
        assert until(lambda: all(asker.answered for asker in askers), 60)
        before = sum(asker.answered for asker in askers)
        run("podman", "stop", "--time", "120", container)
        assert until(lambda: all(asker.failure for asker in askers), 60)
    assert sum(asker.answered for asker in askers) > before
    for asker in askers:
        assert isinstance(asker.failure, heroserve.Unavailable)
        # gRPC's words for a call that had begun when the connection went.
        assert not re.search("socket closed|reset by peer|end of tcp stream", str(asker.failure), re.IGNORECASE)
    assert inspect(container)["State"]["ExitCode"] == 0
    # Nor does Ray say its farewell in colours.
    assert "\x1b" not in "".join(written(container))
