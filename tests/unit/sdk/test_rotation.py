"""Which channel a call takes, and when channels come and go: decided without a channel, a thread or a clock."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heroserve.transport.rotation import Rotation

AGE_S = 60.0


class Line(Rotation[int]):
    """Channels are numbers, in the order in which they were opened; `now` stands still until it is set."""

    def __init__(self, max_age_s=AGE_S):
        super().__init__(max_age_s)
        self.now = 0.0
        self.opened, self.connecting = [], []
        self.shut = []

    def call(self):
        if self.wants_another(self.now):
            self.opened.append(len(self.opened))
            if self.add(self.opened[-1], self.now):
                self.connecting.append(self.opened[-1])
        return self.borrow(self.end)

    def end(self, loan):
        self._shut(self.released(loan))

    def connect(self, channel):
        self._shut(self.connected(channel, self.now))

    def _shut(self, channel):
        if channel is not None:
            self.shut.append(channel)


def aged(now):
    """One whose successor, opened by a call at AGE_S, connects at `now`."""
    line = Line()
    line.call().release()
    line.now = AGE_S
    line.call().release()
    line.now = now
    return line


def test_a_young_channel_takes_every_call():
    for age_s in (AGE_S, math.inf):
        line = Line(age_s)
        for line.now in (0, 1, AGE_S - 0.1):
            assert line.call().channel == 0
        assert (line.opened, line.connecting) == ([0], [])  # it may connect when the call does


def test_the_first_call_of_age_has_one_successor_opened_and_none_waits_for_it():
    line = Line()
    line.call().release()
    line.now = AGE_S
    assert [line.call().channel for _ in range(3)] == [0, 0, 0]
    line.now = 9 * AGE_S  # however long it takes, nobody else tries
    assert line.call().channel == 0
    assert (line.opened, line.connecting) == ([0, 1], [1])


def test_the_successor_takes_over_once_connected_and_is_young_from_then_on():
    line = aged(3 * AGE_S)
    line.connect(1)
    assert line.shut == [0]
    for line.now in (3 * AGE_S, 4 * AGE_S - 0.1, 4 * AGE_S):
        assert line.opened == [0, 1]
        assert line.call().channel == 1
    assert line.opened == [0, 1, 2]


def test_the_old_one_stays_for_its_last_call():
    line = Line()
    first, second = line.call(), line.call()
    line.now = AGE_S
    line.call().release()
    line.connect(1)
    first.release()
    first.release()  # a stream says so from two threads
    assert line.shut == []
    second.release()
    second.release()
    assert line.shut == [0]


def test_closing_ends_what_runs_and_gives_the_successor_up():
    line = aged(AGE_S)
    running = line.call()
    assert line.close() == ([0], 1)
    line.connect(1)  # it was about to
    running.release()
    assert line.shut == []
    assert line.close() == ([], None)
    with pytest.raises(RuntimeError, match="closed"):
        line.call()


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: no running call loses its channel, and none is left over."""

    def __init__(self):
        super().__init__()
        self.line = Line(max_age_s=10)
        self.loans = []
        self.last = -1

    @precondition(lambda self: not self.line.closed)
    @rule()
    def call(self):
        loan = self.line.call()
        assert loan.channel not in self.line.shut
        assert loan.channel >= self.last  # never back to an older one
        self.last = loan.channel
        self.loans.append(loan)

    @rule(data=st.data(), times=st.integers(1, 2))
    def end(self, data, times):
        if self.loans:
            loan = self.loans.pop(data.draw(st.integers(0, len(self.loans) - 1)))
            for _ in range(times):
                loan.release()

    @rule(data=st.data())
    def connect(self, data):
        """The successor, or one that is past or closed."""
        if self.line.connecting:
            self.line.connect(data.draw(st.sampled_from(self.line.connecting)))

    @rule(seconds=st.sampled_from([0.0, 4.0, 10.0, 100.0]))
    def wait(self, seconds):
        self.line.now += seconds

    @precondition(lambda self: not self.line.closed)
    @rule()
    def close(self):
        channels, successor = self.line.close()
        self.line.shut += [*channels, *([] if successor is None else [successor])]
        assert sorted(self.line.shut) == self.line.opened

    @invariant()
    def nothing_is_cut_left_over_or_closed_twice(self):
        line = self.line
        assert len(line.shut) == len(set(line.shut))
        if not line.closed:
            in_use = {loan.channel for loan in self.loans}
            assert not in_use & set(line.shut)
            # Beside those in use there are at most the current one and one that connects.
            assert len(set(line.opened) - set(line.shut) - in_use) <= 2
            assert len(line.opened) <= 1 + line.now / 10


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(deadline=None, derandomize=True)
