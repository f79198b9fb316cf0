"""A question's embedding is CLIP's own, whatever its length."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_parts import copy_checkpoint, edit_weights
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from services.common.checkpoint import Checkpoint
from services.common.settings import BUNDLED_MODEL, SettingError
from services.encoder import relevance
from services.encoder.relevance import QuestionEmbedder

CLIP = f"{BUNDLED_MODEL}/clip"
QUESTIONS = (
    "What number is on the sign?",
    "read",
    "Où est le chat ? 猫はどこ 🙂",
    "x " * 300,
    " ".join(["what colour is the large round object above the table"] * 50),
)


def embedder(folder: str = CLIP) -> QuestionEmbedder:
    return QuestionEmbedder(Checkpoint(folder, "HEROSERVE_RELEVANCE_MODEL"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One element a pass of the text tower: its shape."""
    seen: list[Any] = []
    forward = CLIPTextModelWithProjection.forward

    def counting(model: Any, ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(tuple(ids.shape))
        return forward(model, ids, *args, **kwargs)

    monkeypatch.setattr(CLIPTextModelWithProjection, "forward", counting)
    return seen


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question[:20])
def test_equals_clip(clip: Any, question: str) -> None:
    tokens = AutoTokenizer.from_pretrained(CLIP)(question, truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        features = clip.get_text_features(**tokens)
    expected = torch.nn.functional.normalize(getattr(features, "pooler_output", features)[0], dim=0)
    embedding = embedder().embed(question)
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(embedding, expected.numpy(), atol=1e-5)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_different_questions_differ() -> None:
    one = embedder()
    assert np.abs(one.embed(QUESTIONS[0]) - one.embed(QUESTIONS[1])).max() > 0.01


def test_500_words_are_cut_off_at_77_tokens(passes: list[Any]) -> None:
    question = QUESTIONS[-1]
    assert len(question.split()) == 500
    embedder().embed(question)
    assert passes == [(1, 77)]


def test_asked_again(passes: list[Any]) -> None:
    one = embedder()
    first = one.embed("What?")
    assert one.embed("What?") is first
    one.embed("Where?")
    assert len(passes) == 2


def test_the_least_recently_asked_is_forgotten(passes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "_CACHED_QUESTIONS", 2)
    one = embedder()
    for question in ("a", "b", "a", "c"):
        one.embed(question)
    assert len(passes) == 3
    one.embed("a")
    assert len(passes) == 3
    one.embed("b")
    assert len(passes) == 4
    assert len(one._known) == 2


def test_many_threads_ask(passes: list[Any]) -> None:
    one = embedder()
    with ThreadPoolExecutor(8) as threads:
        embeddings = list(threads.map(one.embed, ["What?", "Where?"] * 20))
    assert len(passes) == 2
    assert all(np.array_equal(embeddings[at], embeddings[at % 2]) for at in range(40))


def test_unusable_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"HEROSERVE_RELEVANCE_MODEL=.*expected a CLIP checkpoint"):
        embedder(BUNDLED_MODEL)
    folder = copy_checkpoint(tmp_path / "model") / "clip"

    def drop(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["text_projection.weight"]

    edit_weights(folder, drop)
    with pytest.raises(SettingError, match=r"(?s)HEROSERVE_RELEVANCE_MODEL=.*text_projection"):
        embedder(str(folder))
