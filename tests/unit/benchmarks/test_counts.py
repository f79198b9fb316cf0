"""What requests cost has not grown, and a cost that grows is told."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from benchmarks.counts.__main__ import EXPECTED, told
from scripts.stack import ROOT

COSTS = json.loads(EXPECTED.read_text())["requests"]


def test_requests_cost_no_more_than_they_did() -> None:
    """In a process of its own: torch's profiler counts what other tests' threads do, too."""
    command = [sys.executable, "-m", "benchmarks.counts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(COSTS)} requests cost no more than they did" in done.stdout


def test_what_is_counted_is_what_the_cache_saves() -> None:
    """A known picture has no pass of the tower, crosses no wire, and a prefix of its rows is read."""
    new, known, whole = (COSTS[name] for name in ("a new picture", "by its digest", "with all of its tokens"))
    assert (new["passes of the tower"], new["tiles in them"]) == (1, 5)
    assert "passes of the tower" not in known
    assert known["bytes to the encoder"] < 200 < new["bytes to the encoder"]
    assert 4 * known["bytes from the encoder"] < whole["bytes from the encoder"]
    assert known["redis round trips"] == 1


@pytest.mark.parametrize(
    ("name", "more", "status"),
    [
        ("passes of the tower", 1, 1),
        ("redis round trips", 1, 1),
        ("messages to the encoder", 1, 1),
        ("operators that copy", 1, 1),
        ("bytes from redis", 2000, 1),
        # Numbers that are written in them may be longer.
        ("bytes from redis", 5, 0),
        ("something new", 1, 1),
        ("redis round trips", -1, 0),
    ],
)
def test_what_has_changed_is_told(capsys: pytest.CaptureFixture[str], name: str, more: int, status: int) -> None:
    changed = copy.deepcopy(COSTS)
    request = changed["beside a new one"]
    before = request.get(name, 0)
    request[name] = before + more
    assert told(changed, COSTS, same=True) == status
    line = f"beside a new one: {name} {before} -> {before + more}"
    assert (line in capsys.readouterr().out) == (status == 1 or more < 0)


def test_operators_of_other_libraries_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(COSTS)
    changed["by its digest"]["operators"] += 100
    assert told(changed, COSTS, same=False) == 0
    assert "operators are not compared" in capsys.readouterr().out
    # What is counted of ours is.
    changed["by its digest"]["tiles in them"] = 5
    assert told(changed, COSTS, same=False) == 1


def test_a_request_that_is_gone_costs_less_and_a_new_one_more() -> None:
    fewer = {name: costs for name, costs in COSTS.items() if name != "by its digest"}
    assert told(fewer, COSTS, same=True) == 0
    assert told(COSTS, fewer, same=True) == 1
