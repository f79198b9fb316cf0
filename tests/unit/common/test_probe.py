"""What an accelerator is looked at with, which may never answer."""

from __future__ import annotations

import threading
import time

import pytest

from services.common.probe import Probe
from tests.support.waiting import until


def ends(probe: Probe) -> bool:
    return until(lambda: probe._thread is not None and not probe._thread.is_alive(), 30, 0.01)


def test_one_that_is_well_is_looked_at_again() -> None:
    looked = []
    probe = Probe(lambda: looked.append(1))
    for count in (1, 2, 3):
        probe.look()
        assert ends(probe)
        assert len(looked) == count


def test_a_failure_is_raised_by_every_look_behind_it() -> None:
    def lost() -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    probe = Probe(lost)
    probe.look()
    assert ends(probe)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="launch failure"):
            probe.look()


def test_a_busy_one_is_waited_for_and_one_that_never_answers_is_lost() -> None:
    go = threading.Event()
    probe = Probe(lambda: bool(go.wait(60)), patience_s=0.3)
    begun = time.monotonic()
    probe.look()
    # At once, however long it takes.
    assert time.monotonic() - begun < 30
    with pytest.raises(TimeoutError, match="no answer from the accelerator"):  # noqa: PT012 - the last of several
        for _ in range(1000):
            probe.look()
            time.sleep(0.01)
    # It was slow, and no more than that.
    go.set()
    assert ends(probe)
    probe.look()
