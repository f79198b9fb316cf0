"""Where the stack listens, found before anything starts."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from scripts.free_port import free_port, is_free
from scripts.stack.hold import Hold
from scripts.stack.listeners import strangers
from scripts.stack.ports import Ports

SIX = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")


@contextmanager
def listening(host: str, port: int = 0, *, shared: bool = False) -> Iterator[int]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        if shared:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((host, port))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "127.0.0.2", pytest.param("::", marks=SIX), "::1"])
def test_a_port_is_taken_wherever_somebody_listens(host: str):
    with listening(host) as port:
        assert not is_free(port)
    assert is_free(port)


def test_what_is_left_of_connections_is_in_nobodys_way():
    with listening("127.0.0.1") as port:
        with socket.create_connection(("127.0.0.1", port)) as client, socket.socket():
            pass
        del client
    assert is_free(port)


def usual() -> Ports:
    return Ports.free()


def test_the_usual_ones_where_nobody_has_them(tmp_path: Path):
    wanted = usual()
    hold = Hold(tmp_path)
    assert Ports.choose(hold, wanted) == wanted
    assert list(wanted.moved(wanted)) == []


def test_each_that_somebody_has_is_replaced_and_told(tmp_path: Path):
    wanted = usual()
    with listening("127.0.0.1", wanted.llm), listening("127.0.0.1", wanted.redis):
        chosen = Ports.choose(Hold(tmp_path), wanted)
    moved = list(chosen.moved(wanted))
    assert [(what, port) for what, port, _ in moved] == [("redis", wanted.redis), ("llm", wanted.llm)]
    assert {port for *_, port in moved} == {chosen.redis, chosen.llm}
    assert dataclasses.replace(chosen, redis=wanted.redis, llm=wanted.llm) == wanted
    assert len(set(dataclasses.astuple(chosen))) == len(dataclasses.fields(Ports))


def test_two_stacks_at_once_share_no_port(tmp_path: Path):
    """Neither listens yet."""
    wanted = usual()
    first, second = Hold(tmp_path), Hold(tmp_path)
    one, other = Ports.choose(first, wanted), Ports.choose(second, wanted)
    assert one == wanted
    assert not set(dataclasses.astuple(one)) & set(dataclasses.astuple(other))
    first.release()
    assert Ports.choose(Hold(tmp_path), wanted) == wanted


def test_who_is_killed_holds_nothing(tmp_path: Path):
    code = f"import sys, scripts.stack.hold as h, pathlib; a = h.Hold(pathlib.Path({str(tmp_path)!r})); \
print(a.take(5), flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        hold = Hold(tmp_path)
        assert not hold.take(5)
        process.kill()
        process.wait()
        assert hold.take(5)
        assert not hold.take(5)


def test_a_folder_of_anothers_holds_nothing(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="is not this user's"):
        Hold(tmp_path / "link")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody but root is told")
def test_who_listens_beside_us_is_found():
    """As gRPC's servers let others do."""
    with closing(socket.socket()) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ours.bind(("0.0.0.0", free_port()))
        ours.listen()
        port = ours.getsockname()[1]
        code = f"import socket as s, sys; c = s.socket(); c.setsockopt(s.SOL_SOCKET, s.SO_REUSEPORT, 1); \
c.bind(('0.0.0.0', {port})); c.listen(); print(1, flush=True); sys.stdin.read()"
        us = {os.getpid()}
        assert list(strangers({port}, us)) == []
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            ((found, who),) = strangers({port}, us)
            assert found == port
            assert who.endswith(f", process {other.pid}")
            assert list(strangers({port}, {*us, other.pid})) == []
            assert list(strangers({port + 1}, set())) == []
            other.kill()
