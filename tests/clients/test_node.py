"""examples/node/ask.js, as Node runs it with the packages that it names, by the protos alone."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from scripts.stack import PICTURE, ROOT
from tests.clients.conftest import ENVIRONMENTS, KEY, Door

STAR = "what character is on the black star?"
PACKAGES = ENVIRONMENTS / "node" / "node_modules"

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and (PACKAGES / "@grpc" / "grpc-js").is_dir()),
    reason=f"no node, or no packages in {PACKAGES}; `make test-clients` says why",
)


def ask(door: Door, image: str, port: int | None = None, key: str = KEY) -> subprocess.CompletedProcess[str]:
    variables = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(PACKAGES),
        "HEROSERVE_TARGET": f"localhost:{port or door.grpc_port}",
        "HEROSERVE_API_KEY": key,
    }
    command = ["node", "examples/node/ask.js", image, STAR]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize("cached", [False, True], ids=["bytes", "digest"])
def test_it_answers(door: Door, cached: bool):
    done = ask(door, PICTURE)
    assert (done.returncode, done.stdout) == (0, "T\n"), done.stderr
    assert done.stderr == "360 of 448 visual tokens dropped, ended by STOP\n"


def test_what_goes_wrong_is_a_line(door: Door):
    for done, said in (
        (ask(door, "README.md"), "INVALID_ARGUMENT: messages[0].parts[0].image.data: is not an image"),
        (ask(door, PICTURE, key="wrong"), "UNAUTHENTICATED: "),
        (ask(door, PICTURE, port=1), "UNAVAILABLE: "),
        (ask(door, "nothere.png"), "Error: ENOENT"),
    ):
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (1, "")
        assert line.startswith(said)
        assert "request " in line
