"""The proxy's limit against replicas that take so many and refuse the rest."""

from __future__ import annotations

from collections import deque

from services.common.ingress.in_flight import InFlightLimit

KEY = ("key", "")


class Replicas:
    """Take ``capacity`` requests at a time, refuse at once what is more, and answer first come, first served."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.limit = InFlightLimit()
        self.held: deque[None] = deque()
        self.accepted = self.refused = self.kept_away = 0

    def arrive(self) -> None:
        if not self.limit.enter(KEY):
            self.kept_away += 1
        elif len(self.held) < self.capacity:
            self.held.append(None)
        else:
            self.refused += 1
            self.limit.leave(KEY, refused=True)

    def answer(self) -> None:
        if self.held:
            self.held.popleft()
            self.accepted += 1
            self.limit.leave(KEY, refused=False)

    def run(self, seconds: int, arrivals: int, answers: int) -> None:
        self.accepted = self.refused = self.kept_away = 0
        for _ in range(seconds):
            for _ in range(answers):
                self.answer()
                for _ in range(arrivals // answers):
                    self.arrive()


def test_nothing_is_kept_away_before_anything_is_refused():
    replicas = Replicas(capacity=100)
    replicas.run(60, 40, 40)
    assert (replicas.accepted, replicas.refused, replicas.kept_away) == (2399, 0, 0)


def test_under_overload_nearly_all_that_goes_through_is_accepted_and_no_slot_stands_empty():
    replicas = Replicas(capacity=100)
    replicas.run(20, 160, 40)
    replicas.run(60, 160, 40)
    assert replicas.accepted == 60 * 40
    assert replicas.refused < replicas.accepted / 4
    assert replicas.kept_away > replicas.accepted


def test_more_replicas_are_found():
    replicas = Replicas(capacity=20)
    replicas.run(30, 160, 20)
    replicas.capacity = 200
    replicas.run(30, 160, 80)
    replicas.run(30, 160, 80)
    assert replicas.accepted == 30 * 80
    assert len(replicas.held) > 150


def test_after_an_overload_nothing_is_kept_away():
    replicas = Replicas(capacity=50)
    replicas.run(30, 160, 10)
    replicas.run(20, 10, 20)
    replicas.run(30, 20, 20)
    assert (replicas.refused, replicas.kept_away) == (0, 0)


def test_replicas_that_refuse_everything_are_still_asked():
    replicas = Replicas(capacity=0)
    replicas.run(60, 160, 40)
    assert replicas.refused == 60 * 160
    replicas.capacity = 50
    replicas.run(60, 160, 40)
    assert replicas.accepted > 50 * 40


def test_callers_in_a_hurry_keep_no_patient_ones_away():
    """Replicas refuse who would wait too long, and others would not."""
    limit = InFlightLimit()
    for _ in range(40):
        assert limit.enter(KEY, 30)
    for _ in range(100):
        if limit.enter(KEY, 0.2):
            limit.leave(KEY, 0.2, refused=True)
    assert all(limit.enter(KEY, 30) for _ in range(20))
    assert not limit.enter(KEY, 0.2)
    # What patient ones learn is theirs, too; and there is an end to how many kinds there are.
    limit.leave(KEY, 30, refused=True)
    assert [limit.enter(KEY, 30), limit.enter(KEY, 30), limit.enter(KEY, 100)] == [True, False, True]
    for patience_s in (0.0, -1.0, 1e-9, 1e9, float("inf"), float("nan"), *range(1, 100_000, 99)):
        limit.enter(KEY, patience_s)
        limit.leave(KEY, patience_s, refused=True)
    assert len(limit._limits) < 20


def full(count: int, key: str = "greedy") -> InFlightLimit:
    """At its limit, all under way of one key."""
    limit = InFlightLimit()
    for _ in range(count + 1):
        assert limit.enter((key, ""))
    limit.leave((key, ""), refused=True)
    assert entered(limit, key) <= 1
    return limit


def entered(limit: InFlightLimit, key: str, scope: str = "", tries: int = 100) -> int:
    return sum(limit.enter((key, scope)) for _ in range(tries))


def test_at_the_limit_the_greedy_key_is_refused_and_another_has_its_share():
    limit = full(40)
    assert entered(limit, "greedy") == 0
    assert 18 <= entered(limit, "polite") <= 21
    assert 12 <= entered(limit, "third") <= 14
    assert entered(limit, "greedy") == 0
    for _ in range(30):
        limit.leave(("greedy", ""), refused=False)
    # Below the limit whoever comes has what is free.
    assert entered(limit, "greedy") > 0


def test_scopes_share_alike_within_their_key_and_many_of_them_are_no_more_than_twice_its_share():
    limit = full(40, "service")
    assert 18 <= entered(limit, "service", "tenant") <= 21
    assert sum(entered(limit, "service", f"scope {number}", 1) for number in range(1000)) <= 21
    # What they have taken is not another key's.
    assert entered(limit, "polite") >= 18


def test_a_key_that_has_nothing_under_way_always_gets_through():
    limit = full(4)
    for number in range(50):
        assert entered(limit, f"key {number}", tries=3) >= 1


def test_nothing_is_kept_of_who_has_nothing_under_way():
    limit = InFlightLimit()
    for number in range(100):
        limit.enter(("key", f"scope {number}"))
    for number in range(100):
        limit.leave(("key", f"scope {number}"), refused=False)
    assert limit.forgettable
    assert not limit._under_way
    assert not +limit._parties
