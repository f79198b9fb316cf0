"""`heroserve up`, which becomes what `make up` runs; and what tells whether a service is up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scripts.stack import ROOT, Ports


@dataclass(frozen=True)
class Up:
    """Attributes: process: the command; shown: what it has printed until it was ready."""

    process: subprocess.Popen[str]
    shown: str

    @property
    def first_command(self) -> str:
        (line,) = (line for line in self.shown.splitlines() if line.startswith("try "))
        return line.removeprefix("try").strip()

    @property
    def target(self) -> str:
        return self.first_command.rpartition("--target ")[2]


@contextmanager
def up() -> Iterator[Up]:
    """Started and ready; with no variables of ours."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEROSERVE_")}
    with subprocess.Popen(
        [sys.executable, "-m", "heroserve", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C"):
                    break
            shown = "".join(lines)
            assert process.poll() is None, shown
            yield Up(process, shown)
        finally:
            process.terminate()
            process.wait(90)


def health(service: str, ports: Ports) -> subprocess.CompletedProcess[str]:
    """What a container engine would run to know."""
    mine = {"HTTP": getattr(ports, f"{service}_http"), "METRICS": getattr(ports, f"{service}_metrics")}
    variables = {f"HEROSERVE_{name}_PORT": str(port) for name, port in mine.items()}
    return subprocess.run(
        [sys.executable, "-m", f"services.{service}.health"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
    )
