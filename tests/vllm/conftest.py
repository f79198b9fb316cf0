"""These need vLLM: ``make test-vllm`` has an environment of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.settings import BUNDLED_MODEL
from services.llm.engines.vllm import installed

# Before anything reads it.
installed.prepare(1)
pytest.importorskip("vllm")

from tests.support.vllm_parts import Both, both, shaped  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Its libraries warn of what is theirs."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore"))
        # An engine takes half a minute to start on a busy machine, and a service has one more to fetch.
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest_asyncio.fixture(scope="module")
async def bundled(exports: Path) -> AsyncIterator[Both]:
    """Both engines of the bundled model."""
    engines = both(BUNDLED_MODEL, exports)
    yield engines
    engines.vllm.close()


@pytest_asyncio.fixture(scope="module", params=["llama", "mistral", "qwen2", "qwen3"])
async def random(
    request: pytest.FixtureRequest, untrained: str, exports: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Both]:
    """Both engines of a random model of each shape, one after the other."""
    engines = both(shaped(request.param, untrained, tmp_path_factory.mktemp("shapes") / request.param), exports)
    yield engines
    engines.vllm.close()
