"""What one key may have, by a clock of the test's."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from services.common.errors import ResourceExhausted
from services.common.quotas import Quotas


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(quotas: Quotas, key: str, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            quotas.take(key)
        except ResourceExhausted:
            continue
        count += 1
    return count


def test_a_second_s_worth_at_once_and_then_the_rate_a_key():
    clock = Clock()
    quotas = Quotas(rate=5, clock=clock)
    assert taken(quotas, "a", 20) == 5
    assert taken(quotas, "b", 20) == 5
    clock.now += 0.625
    assert taken(quotas, "a", 20) == 3
    clock.now += 1000
    # What was not used is not saved up.
    assert taken(quotas, "a", 20) == 5


@pytest.mark.parametrize("rate", [0.01, 0.3, 3, 7])
def test_the_hint_is_when_there_is_room_and_no_sooner(rate):
    clock = Clock()
    quotas = Quotas(rate=rate, clock=clock)
    taken(quotas, "a", int(rate) + 2)
    with pytest.raises(ResourceExhausted, match=f"this API key's quota is {rate:g} requests a second") as refused:
        quotas.take("a")
    assert 0 < refused.value.retry_after_s <= 1 / rate + 0.001
    assert refused.value.reason == "rate"
    clock.now += refused.value.retry_after_s - 0.002
    assert taken(quotas, "a", 1) == 0
    clock.now += 0.003
    assert taken(quotas, "a", 2) == 1


def test_so_many_at_once_a_key():
    quotas = Quotas(concurrency=2)
    with ExitStack() as held:
        held.enter_context(quotas.under_way("a"))
        held.enter_context(quotas.under_way("a"))
        with pytest.raises(ResourceExhausted, match="this API key's quota is 2 requests at once") as refused:
            held.enter_context(quotas.under_way("a"))
        assert (refused.value.reason, refused.value.retry_after_s) == ("concurrency", 1.0)
        held.enter_context(quotas.under_way("b"))
    with quotas.under_way("a"), quotas.under_way("a"):
        pass


def test_without_quotas_or_without_keys_nothing_is_refused():
    assert taken(Quotas(), "a", 1000) == 1000
    assert taken(Quotas(rate=1, concurrency=1), "", 1000) == 1000
    with Quotas(concurrency=1).under_way("") as nothing:
        assert nothing is None


def test_a_proxy_reads_them_from_its_environment(monkeypatch):
    monkeypatch.setenv("HEROSERVE_KEY_RATE", " 2 ")
    monkeypatch.setenv("HEROSERVE_KEY_CONCURRENCY", "1")
    quotas = Quotas.from_env()
    assert taken(quotas, "a", 9) == 2
    with quotas.under_way("a"), pytest.raises(ResourceExhausted), quotas.under_way("a"):
        pass
