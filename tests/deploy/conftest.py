"""kustomize, as part of kubectl, and what it builds."""

from __future__ import annotations

import pytest

from tests.support import manifests
from tests.support.manifests import KUBERNETES, OVERLAYS, Build, Kustomize


@pytest.fixture(scope="session")
def kustomize() -> Kustomize:
    """Builds a folder."""
    return manifests.kustomize


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
