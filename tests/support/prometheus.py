"""Rules of the checked-in configuration, and programs of Debian's without which a test is skipped."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.programs import MissingProgram, found, process, wait_for
from scripts.prometheus import EXPORTERS, FOLDER, Api, Prometheus

__all__ = ["EXPORTERS", "FOLDER", "ROOT", "Api", "Prometheus", "process", "program", "promtool", "rules", "wait_for"]

ROOT = Path(__file__).resolve().parents[2]


def program(*names: str) -> str:
    """Path of the first of these programs that is installed. Without one the test is skipped."""
    try:
        return found(*names)
    except MissingProgram as error:
        pytest.skip(str(error))


def promtool(*arguments: str | Path) -> str:
    """What it prints; it has to end well."""
    command = [program("promtool"), *map(str, arguments)]
    # A quarter of its work would be collecting garbage, of which there are some hundred megabytes.
    environ = {**os.environ, "GOGC": "400"}
    # Seconds of work, but of a machine that may be busy.
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    """Every rule, recorded ones first."""
    names = ("recording", "objectives", "alerts")
    files = [yaml.safe_load((FOLDER / "rules" / f"{name}.yaml").read_text()) for name in names]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]
