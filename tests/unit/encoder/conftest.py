"""The bundled checkpoint through the real loading code, Hugging Face's classes beside it, and a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPModel

from scripts.redis_server import RedisServer, free_port
from services.common.settings import BUNDLED_MODEL
from services.encoder.settings import EncoderSettings
from services.encoder.tiling import Tiler
from services.encoder.tower import VisionTower
from tests.reference import Reference


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tower() -> VisionTower:
    return VisionTower(EncoderSettings())


@pytest.fixture(scope="session")
def tiler() -> Tiler:
    from services.common.checkpoint import Checkpoint

    return Tiler.of(Checkpoint(BUNDLED_MODEL, "HEROSERVE_MODEL"))


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference(BUNDLED_MODEL)


@pytest.fixture(scope="session")
def clip() -> Any:
    """The bundled CLIP as Hugging Face runs it."""
    return CLIPModel.from_pretrained(f"{BUNDLED_MODEL}/clip").eval()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(free_port(), tmp_path)
    server.start()
    yield server
    server.stop()
