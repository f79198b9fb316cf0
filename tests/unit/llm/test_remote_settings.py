"""What is told of an engine beside before anything is asked of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from services.common.settings import SettingError
from services.llm import parts
from services.llm.settings import LlmSettings
from tests.support.llm_parts import edit


def settings(model: str, **other: Any) -> LlmSettings:
    return LlmSettings(model=model, **{"engine": "vllm-remote", "vllm_urls": ("http://gpu:8000",)} | other)


def test_no_language_model_is_needed(folder: Path):
    """Neither loaded nor looked at: its weights may be on another machine."""
    edit(folder, rename=lambda name: None if "language_model" in name else name)
    parts.check(settings(str(folder)))
    with pytest.raises(SettingError):
        parts.check(LlmSettings(model=str(folder)))


def test_the_projector_is(folder: Path):
    edit(folder, rename=lambda name: None if "projector" in name else name)
    with pytest.raises(SettingError, match="projector"):
        parts.check(settings(str(folder)))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"vllm_urls": ()}, r"^HEROSERVE_VLLM_URL is not set: HEROSERVE_ENGINE='vllm-remote' asks the vLLM there"),
        ({"position_ids": "original"}, r"^HEROSERVE_POSITION_IDS='original': vLLM numbers tokens .*'compact'"),
    ],
)
def test_what_it_can_not_do_is_refused(untrained: str, other: dict[str, Any], told: str):
    with pytest.raises(SettingError, match=told):
        parts.check(settings(untrained, **other))


@pytest.mark.parametrize(
    ("engine", "other", "variable"),
    [
        ("transformers", {}, "HEROSERVE_VLLM_URL"),
        ("vllm-remote", {"vllm_args": ("--seed", "1")}, "HEROSERVE_VLLM_ARGS"),
        ("vllm-remote", {"tensor_parallel": 2}, "HEROSERVE_TENSOR_PARALLEL"),
    ],
)
def test_what_it_does_not_read_is_told(
    untrained: str, engine: str, other: dict[str, Any], variable: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        parts.check(settings(untrained, engine=engine, **other))
    assert f"{variable} is set, and HEROSERVE_ENGINE={engine!r} does not read it" in caplog.messages


def test_a_kind_that_is_not_read_alike_elsewhere_is_refused(folder: Path):
    """Wherever its weights are."""
    edit(folder, text_config={"hidden_act": "gelu"})
    parts.check(LlmSettings(model=str(folder)))
    with pytest.raises(SettingError, match="hidden_act 'gelu', which is not known to be read elsewhere as here"):
        parts.check(settings(str(folder)))
