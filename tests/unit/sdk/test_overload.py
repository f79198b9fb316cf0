"""A client adds next to nothing to an overload, and comes back when it is told to."""

import threading
import time

import grpc
import pytest

import heroserve
from heroserve import RetryPolicy
from heroserve.retry import Retries, RetryBudget

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
QUICK = RetryPolicy(initial_backoff_s=0.001, max_backoff_s=0.002)


def busy(hint=None, code=EXHAUSTED):
    """A step of the peer's script: refused, with a hint when to come back."""

    def refuse(request, context):
        if hint is not None:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", hint),))
        context.abort(code, "full")

    return refuse


def test_a_lasting_overload_gets_a_tenth_more_than_was_asked(connect, peer):
    client = connect(peer, retry=QUICK)
    peer.script.extend([EXHAUSTED] * 1000)
    for _ in range(100):
        with pytest.raises(heroserve.ResourceExhausted):
            client.describe()
    # Retries too, or there would be no reason to call it a budget.
    assert 105 <= len(peer.seen) <= 112


def test_so_do_many_threads_of_one_client(serve):
    peer = serve()
    peer.script.extend([EXHAUSTED] * 2000)

    def ask():
        for _ in range(25):
            with pytest.raises(heroserve.ResourceExhausted):
                client.ask(None, "What?")

    with heroserve.Client(peer.target, retry=QUICK) as client:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 205 <= len(peer.seen) <= 222


def test_quiet_times_save_up_a_little(connect, peer):
    client = connect(peer, retry=QUICK)
    for _ in range(300):
        client.describe()
    peer.seen.clear()
    peer.script.extend([EXHAUSTED] * 1000)
    for _ in range(20):
        with pytest.raises(heroserve.ResourceExhausted):
            client.describe()
    assert 20 + 10 <= len(peer.seen) <= 20 + 12


def test_none_at_all_by_policy(connect, peer):
    client = connect(peer, retry=RetryPolicy(overload_share=0))
    peer.script.extend([EXHAUSTED] * 20)
    for _ in range(20):
        with pytest.raises(heroserve.ResourceExhausted):
            client.describe()
    assert len(peer.seen) == 20


def test_a_lost_service_is_no_overload(connect, peer):
    """A replica that dies takes all its requests with it at once: each is sent again."""
    client = connect(peer, retry=QUICK)
    for _ in range(30):
        peer.script.append(grpc.StatusCode.UNAVAILABLE)
        client.describe()
    assert len(peer.seen) == 60


@pytest.mark.parametrize("code", [EXHAUSTED, grpc.StatusCode.UNAVAILABLE], ids=lambda code: code.name)
def test_the_services_hint_is_the_pause(connect, peer, code):
    client = connect(peer, retry=QUICK)
    for call in (client.describe, lambda: client.ask(None, "What?")):
        peer.script.append(busy("400", code))
        start = time.monotonic()
        call()
        assert 0.4 <= time.monotonic() - start < 5
        for _ in range(10):
            client.describe()


@pytest.mark.parametrize("code", [EXHAUSTED, grpc.StatusCode.UNAVAILABLE], ids=lambda code: code.name)
@pytest.mark.parametrize("hint", ["-1", "soon", "1.5", ""])
def test_a_service_that_wants_no_other_try_gets_none(connect, peer, code, hint):
    peer.script.append(busy(hint, code))
    with pytest.raises(heroserve.HeroserveError) as caught:
        connect(peer, retry=QUICK).describe()
    assert caught.value.code is code
    assert caught.value.retry_after_s < 0
    assert len(peer.seen) == 1


def test_a_hint_behind_the_deadline_is_told_at_once(connect, peer):
    peer.script.append(busy("30000"))
    start = time.monotonic()
    with pytest.raises(heroserve.ResourceExhausted, match="full") as caught:
        connect(peer).describe(timeout_s=20)
    assert time.monotonic() - start < 10
    assert caught.value.retry_after_s == 30
    assert len(peer.seen) == 1


def test_without_a_hint_there_is_none(connect, peer):
    peer.script.append(EXHAUSTED)
    with pytest.raises(heroserve.ResourceExhausted) as caught:
        connect(peer, retry=RetryPolicy(attempts=1)).describe()
    assert caught.value.retry_after_s is None


def test_the_budget_alone():
    budget = RetryBudget(0.25)
    assert [budget.withdraw() for _ in range(2)] == [True, False]
    for _ in range(4):
        budget.deposit()
    assert [budget.withdraw() for _ in range(2)] == [True, False]
    for _ in range(1000):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 10


def test_a_call_that_is_not_sent_again_costs_nothing():
    budget = RetryBudget(0.1)
    assert Retries(RetryPolicy(attempts=1), budget).pause_s("busy", 10) is None
    assert Retries(RetryPolicy(), budget).pause_s("busy", 10, hint_s=20) is None
    assert Retries(RetryPolicy(), budget).pause_s("busy", 10, hint_s=-1) is None
    assert Retries(RetryPolicy(), budget).pause_s("busy", 10) is not None
