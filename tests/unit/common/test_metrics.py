"""One port tells what every process of a service counted, whoever holds it, and whoever died."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from services.common import metrics

# Counts as often as it is told, serves, and says so; then stays.
REPLICA = """
import sys
from prometheus_client import Counter, Histogram
from services.common import metrics
port, folder, times = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
counter = Counter("things_total", "Things.", ["kind"])
seconds = Histogram("things_seconds", "Seconds.", buckets=(1, 2))
metrics.serve(port, folder)
for _ in range(times):
    counter.labels(kind="a").inc()
    seconds.observe(1.5)
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Starts replicas; ends those that are left."""
    folder = str(tmp_path / "metrics")
    metrics.prepare(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    replicas = []

    def run(times: int) -> subprocess.Popen:
        replicas.append(
            subprocess.Popen(
                [sys.executable, "-c", REPLICA, str(port), folder, str(times)],
                env={**os.environ, metrics.VARIABLE: folder},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return replicas[-1]

    run.port = port
    yield run
    for replica in replicas:
        replica.kill()
        replica.communicate()


def scrape(port: int, timeout_s: float = 60.0) -> str:
    end = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
                return reply.read().decode()
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < end, "nobody answers"
            time.sleep(0.1)


def value(text: str, sample: str) -> float:
    (line,) = re.findall(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(line)


def test_two_processes_are_one_and_outlive_each_other(start):
    first, second = start(3), start(4)
    for replica in (first, second):
        assert replica.stdout.readline() == "counted\n"
    text = scrape(start.port)
    assert value(text, 'things_total{kind="a"}') == 7
    assert value(text, 'things_seconds_bucket{le="2.0"}') == 7
    assert value(text, 'things_seconds_bucket{le="1.0"}') == 0
    assert value(text, "things_seconds_sum") == 10.5

    # Either may hold the port, so each dies once, and a third comes in between.
    first.kill()
    first.wait()
    text = scrape(start.port)
    assert value(text, 'things_total{kind="a"}') == 7
    third = start(5)
    assert third.stdout.readline() == "counted\n"
    second.kill()
    second.wait()
    text = scrape(start.port)
    # What the dead counted still counts.
    assert value(text, 'things_total{kind="a"}') == 12


@pytest.mark.parametrize("set_to", [None, "/somewhere/else"])
def test_the_wrong_environment_is_told_at_once(tmp_path, set_to):
    environment = {k: v for k, v in os.environ.items() if k != metrics.VARIABLE}
    if set_to:
        environment[metrics.VARIABLE] = str(tmp_path)
    script = f"from services.common import metrics; metrics.serve(1, {str(tmp_path / 'x')!r})"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"RuntimeError: {metrics.VARIABLE} must be {str(tmp_path / 'x')!r}" in done.stderr


def test_a_variable_set_too_late_is_told_at_once(tmp_path, monkeypatch):
    # prometheus_client was imported without it, by this process's other tests.
    if metrics.values.ValueClass.__name__ != "MutexValue":
        pytest.skip("prometheus_client counts for several processes here")
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path))
    with pytest.raises(RuntimeError, match="from its start"):
        metrics.serve(1, str(tmp_path))
