"""`heroserve up` and `make up` as a newcomer runs it, while somebody has one of the usual ports."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from scripts.stack import ROOT, Ports
from tests.support.up import Up, up


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Whoever has it if it can't be had will do.
        with contextlib.suppress(OSError):
            other.bind(("127.0.0.1", Ports().llm))
            other.listen()
        with up() as running:
            yield running


def test_what_is_shown_is_true_and_its_first_command_works(running: Up):
    usual = Ports().llm
    port = int(running.target.removeprefix("localhost:"))
    assert port != usual
    assert f"port {usual} is taken: this stack's llm is on {port}\n" in running.shown
    assert f"gRPC localhost:{port} " in running.shown
    for stage in ("encoder  starting Ray", "llm      loading the model", "redis    ready", "ready after "):
        assert stage in running.shown
    told = subprocess.run(running.first_command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.stdout == "T\n", told.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel does it")
def test_nothing_outlives_it_when_it_is_killed(running: Up):
    """Last: neither services nor Ray's processes, decoders or Redis."""
    found = psutil.Process(running.process.pid).children(recursive=True)
    assert len(found) > 20
    running.process.kill()
    running.process.wait()
    _, left = psutil.wait_procs(found, 30)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
