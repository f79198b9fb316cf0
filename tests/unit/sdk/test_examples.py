"""Programs of examples/ where nobody is there: they say so, at once, with the address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PICTURE, NO_PICTURE = "examples/scene.png", "nothere.png"


def begin(program: str, image: str, port: int, folder: Path) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEROSERVE_", "OPENAI_"))}
    told = {"HEROSERVE_TARGET": f"localhost:{port}", "OPENAI_BASE_URL": f"http://localhost:{port}/v1"}
    more = ["--out", str(folder / f"{image[-9:-4]}.jsonl")] if program == "batch" else []
    return subprocess.Popen(
        [sys.executable, f"examples/{program}.py", image, "What?", *more],
        env={**kept, **told, "PYTHONPATH": "sdk"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_where_nobody_is_and_where_no_picture_is(closed_port: int, tmp_path: Path):
    programs = ("ask", "many_questions", "openai_client", "batch")
    runs = {
        (name, image): begin(name, image, closed_port, tmp_path) for name in programs for image in (PICTURE, NO_PICTURE)
    }
    for (name, image), run in runs.items():
        # Of a call's 60 s and 120 s: they would be waited for.
        out, err = run.communicate(timeout=50)
        assert (run.returncode, out, "Traceback" in err) == (1, "", False), (name, err)
        said = err.splitlines()[-1]
        if image == PICTURE:
            assert "nobody answers at " in said, (name, err)
            assert f"localhost:{closed_port}" in said, (name, err)
        else:
            assert NO_PICTURE in said, (name, err)
            assert "No such file" in said, (name, err)
