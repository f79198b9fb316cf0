"""What is seen of parts that go, and what goes on without them: last of the stack that others look at."""

from __future__ import annotations

import os
import signal
import threading

import pytest

import heroserve
from scripts.stack import PICTURE, ROOT, Stack
from tests.support.pictures import encoded, picture
from tests.support.prometheus import Prometheus, rules
from tests.support.up import health
from tests.support.waiting import until

_PATIENCE_S = 120.0
ONCE = heroserve.RetryPolicy(attempts=1)

# Ray and its services take their time to start on a small machine.
pytestmark = pytest.mark.timeout(600)


def alert(name: str) -> str:
    """What it fires at."""
    return next(rule["expr"] for rule in rules() if rule.get("alert") == name)


@pytest.fixture(scope="module")
def watched(prometheus: Prometheus) -> Prometheus:
    """One that has seen all of it."""
    assert until(lambda: len(prometheus.query('up{instance="127.0.0.1"} == 1')) == 5, _PATIENCE_S)
    return prometheus


@pytest.fixture(scope="module")
def without_encoder(stack: Stack) -> Stack:
    process = stack.services["encoder"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    return stack


def test_redis_that_goes_is_seen(stack: Stack, watched: Prometheus):
    stack.redis.stop()
    assert until(lambda: bool(watched.query(alert("HeroserveRedisDown"))), _PATIENCE_S)


def test_without_its_encoder_the_llm_service_says_so(watched: Prometheus, without_encoder: Stack):
    ports = without_encoder.ports
    assert health("encoder", ports).returncode == 1
    with heroserve.Client(f"localhost:{ports.llm}", timeout_s=30, retry=ONCE) as client:
        # It waits for an encoder for nearly as long as its caller does.
        with pytest.raises(heroserve.Unavailable, match=rf"encoder at localhost:{ports.encoder}"):
            client.ask(str(ROOT / PICTURE), "What is the total?", timeout_s=10)
        assert client.ask(None, "Are you there?", max_tokens=2).usage.completion_tokens > 0
        assert not client.describe().HasField("encoder")


def test_a_service_that_goes_is_seen(watched: Prometheus, without_encoder: Stack):
    """And what the LLM service then answers is its failure."""
    down = alert("HeroserveServiceDown")
    assert until(lambda: [s["metric"]["application"] for s in watched.query(down)] == ["encoder"], _PATIENCE_S)
    # An overload may have left errors behind, and ended long ago.
    failed = 'code=~"UNAVAILABLE|DEADLINE_EXCEEDED"}'
    counters = (
        f"sum(heroserve_chat_requests_total{{{failed})",
        f'sum(ray_serve_num_grpc_requests_total{{method=~".*/Generate", status_{failed})',
    )

    def counts() -> list[float]:
        return [float(watched.query(f"{expr} or vector(0)")[0]["value"][1]) for expr in counters]

    before = counts()

    def seen() -> bool:
        with pytest.raises((heroserve.Unavailable, heroserve.DeadlineExceeded)):
            client.ask(encoded(picture(300, 200, seed=99)), "Which one?", timeout_s=2)
        return all(more > less for more, less in zip(counts(), before, strict=True))

    with heroserve.Client(f"localhost:{without_encoder.ports.llm}", retry=ONCE) as client:
        assert until(seen, _PATIENCE_S)


def test_sigterm_lets_an_answer_finish(stack: Stack):
    """Last: the LLM service is stopped in the middle of an answer."""
    process = stack.services["llm"]
    with heroserve.Client(f"localhost:{stack.ports.llm}", timeout_s=60) as client:
        stream = client.stream(None, "Go on", max_tokens=600, temperature=2.0, seed=3)
        pieces = iter(stream)
        next(pieces)
        # As many a supervisor does: all of the group, which Ray's processes must not be in.
        stopping = threading.Thread(target=os.killpg, args=(process.pid, signal.SIGTERM))
        stopping.start()
        rest = list(pieces)
        stopping.join()
    assert len(rest) > 20
    assert stream.answer.finish_reason in ("stop", "length")
    assert process.wait(60) == 0
