"""`up` and `attach` start a checkout's services: its own, or where the client is alone those of the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heroserve.cli import app, checkout
from scripts.stack import ROOT

# In the place of an environment's Python: it tells how it was started.
PYTHON = '#!/bin/sh\necho "$@"; pwd; echo "$HEROSERVE_MODEL"; echo told >&2\n'


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client, as `pip install` leaves it."""
    monkeypatch.setattr(checkout, "_HERE", tmp_path / "lib" / "python3")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout, without an environment."""
    root = tmp_path / "a checkout"
    (root / "scripts" / "stack").mkdir(parents=True)
    (root / "deep" / "inside").mkdir(parents=True)
    (root / "scripts" / "stack" / "__main__.py").touch()
    (root / "pyproject.toml").write_text('[project]\nname = "heroserve"\n')
    return root


@pytest.mark.parametrize("command", [["up"], ["attach", "http://localhost:8000"]], ids=lambda command: command[0])
@pytest.mark.usefixtures("alone")
def test_where_there_is_no_checkout_it_says_what_to_do(root, monkeypatch, command):
    (root / "pyproject.toml").write_text('[project]\nname = "somebody-elses"\n')
    for folder in (root.parent, root):
        monkeypatch.chdir(folder)
        done = CliRunner().invoke(app, command)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith(f"heroserve: {command[0]}: starts services, and this is the client alone; ")
        assert "a checkout of heroserve; run it in one, after `make install`" in done.stderr
        assert ("--target HOST:PORT" in done.stderr) == (command == ["up"])
        assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("alone")
def test_a_checkout_without_an_environment(root, monkeypatch):
    monkeypatch.chdir(root / "deep" / "inside")
    done = CliRunner().invoke(app, ["up"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith("a checkout has no environment yet; run `make install` there first\n")


@pytest.mark.usefixtures("alone")
def test_a_folder_that_is_gone_is_no_checkout(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert checkout.find() is None


def test_the_checkout_that_it_is_part_of_goes_first(root, monkeypatch):
    monkeypatch.chdir(root)
    assert checkout.find() == ROOT


def test_the_checkout_around_is_started_by_its_own_python(root, tmp_path):
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    program = (
        "from pathlib import Path; from heroserve.cli import app, checkout; "
        f"checkout._HERE = Path({str(tmp_path)!r}); app(['attach', 'http://a:1', 'http://b:2'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root / "deep" / "inside",
        env={**os.environ, "PYTHONPATH": str(ROOT / "sdk"), "HEROSERVE_MODEL": "some/model"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "told\n")
    assert done.stdout.splitlines() == ["-m scripts.stack attach http://a:1 http://b:2", str(root), "some/model"]
