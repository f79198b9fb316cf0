"""Generated files: what is stale, missing or left over is told, and mended. That ours are fresh is for `make lint`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts import generate

ROOT = generate.ROOT
STUB = "sdk/heroserve/v1/chat_pb2.pyi"
OURS = "sdk/heroserve/v1/__init__.py"
BOARD = "deploy/grafana/dashboards/heroserve-llm.json"
RULE = "deploy/kubernetes/components/monitoring/prometheus-rule.yaml"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose generated files are fresh, with a file of ours among them. Made once: that takes a second."""
    folder = tmp_path_factory.mktemp("fresh")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "ROOT", folder)
        generate.main([])
        shutil.copy(ROOT / OURS, folder / OURS)
        generate.main(["--check"])
    return folder


@pytest.fixture
def project(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the command is at home."""
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    shutil.copytree(fresh, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize(("path", "name"), [(STUB, "protos"), (BOARD, "dashboards"), (RULE, "monitoring")])
def test_a_changed_file_is_told_and_mended(project: Path, path: str, name: str) -> None:
    fresh = (project / path).read_bytes()
    (project / path).write_bytes(fresh + b"\n")
    with pytest.raises(SystemExit) as told:
        generate.main(["--check"])
    assert told.value.code == f"{path} is stale: run `python -m scripts.generate {name}`"
    generate.main([name])
    assert (project / path).read_bytes() == fresh


def test_every_complaint_is_told_and_checking_changes_nothing(project: Path) -> None:
    gone, more = project / BOARD, project / "deploy/grafana/dashboards/heroserve-old.json"
    stub = project / "sdk/heroserve/v1/old_pb2.py"
    gone.rename(more)
    stub.touch()
    with pytest.raises(SystemExit) as told:
        generate.main(["--check"])
    lines = str(told.value.code).splitlines()
    assert [line.split()[0] for line in lines] == [str(path.relative_to(project)) for path in (stub, gone, more)]
    assert ["left over" in line for line in lines] == [True, False, True]
    assert not gone.exists()
    generate.main([])
    generate.main(["--check"])
    assert not more.exists()
    assert not stub.exists()
    assert (project / OURS).exists()


def test_only_what_is_named(project: Path) -> None:
    for path in (BOARD, RULE):
        (project / path).unlink()
    generate.main(["--check", "protos"])
    generate.main(["dashboards"])
    with pytest.raises(SystemExit, match=RULE):
        generate.main(["--check"])
    with pytest.raises(SystemExit):
        generate.main(["nonsense"])
