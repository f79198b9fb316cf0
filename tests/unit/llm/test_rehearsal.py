"""A process of its own tries a chat template: once, where nothing it is told has changed and it passed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from models.tokenizer import CHAT_TEMPLATE
from services.common.settings import SettingError
from services.llm import parts, rehearsal
from services.llm.settings import LlmSettings
from tests.support.llm_parts import edit

OUT_OF_MEMORY = "{{ 'a' * 1000000000000 }}"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each of these processes was told."""
    run, told = subprocess.run, []

    def counted(*args: Any, **options: Any) -> Any:
        told.append(options["input"].decode())
        return run(*args, **options)

    monkeypatch.setattr(rehearsal.subprocess, "run", counted)
    return told


def check(folder: Path, template: str) -> None:
    parts.check(LlmSettings(model=str(folder), chat_template=template))


def test_what_passed_is_not_tried_again(folder: Path, tried: list[str]) -> None:
    template = CHAT_TEMPLATE + "{# nobody else's #}"
    for _ in range(2):
        check(folder, template)
    assert len(tried) == 1
    # Of another checkpoint it is, where the checkpoint's own are the same.
    edit(folder, text_config={"max_position_embeddings": 77})
    check(folder, template)
    assert len(tried) == 1


def test_another_template_and_other_tokens_are_tried(folder: Path, tried: list[str]) -> None:
    check(folder, CHAT_TEMPLATE + "{# one #}")
    check(folder, CHAT_TEMPLATE + "{# two #}")
    assert len(tried) == 2
    path = folder / "tokenizer_config.json"
    before = path.read_text()
    path.write_text(before.replace('"pad_token": "<pad>"', '"pad_token": "</s>"'))
    assert path.read_text() != before
    check(folder, CHAT_TEMPLATE + "{# two #}")
    assert len(tried) == 3


def test_what_did_not_pass_is_tried_anew(folder: Path, tried: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(SettingError, match="memory"):
            check(folder, OUT_OF_MEMORY + CHAT_TEMPLATE)
    assert len(tried) == 2
