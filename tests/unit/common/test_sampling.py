"""However many lines there would be, a few are written, and each of the others is counted."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from services.common.sampling import FewLines, Sampler
from tests.support.waiting import until


def test_what_is_left_out_is_told_once_and_in_full() -> None:
    told: list[tuple[str, int]] = []
    sampler = Sampler(10, lambda kind, left_out: told.append((kind, left_out)))
    written = sum(sampler.admits("RESOURCE_EXHAUSTED") for _ in range(1000))
    assert written == 10
    # Another kind's flood hides none of this one.
    assert sampler.admits("INTERNAL")
    assert until(lambda: told == [("RESOURCE_EXHAUSTED", 990)], 20, 0.05)


def test_threads_lose_none() -> None:
    told: list[int] = []
    sampler = Sampler(3, lambda _, left_out: told.append(left_out))
    written: list[bool] = []

    def work() -> None:
        for _ in range(300):
            written.append(sampler.admits("x"))
            time.sleep(0.002)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert until(lambda: sum(told) + sum(written) == 2400, 20, 0.05)
    # A few for each second that it took, and a line for each.
    assert sum(written) <= 3 * (len(told) + 1)


def test_a_trickle_is_written_in_full() -> None:
    now = 0.0
    sampler = Sampler(2, lambda *_: None, clock=lambda: now)
    for _ in range(50):
        now += 0.5
        assert sampler.admits("x")


def test_of_each_place_a_few_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.flooded")
    few = FewLines(logger.name, 10)
    logger.addFilter(few)
    for number in range(500):
        logger.warning("request %d dropped", number)
    logger.warning("something else")
    assert until(lambda: "left out" in caplog.text, 20, 0.05)
    logger.removeFilter(few)
    told = [record.getMessage() for record in caplog.records]
    written = sum("dropped" in message for message in told)
    counted = [int(message.split()[0]) for message in told if "left out" in message]
    assert written + sum(counted) == 500
    # A second or two, if this machine is slow.
    assert 10 <= written <= 100
    assert "something else" in told
