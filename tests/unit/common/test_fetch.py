"""What is fetched beforehand is all that the services ask for, of both repositories."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from services.common.settings import SettingError
from services.encoder import parts as encoder
from services.encoder.settings import EncoderSettings
from services.llm import parts as llm
from services.llm.settings import LlmSettings
from tests.support.hub import Hub, point_to, serving

MODEL, CLIP = "someone/a-model", "someone/a-clip"
ENCODER = EncoderSettings(model=MODEL, relevance_model=CLIP)
LLM = LlmSettings(model=MODEL)


@pytest.fixture
def hub(untrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub()) as hub:
        hub.push(MODEL, Path(untrained))
        hub.push(CLIP, Path(untrained) / "clip")
        point_to(monkeypatch, hub.endpoint, tmp_path / "cache")
        yield hub


def test_without_a_network_both_find_all_that_was_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder.check_models(ENCODER)
    llm.check(LLM)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    sources = encoder.check_models(ENCODER)
    # As replicas do it, weights and all.
    encoder.open_tower(ENCODER, sources)
    encoder.open_embedder(ENCODER, sources)
    llm.check(LLM)
    llm.open_splicer(LLM)
    assert hub.requests == []


def test_what_is_missing_of_the_second_repository_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    llm.check(LLM)
    encoder.check_models(EncoderSettings(model=MODEL, relevance_model="none"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SettingError, match="HEROSERVE_RELEVANCE_MODEL='someone/a-clip': no checkpoint found"):
        encoder.check_models(ENCODER)


def test_the_command_ends_with_a_line(tmp_path: Path) -> None:
    """By which a Job is tried again, and a head waits. No Redis is asked for."""
    environ = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "HEROSERVE_MODEL": MODEL,
        "HEROSERVE_CACHE_URL": "redis://nowhere.invalid:6379/0",
    }
    command = [sys.executable, "-m", "services.encoder.fetch"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"heroserve: HEROSERVE_MODEL='{MODEL}': no checkpoint found")
