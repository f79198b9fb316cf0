"""A Redis of our own is known by what it is, and not by where it listens."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from redis import Redis

from scripts.redis_server import RedisServer, free_port


def test_anothers_redis_is_not_taken_for_it(tmp_path: Path):
    (tmp_path / "other").mkdir()
    (tmp_path / "ours").mkdir()
    other = RedisServer(free_port(), tmp_path / "other")
    other.start()
    try:
        ours = RedisServer(other.port, tmp_path / "ours")
        with pytest.raises(RuntimeError, match=rf"(?s)^redis-server on port {other.port} has stopped: .*in use"):
            ours.start()
        other.check()
        with Redis(port=other.port) as client:
            assert client.dbsize() == 0
    finally:
        other.stop()


def test_one_that_ends_by_itself_is_told(tmp_path: Path):
    server = RedisServer(free_port(), tmp_path)
    server.check()
    server.start()
    server.check()
    with Redis(port=server.port) as client:
        process = client.info("server")["process_id"]
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    with pytest.raises(RuntimeError, match="has stopped"):
        server.check()
    server.restart()
    server.check()
    server.stop()
    server.check()
