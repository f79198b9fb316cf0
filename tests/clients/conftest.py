"""The bundled model's stack, with keys and a web server of pictures; its clients run in environments of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.stack import PICTURE, ROOT, Ports, Stack

KEY, OTHER_KEY = "a-key-of-the-tests", "somebody-elses-key"
ENVIRONMENTS = ROOT / "build" / "clients"
PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Door:
    """OpenAI's API as its clients are told of it.

    Attributes:
        port: where it listens.
        grpc_port: where gRPC does.
        model: what it calls its model.
        address: of the example's picture on a web server.
    """

    port: int
    grpc_port: int
    address: str
    model: str = "heroserve-tiny"

    @property
    def host(self) -> str:
        return f"http://localhost:{self.port}"

    def run(self, environment: str, *command: str, timeout_s: float = 120, **variables: str) -> str:
        """What a program of an environment prints.

        Args:
            environment: its name.
            command: a program of its, and arguments.
            timeout_s: longest it may take.
            variables: more of its.
        """
        folder = ENVIRONMENTS / environment / "bin"
        assert folder.is_dir(), f"{folder} is not there; `make test-clients` makes it"
        # What it finds of ours is what it is told.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEROSERVE_", "PYTHON"))}
        told = {
            "PATH": f"{folder}:{kept['PATH']}",
            "OPENAI_BASE_URL": f"{self.host}/v1",
            "OPENAI_API_KEY": KEY,
            "MODEL": self.model,
            "PICTURE": str(ROOT / PICTURE),
            "ADDRESS": self.address,
            # There is no hub, and nobody is told of these runs.
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "DO_NOT_TRACK": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        with subprocess.Popen(
            [str(folder / command[0]), *command[1:]],
            env={**kept, **told, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as client:
            try:
                out, err = client.communicate(timeout=timeout_s)
            finally:
                # Whatever else it has started: some have a dozen processes.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(client.pid, signal.SIGKILL)
        assert client.returncode == 0, f"{out[-3000:]}\n{err[-6000:]}"
        return out

    def told(self, environment: str, program: str) -> Any:
        """What one of ``programs/`` says at last, in JSON."""
        return json.loads(self.run(environment, "python", str(PROGRAMS / program)).splitlines()[-1])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="session")
def pictures() -> Iterator[str]:
    """Where the example's picture is on a web server."""
    folder = partial(_Quiet, directory=str((ROOT / PICTURE).parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{Path(PICTURE).name}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def door(pictures: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    stack = Stack(Ports.free(), tmp_path_factory.mktemp("stack"))
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("HEROSERVE_MODEL", raising=False)
            environment.setenv("HEROSERVE_API_KEYS", f"{KEY},{OTHER_KEY}")
            environment.setenv("HEROSERVE_ENCODER_API_KEY", KEY)
            environment.setenv("HEROSERVE_MAX_IMAGES", "2")
            environment.setenv("HEROSERVE_IMAGE_HOSTS", pictures.split("/")[2])
            environment.setenv("HEROSERVE_IMAGE_NETWORKS", "127.0.0.0/8")
            stack.start()
        yield Door(stack.ports.llm_http, stack.ports.llm, pictures)
    finally:
        stack.stop()
