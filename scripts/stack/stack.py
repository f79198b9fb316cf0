"""Redis and both services: started, known by what they are and not by where they listen, and stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import heroserve
from heroserve.errors import HeroserveError
from scripts.bound import start_bound
from scripts.redis_server import RedisServer
from scripts.stack.family import Family
from scripts.stack.listeners import strangers
from scripts.stack.notices import Notices
from scripts.stack.paths import ROOT
from scripts.stack.ports import Ports
from scripts.stack.shell import Shell
from services.common.notify import VARIABLE as NOTIFY

_PATIENCE_S = 180.0
_STOP_S = 60.0
_REAP_S = 5.0


class StackError(RuntimeError):
    """A part did not come up, or has stopped; the message says which, and ends with what it said last."""


class Stack:
    """A Redis of its own and both services, which read the shell's HEROSERVE_* variables too.

    On Linux none of its processes outlives the one that started it.

    Args:
        ports: where it listens.
        folder: of its logs.
        tell: is given what a service does, as it says it: its name and words.
        root: where the services' code is.

    Attributes:
        services: by name, once they were started.
        shell: what was taken from the shell's variables.
    """

    def __init__(
        self,
        ports: Ports,
        folder: Path,
        tell: Callable[[str, str], None] = lambda service, words: None,
        root: Path = ROOT,
    ) -> None:
        self.ports = ports
        self.folder = folder
        self.redis = RedisServer(ports.redis, folder)
        self.services: dict[str, subprocess.Popen[bytes]] = {}
        self.shell: Shell | None = None
        self._tell = tell
        self._root = root
        self._families: dict[str, Family] = {}
        self._notices: Notices | None = None

    def start(self, patience_s: float = _PATIENCE_S) -> None:
        """Start everything, and return when a question could be asked.

        Raises:
            SettingError: a variable of the shell's can't be used here.
            StackError: a part stopped, another process listens on a port of it, or nothing was ready in time.
        """
        deadline = time.monotonic() + patience_s
        self.shell = Shell.read(os.environ)
        self._notices = Notices()
        self.start_encoder()
        self.start_llm()
        if not self.shell.cache_url:
            # Beside the others, which take longer to need it.
            try:
                self.redis.start()
            except RuntimeError as error:
                raise StackError(str(error)) from error
            self._tell("redis", "ready")
        self._await_services(self._notices, deadline)
        self._check_ports()
        self._await_each_other(self.shell, deadline)

    def start_encoder(self) -> None:
        """Begin to start it, as a part of a stack that is started; it may have run before."""
        assert self.shell is not None
        self._run("encoder", HEROSERVE_CACHE_URL=self.shell.cache_url or self.redis.url)

    def start_llm(self) -> None:
        """As ``start_encoder``."""
        self._run("llm", HEROSERVE_ENCODER_TARGET=f"localhost:{self.ports.encoder}")

    def check(self) -> None:
        """Raises:
        StackError: a part has stopped.
        """
        for family in self._families.values():
            if family.has_ended:
                raise StackError(family.end)
        try:
            self.redis.check()
        except RuntimeError as error:
            raise StackError(str(error)) from error

    def stop(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Let requests finish and stop everything; return when all processes are gone, and their ports are free.

        Args:
            hurried: whether requests need not finish any more.
        """
        # The LLM service first, which was started last: what it has taken up may still need the encoder.
        families = [*reversed(self._families.values())]
        deadline = time.monotonic() + _STOP_S
        for family in families:
            family.ask_to_stop()
            while not (family.has_ended or hurried() or time.monotonic() > deadline):
                time.sleep(0.05)
        for family in families:
            family.kill()
        deadline = time.monotonic() + _REAP_S
        for family in families:
            family.reap(deadline)
        self.redis.stop()
        self._families.clear()
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    def _run(self, service: str, **variables: str) -> None:
        assert self.shell is not None
        assert self._notices is not None
        ports = {f"HEROSERVE_{name}_PORT": str(port) for name, port in self.ports.of(service).items()}
        path = self.folder / f"{service}.log"
        with path.open("ab") as log:
            process = start_bound(
                [sys.executable, "-m", f"services.{service}"],
                cwd=self._root,
                env={**self.shell.variables, **variables, **ports, NOTIFY: self._notices.open(service)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for us; the services are told by stop().
                start_new_session=True,
            )
        self.services[service] = process
        self._families[service] = Family(service, process, path)
        self._tell(service, "loading its code")

    def _await_services(self, notices: Notices, deadline: float) -> None:
        while not notices.ready.issuperset(self.services):
            self._before(deadline)
            for service, words in notices.wait(0.2):
                self._tell(service, words)

    def _check_ports(self) -> None:
        ours = set().union(*(family.look() for family in self._families.values()))
        ports = {port for service in self.services for port in self.ports.of(service).values()}
        for port, who in strangers(ports, ours):
            raise StackError(f"on port {port} another process listens too ({who}), and would answer in our place")

    def _await_each_other(self, shell: Shell, deadline: float) -> None:
        """Until the LLM service has found the encoder, and a question would be answered."""
        retry = heroserve.RetryPolicy(attempts=1)
        target = f"localhost:{self.ports.llm}"
        with heroserve.Client(target, timeout_s=5, retry=retry, api_key=shell.api_key or None) as client:
            problem = "its encoder isn't there"
            while True:
                try:
                    if client.describe().HasField("encoder"):
                        return
                except HeroserveError as error:
                    problem = str(error)
                self._before(deadline, problem)
                time.sleep(0.2)

    def _before(self, deadline: float, problem: str = "") -> None:
        self.check()
        if time.monotonic() > deadline:
            told = "\n".join(f"{family.name}: {family.last_words}" for family in self._families.values())
            raise StackError(f"not ready in time{f' ({problem})' if problem else ''}\n{told}")
