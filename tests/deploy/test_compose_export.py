"""What writes the language model for a vLLM beside the service, as docker-compose.yml runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.manifests import ROOT

EXPORT = ROOT / "deploy/compose/export.sh"


def test_a_model_is_written_once_and_found_by_one_name(tmp_path: Path) -> None:
    first = _exported(tmp_path, "1")
    assert {"config.json", "model.safetensors", "tokenizer_config.json"} <= {path.name for path in first.iterdir()}
    # Nobody writes what is there: an environment without our code has nothing to do.
    assert _exported(tmp_path, "1", PYTHONPATH="") == first
    # Another model, revision, template or version of ours is another folder, and the name leads there.
    template = tmp_path / "template.jinja"
    template.write_text("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    second = _exported(tmp_path, "1", HEROSERVE_CHAT_TEMPLATE=str(template))
    assert second != first
    assert (second / "config.json").is_file()
    assert first.is_dir()


def test_what_can_not_be_written_ends_with_a_line_and_leads_nowhere(tmp_path: Path) -> None:
    done = _run(tmp_path, "1", HEROSERVE_MODEL=str(tmp_path / "nothing"))
    assert done.returncode != 0
    assert "MODEL" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "current").is_symlink()


def _exported(folder: Path, version: str, **environment: str) -> Path:
    done = _run(folder, version, **environment)
    assert done.returncode == 0, done.stderr
    return (folder / "current").resolve(strict=True)


def _run(folder: Path, version: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}", "HF_HUB_OFFLINE": "1", **environment}
    command = ["sh", str(EXPORT), str(folder), version]
    return subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=240)
