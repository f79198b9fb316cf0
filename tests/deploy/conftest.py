"""kustomize, as part of kubectl, and what it builds."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.deploy.manifests import KUBERNETES, OVERLAYS, Build

Kustomize = Callable[[Path], Build]


@pytest.fixture(scope="session")
def kustomize() -> Kustomize:
    """Builds a folder. Skips where there is no kubectl that knows components (1.27 or newer; Debian 12 has 1.20)."""
    kubectl = shutil.which("kubectl")
    version = "none"
    if kubectl:
        told = subprocess.run(
            [kubectl, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True
        )
        version = json.loads(told.stdout).get("kustomizeVersion", "v2 or older")
    if not kubectl or int(version.lstrip("v").split(".")[0] if version.startswith("v") else 0) < 5:
        pytest.skip(f"kubectl 1.27 or newer is needed to build deploy/kubernetes (kustomize here: {version})")

    @cache
    def build(folder: Path) -> Build:
        made = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
        assert made.returncode == 0, f"{folder}: {made.stderr}"
        # kubectl complains here of what the next version refuses.
        assert not made.stderr, f"{folder}: {made.stderr}"
        return Build(made.stdout)

    return build


@pytest.fixture(scope="session", params=["base", *OVERLAYS])
def build(request: pytest.FixtureRequest, kustomize: Kustomize) -> Build:
    """The base and each overlay, in turn."""
    return kustomize(KUBERNETES / ("base" if request.param == "base" else f"overlays/{request.param}"))


@pytest.fixture(scope="session")
def dev(kustomize: Kustomize) -> Build:
    return kustomize(KUBERNETES / "overlays/dev")


@pytest.fixture(scope="session")
def production(kustomize: Kustomize) -> Build:
    return kustomize(KUBERNETES / "overlays/production")


@pytest.fixture(scope="session")
def base(kustomize: Kustomize) -> Build:
    return kustomize(KUBERNETES / "base")
