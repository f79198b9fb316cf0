"""The stack's parts, on small services that do what ours may; ours themselves are in tests/e2e."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts.free_port import is_free
from scripts.stack import Ports, Stack, StackError
from scripts.stack import stack as stack_module
from tests.support.waiting import until

# What it does is in a variable; by default it tells that it is ready, and stays.
SERVICE = """
import os, signal, socket, subprocess, sys, time
def tell(words):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.sendto(words.encode(), os.environ["NOTIFY_SOCKET"])
def listen(name):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind(("0.0.0.0", int(os.environ[f"HEROSERVE_{name}_PORT"])))
    server.listen()
    return server
def below():
    print("below", subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
exec(os.environ.get("DO_" + NAME, ""))
tell("STATUS=up")
tell("READY=1\\nSTATUS=ready")
time.sleep(600)
"""
STOPPED = "time.sleep(600)"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stack]]:
    root = tmp_path / "root"
    (root / "services").mkdir(parents=True)
    for name in ("encoder", "llm"):
        (root / "services" / f"{name}.py").write_text(f"NAME = {name.upper()!r}\n{SERVICE}")
    made: list[Stack] = []

    def make(**does: str) -> Stack:
        for name, what in does.items():
            monkeypatch.setenv(f"DO_{name.upper()}", what)
        made.append(Stack(Ports.free(), tmp_path, root=root))
        return made[-1]

    yield make
    for stack in made:
        stack.stop(lambda: True)


def below(stack: Stack, service: str) -> psutil.Process:
    """What a service started."""
    log = stack.folder / f"{service}.log"
    assert until(lambda: re.search(r"below \d+\n", log.read_text()), 30, 0.02)
    return psutil.Process(int(re.findall(r"below (\d+)\n", log.read_text())[-1]))


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("print('so it is'); sys.exit(3)", "encoder ended with status 3; its last lines, of {log}:\n  so it is"),
        ("print('a'); sys.exit('heroserve: that is why')", "encoder ended with status 1; it says:\n  that is why"),
        ("sys.exit(0)", "encoder ended with status 0; it said nothing (in {log})"),
        ("os.kill(os.getpid(), 9)", "encoder was killed by SIGKILL; it said nothing (in {log})"),
    ],
)
def test_a_service_that_dies_at_its_start_is_told_at_once(make: Callable[..., Stack], does: str, told: str):
    stack = make(encoder=does, llm=STOPPED)
    with pytest.raises(StackError) as caught:
        # Far less than it would wait.
        stack.start(3600)
    assert str(caught.value) == told.format(log=stack.folder / "encoder.log")
    stack.stop()
    assert stack.services["llm"].poll() is not None
    assert is_free(stack.ports.redis)


def test_one_that_never_gets_ready_is_told_with_what_it_said(make: Callable[..., Stack]):
    """Nor does another's readiness count: it is asked of each process, over a socket of its own."""
    never = f"tell('STATUS=READY=1'); print('hm', flush=True); {STOPPED}"
    stack = make(encoder=f"tell('READY=1'); {STOPPED}", llm=never)
    with pytest.raises(StackError, match=r"(?s)^not ready in time.*llm: its last lines, of [^\n]*llm\.log:\n  hm"):
        stack.start(2)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody but root is told")
def test_another_process_on_a_port_of_ours_is_told(make: Callable[..., Stack]):
    """It came after the ports were found free, and shares it, as gRPC's servers do."""
    stack = make(encoder="kept = listen('GRPC')")
    port = stack.ports.encoder
    code = f"import socket as s, time; c = s.socket(); c.setsockopt(s.SOL_SOCKET, s.SO_REUSEPORT, 1); \
c.bind(('0.0.0.0', {port})); c.listen(); print(1, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StackError, match=rf"^on port {port} another process .*, process {other.pid}\)"):
            stack.start(60)
        other.kill()


def test_stopping_ends_all_that_services_started(make: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch):
    """One in a session of its own too, whose parent leaves without it."""
    stack = make(encoder=f"below(); {STOPPED}", llm=f"below(); {STOPPED}")
    with pytest.raises(StackError, match="not ready in time"):
        stack.start(1)
    found = [below(stack, service) for service in ("encoder", "llm")]
    monkeypatch.setattr(stack_module, "_REAP_S", 0.5)
    stack.stop()
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in found)


def test_who_asks_twice_does_not_wait(make: Callable[..., Stack]):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); "
    stack = make(encoder=deaf + STOPPED, llm=deaf + STOPPED)
    with pytest.raises(StackError, match="not ready in time"):
        stack.start(1)
    assert until(lambda: all("deaf" in (stack.folder / f"{name}.log").read_text() for name in stack.services), 30, 0.05)
    asked = time.monotonic()
    stack.stop(lambda: time.monotonic() > asked + 0.5)
    assert [process.poll() for process in stack.services.values()] == [-9, -9]
    assert time.monotonic() > asked + 0.5


def test_a_service_that_dies_later_is_told(make: Callable[..., Stack]):
    stack = make(encoder=STOPPED, llm=STOPPED)
    with pytest.raises(StackError, match="not ready in time"):
        stack.start(1)
    stack.check()
    stack.services["llm"].kill()
    stack.services["llm"].wait()
    with pytest.raises(StackError, match=r"^llm was killed by SIGKILL"):
        stack.check()


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel does it")
def test_nothing_outlives_a_stack_that_is_killed(make: Callable[..., Stack], tmp_path: Path):
    code = f"""
import sys
from pathlib import Path
from scripts.stack import Ports, Stack
stack = Stack(Ports.free(), Path({str(tmp_path)!r}), lambda name, words: print(name, words, flush=True),
    Path({str(tmp_path / "root")!r}))
stack.start(600)
"""
    make(encoder="", llm=STOPPED)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        said: set[bytes] = set()
        while not {b"redis ready\n", b"encoder ready\n"} <= said:
            said.add(process.stdout.readline())
            assert process.poll() is None
        found = psutil.Process(process.pid).children(recursive=True)
        assert len(found) == 3
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(found, 30)
    assert left == []
