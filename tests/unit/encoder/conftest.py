"""The untrained checkpoint through the real loading code, Hugging Face's classes beside it, and a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPModel

from scripts.redis_server import RedisServer, free_port
from services.encoder.parts import open_tower
from services.encoder.settings import EncoderSettings
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.reference import Reference


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tower(untrained: str) -> VisionTower:
    return open_tower(EncoderSettings(model=untrained))


@pytest.fixture(scope="session")
def tiler(untrained: str) -> AnyresTiler:
    from services.common.checkpoint import Checkpoint

    return AnyresTiler.of(Checkpoint(untrained, "HEROSERVE_MODEL"))


@pytest.fixture(scope="session")
def reference(untrained: str) -> Reference:
    return Reference(untrained)


@pytest.fixture(scope="session")
def clip(untrained: str) -> Any:
    """Its CLIP as Hugging Face runs it."""
    return CLIPModel.from_pretrained(f"{untrained}/clip").eval()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(free_port(), tmp_path)
    server.start()
    yield server
    server.stop()
