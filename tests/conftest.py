"""The checkpoint that tests run on, so that none but tests/integration/test_bundled.py depends on the bundled one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from scripts import redis_server

# So that an assertion that fails in there tells its values too.
pytest.register_assert_rewrite("tests.support")


# The same examples everywhere, and however long a busy machine takes for one.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Side by side, each process has ports of its own."""
    if worker := getattr(config, "workerinput", None):
        redis_server.share_ports(int(worker["workerid"].removeprefix("gw")), worker["workercount"])


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small checkpoint with random weights, the same in every session; what HEROSERVE_MODEL may name."""
    # Not above: tests of the SDK need no torch.
    from models.untrained import build

    folder = tmp_path_factory.mktemp("untrained")
    build(folder, seed=0)
    return str(folder)


@pytest.fixture
def folder(untrained: str, tmp_path: Path) -> Path:
    """A copy of it, for a test to change."""
    return shutil.copytree(untrained, tmp_path / "model")
