"""Redis and both services on this machine, each a process of its own.

python -m scripts.stack demo     one question about one picture, then everything stops
python -m scripts.stack up       stays up until Ctrl-C
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import heroserve
from heroserve.errors import HeroserveError
from scripts.redis_server import RedisServer, free_port

ROOT = Path(__file__).resolve().parents[1]
PICTURE = "examples/scene.png"
QUESTION = "what character is on the black star?"
_PATIENCE_S = 180.0
_STOP_S = 60.0


@dataclass(frozen=True)
class Ports:
    """Where the stack listens."""

    redis: int = 6379
    encoder: int = 9000
    encoder_http: int = 8000
    encoder_metrics: int = 9100
    llm: int = 9001
    llm_http: int = 8001
    llm_metrics: int = 9101
    encoder_ray_metrics: int = 9102
    llm_ray_metrics: int = 9103

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody uses, so that a demo never meets another service."""
        return cls(*(free_port() for _ in dataclasses.fields(cls)))


class Stack:
    """Redis, encoder and LLM service, which read our HEROSERVE_* variables too. Logs go to ``folder``."""

    def __init__(self, ports: Ports, folder: Path) -> None:
        self.ports = ports
        self.folder = folder
        self.redis = RedisServer(ports.redis, folder)
        self.services: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything, and return when a question could be asked.

        Raises:
            RuntimeError: a part did not come up; the message ends with its log.
        """
        self.redis.start()
        self.start_encoder()
        self.start_llm()
        self._wait()

    def start_encoder(self) -> None:
        """Begin to start it; it may have run before."""
        ports = self.ports
        self._run(
            "encoder",
            HEROSERVE_CACHE_URL=self.redis.url,
            HEROSERVE_GRPC_PORT=ports.encoder,
            HEROSERVE_HTTP_PORT=ports.encoder_http,
            HEROSERVE_METRICS_PORT=ports.encoder_metrics,
            HEROSERVE_RAY_METRICS_PORT=ports.encoder_ray_metrics,
        )

    def start_llm(self) -> None:
        """As ``start_encoder``."""
        ports = self.ports
        self._run(
            "llm",
            HEROSERVE_ENCODER_TARGET=f"localhost:{ports.encoder}",
            HEROSERVE_GRPC_PORT=ports.llm,
            HEROSERVE_HTTP_PORT=ports.llm_http,
            HEROSERVE_METRICS_PORT=ports.llm_metrics,
            HEROSERVE_RAY_METRICS_PORT=ports.llm_ray_metrics,
        )

    def stop(self) -> None:
        """Let requests finish, and stop everything."""
        for process in self.services.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.services.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.redis.stop()

    def _run(self, service: str, **variables: object) -> None:
        environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        environment.pop("RAY_ADDRESS", None)
        with (self.folder / f"{service}.log").open("ab") as log:
            self.services[service] = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for us; the services are told by stop().
                start_new_session=True,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        retry = heroserve.RetryPolicy(attempts=1)
        key = os.environ.get("HEROSERVE_API_KEY")
        with heroserve.Client(f"localhost:{self.ports.llm}", timeout_s=5, api_key=key, retry=retry) as client:
            while True:
                try:
                    if client.describe().HasField("encoder"):
                        return
                except HeroserveError:
                    pass  # Not up yet; the deadline below ends the wait.
                for service, process in self.services.items():
                    if process.poll() is not None:
                        raise RuntimeError(f"{service} stopped:\n{self._log_tail(service)}")
                if time.monotonic() > deadline:
                    logs = "\n".join(self._log_tail(service) for service in self.services)
                    raise RuntimeError(f"not ready after {_PATIENCE_S:.0f} s:\n{logs}")
                time.sleep(0.5)

    def _log_tail(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3000:]


@contextmanager
def running(ports: Ports) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="heroserve-") as folder:
        stack = Stack(ports, Path(folder))
        print("starting Redis, the encoder and the LLM service ...", flush=True)
        started = time.monotonic()
        try:
            stack.start()
            print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
            yield stack
        finally:
            print("stopping ...", flush=True)
            stack.stop()


def show(command: list[str]) -> None:
    """Run one of our commands as a user would, and show it."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=ROOT, check=True)


def demo() -> None:
    with running(Ports.free()) as stack:
        llm, encoder = f"localhost:{stack.ports.llm}", f"localhost:{stack.ports.encoder}"
        ask = ["heroserve", "ask", PICTURE]
        options = ["--retention", "0.2", "--max-tokens", "32", "--target", llm]
        show([*ask, QUESTION, *options])
        print("\nThe picture is ranked and cached now: another question finds it there.")
        show([*ask, "what characters are on the black cross and the green square?", *options])
        show(["heroserve", "encode", PICTURE, QUESTION, "--encoder-target", encoder])
        print()


def up() -> None:
    ports = Ports()
    with running(ports) as stack:
        print(f"""
llm      gRPC localhost:{ports.llm}   health http://localhost:{ports.llm_http}/-/healthz   \
metrics http://localhost:{ports.llm_metrics}/metrics
encoder  gRPC localhost:{ports.encoder}   health http://localhost:{ports.encoder_http}/-/healthz   \
metrics http://localhost:{ports.encoder_metrics}/metrics
redis    {stack.redis.url}
logs     {stack.folder}

try      .venv/bin/heroserve ask {PICTURE} "{QUESTION}" --retention 0.2

Ctrl-C stops everything.""")
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["demo", "up"])
    command = parser.parse_args().command
    # make and CI end us with SIGTERM: stop what runs then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        {"demo": demo, "up": up}[command]()
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{command} failed: {error}")


if __name__ == "__main__":
    main()
