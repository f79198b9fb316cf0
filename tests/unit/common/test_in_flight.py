"""The proxy's limit against replicas that take so many and refuse the rest."""

from __future__ import annotations

from collections import deque

from services.common.ingress.in_flight import InFlightLimit


class Replicas:
    """Take ``capacity`` requests at a time, refuse at once what is more, and answer first come, first served."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.limit = InFlightLimit()
        self.held: deque[None] = deque()
        self.accepted = self.refused = self.kept_away = 0

    def arrive(self) -> None:
        if not self.limit.enter():
            self.kept_away += 1
        elif len(self.held) < self.capacity:
            self.held.append(None)
        else:
            self.refused += 1
            self.limit.leave(refused=True)

    def answer(self) -> None:
        if self.held:
            self.held.popleft()
            self.accepted += 1
            self.limit.leave(refused=False)

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
