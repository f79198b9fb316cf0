"""A stock vLLM that serves the bundled model's language model, and the LLM service's heart over it and over its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from scripts.vllm_server import VllmServer, vllm_server
from services.common.settings import BUNDLED_MODEL
from services.families.registry import language_half
from services.llm import parts
from services.llm.export.folder import export
from services.llm.settings import LlmSettings
from tests.support.llm_parts import InProcessEncoder
from tests.support.remote_parts import KEY, Asked, asking

pytest.importorskip("vllm")
FLAGS = ("--enable-prompt-embeds", "--enable-prompt-tokens-details", "--api-key", KEY, "--served-model-name", "tiny")


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("exported") / "lm"
    source = parts.model(LlmSettings(model=BUNDLED_MODEL))
    export(language_half(source), source, folder, "FOLDER")
    return str(folder)


@pytest.fixture(scope="session")
def server(language_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with vllm_server(language_model, tmp_path_factory.mktemp("logs"), *FLAGS) as server:
        yield server


@pytest.fixture(scope="module")
def second(language_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """One more, to be killed."""
    with vllm_server(language_model, tmp_path_factory.mktemp("logs"), *FLAGS) as server:
        yield server


@pytest.fixture(scope="session")
def encoder() -> InProcessEncoder:
    return InProcessEncoder(BUNDLED_MODEL)


@pytest_asyncio.fixture(scope="session")
async def here(encoder: InProcessEncoder) -> AsyncIterator[Asked]:
    """The engine that is exact."""
    async with asking(encoder) as asked:
        yield asked


@pytest_asyncio.fixture(scope="session")
async def there(encoder: InProcessEncoder, server: VllmServer) -> AsyncIterator[Asked]:
    """Over the server."""
    async with asking(encoder, server.url) as asked:
        yield asked
