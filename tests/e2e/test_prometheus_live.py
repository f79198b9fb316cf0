"""The stack under a small load, scraped by a real Prometheus: every panel and every rule has something to say."""

from __future__ import annotations

import asyncio
import json

import grpc
import openai
import pytest

import heroserve
from benchmarks.load.drive import Outcome, PlainCallers, open_loop
from benchmarks.load.questions import Known, known_questions
from scripts.stack import Ports, Stack
from tests.support.pictures import encoded, picture
from tests.support.prometheus import Prometheus, rules
from tests.support.promql import DASHBOARDS, Selector, everything, filled, read_text, selectors
from tests.support.waiting import until

ALERTS = {rule["alert"] for rule in rules() if "alert" in rule}
# What only a GPU's driver, DCGM, Kubernetes or vLLM tells is not to be had here.
_ELSEWHERE = ("ray_node_gpus_", "ray_node_gram_", "DCGM_", "kube_", "vllm:", "heroserve_engine_", "heroserve:engine:")
_PATIENCE_S = 120.0

# Ray and its services take their time to start on a small machine.
pytestmark = pytest.mark.timeout(600)


def _here(expr: str) -> set[Selector]:
    return {selector for selector in selectors(expr) if not selector.metric.startswith(_ELSEWHERE)}


# What reads nothing else is left out; of the rest, what is told here is looked for. Where only kinds that occurred are
# shown, none need have.
EXPRESSIONS = {
    name: expr.partition(" and on (")[0] if "@ end()" in expr else expr
    for name, expr in everything().items()
    if _here(expr) or not selectors(expr)
}


class Load:
    """A little of everything: new and known images, large and small budgets, both doors, a mistake of the caller's."""

    def __init__(self, ports: Ports) -> None:
        self.client = heroserve.Client(f"localhost:{ports.llm}", encoder_target=f"localhost:{ports.encoder}")
        self.openai = openai.OpenAI(base_url=f"http://localhost:{ports.llm_http}/v1", api_key="none", max_retries=0)
        self._round = 0

    def __call__(self) -> None:
        self._round += 1
        new, known = (encoded(picture(300, 200, seed=seed)) for seed in (self._round, 0))
        for data, retention in ((new, 0.2), (known, 0.1), (known, 0.3)):
            self.client.ask(data, "Which one?", retention=retention, max_tokens=3)
        self.client.encode(known, "Which one?")
        self.openai.chat.completions.create(
            model="", messages=[{"role": "user", "content": "Which one?"}], max_completion_tokens=3
        )
        with pytest.raises(heroserve.InvalidArgument):
            self.client.ask(b"no image", "Which one?")


@pytest.fixture(scope="module")
def unanswered(stack: Stack, prometheus: Prometheus) -> set[str]:
    """Expressions, and probes of what they read, that have no sample however long they are given under load."""
    wanted = {expr for name, expr in EXPRESSIONS.items() if name not in ALERTS and _here(expr) == selectors(expr)}
    wanted |= {probe for expr in EXPRESSIONS.values() for s in _here(expr) for probe in s.probes()}
    load = Load(stack.ports)
    with load.client, load.openai:

        def answered() -> bool:
            load()
            wanted.difference_update([expr for expr in wanted if prometheus.query(expr)])
            return not wanted

        until(answered, _PATIENCE_S)
    return wanted


def test_prometheus_scrapes_every_job(prometheus: Prometheus, unanswered: set[str]):
    assert len(prometheus.get("targets")["activeTargets"]) == 5
    # A scrape may come late on a busy machine.
    assert until(
        lambda: len(prometheus.query('up{job=~"heroserve-.+", instance="127.0.0.1"} == 1')) == 5, _PATIENCE_S
    ), [(target["labels"]["job"], target["lastError"]) for target in prometheus.get("targets")["activeTargets"]]


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_an_expression(name: str, prometheus: Prometheus, unanswered: set[str]):
    expr = EXPRESSIONS[name]
    prometheus.query(expr)
    assert expr not in unanswered, f"no result: {expr}"
    missing = {probe for s in _here(expr) for probe in s.probes()} & unanswered
    assert not missing, f"nothing to read: {sorted(missing)}"


def test_prometheus_evaluates_every_rule_and_no_alert_fires(prometheus: Prometheus, unanswered: set[str]):
    evaluated = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(evaluated) == len(rules())
    assert [(rule["name"], rule["health"], rule.get("lastError")) for rule in evaluated if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in evaluated if rule.get("state") == "firing"] == []


def test_dashboards_offer_installations_and_instances(prometheus: Prometheus, unanswered: set[str]):
    for path in DASHBOARDS:
        for variable in json.loads(read_text(path))["templating"]["list"]:
            if variable["type"] == "query":
                series, _, label = (
                    variable["definition"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
                )
                offered = {sample["metric"].get(label) for sample in prometheus.query(filled(series))}
                assert offered, (path.name, variable["name"])
                assert None not in offered


def test_the_two_views_agree(prometheus: Prometheus, unanswered: set[str]):
    """What the proxy counts of an RPC that reached a replica is what the replica counts."""
    method = '{method="/heroserve.v1.VisionChat/Generate", status_code="INVALID_ARGUMENT"}'
    replica = 'heroserve_chat_requests_total{code="INVALID_ARGUMENT"}'
    # Ray reports some seconds late.
    same = f"sum(ray_serve_num_grpc_requests_total{method}) == sum({replica})"
    assert until(lambda: bool(prometheus.query(same)), _PATIENCE_S)


async def _overloaded(stack: Stack, known: list[Known], rate: float) -> Outcome:
    async with grpc.aio.insecure_channel(f"localhost:{stack.ports.llm}") as channel:
        return await open_loop(PlainCallers(channel), known, rate, seconds=5, deadline_s=0.5, seed=0)


def test_an_overload_is_seen(stack: Stack, prometheus: Prometheus, unanswered: set[str]):
    """Callers fail, most for their deadlines or because too many wait, and the alert on errors is about to fire."""
    alerts = [rule for rule in rules() if "Error" in rule.get("alert", "") and rule["labels"]["severity"] == "critical"]
    names = {rule["alert"] for rule in alerts}
    raised = f'ALERTS{{alertname=~"{"|".join(names)}", severity="critical", application="llm"}}'
    assert names
    assert not prometheus.query(raised)
    with heroserve.Client(f"localhost:{stack.ports.llm}") as client:
        known = known_questions(client, 1)
    rate, failed = 50.0, 0
    for _ in range(12):
        outcome = asyncio.run(_overloaded(stack, known, rate))
        failed += outcome.failures.total()
        if outcome.failures.total() > 0.6 * outcome.offered and failed > 300:
            break
        # As much as it takes on this machine.
        rate *= 1.5
    assert failed > 300
    assert until(
        lambda: {sample["metric"]["alertname"] for sample in prometheus.query(raised)} == names, _PATIENCE_S, 2
    ), failed
