"""A question's embedding is CLIP's own, whatever its length."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from services.common.checkpoint import Checkpoint
from services.common.errors import FailedPrecondition
from services.common.settings import SettingError
from services.encoder.relevance import questions
from services.encoder.relevance.questions import QuestionEmbedder
from tests.support.encoder_parts import edit_weights

QUESTIONS = (
    "What number is on the sign?",
    "read",
    "Où est le chat ? 猫はどこ 🙂",
    "x " * 300,
    " ".join(["what colour is the large round object above the table"] * 50),
)


def load(folder: str) -> QuestionEmbedder:
    return QuestionEmbedder(Checkpoint(folder, "HEROSERVE_RELEVANCE_MODEL"))


@pytest.fixture
def embedder(untrained: str) -> QuestionEmbedder:
    return load(f"{untrained}/clip")


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
def test_equals_clip(untrained: str, embedder: QuestionEmbedder, clip: Any, question: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(f"{untrained}/clip")
    tokens = tokenizer(question, truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        features = clip.get_text_features(**tokens)
    expected = torch.nn.functional.normalize(getattr(features, "pooler_output", features)[0], dim=0)
    embedding = embedder.embed(question)
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(embedding, expected.numpy(), atol=1e-4)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_different_questions_differ(embedder: QuestionEmbedder) -> None:
    assert np.abs(embedder.embed(QUESTIONS[0]) - embedder.embed(QUESTIONS[1])).max() > 0.01


def test_500_words_are_cut_off_at_77_tokens(embedder: QuestionEmbedder, passes: list[Any]) -> None:
    question = QUESTIONS[-1]
    assert len(question.split()) == 500
    embedder.embed(question)
    assert passes == [(1, 77)]


def test_asked_again(embedder: QuestionEmbedder, passes: list[Any]) -> None:
    first = embedder.embed("What?")
    assert embedder.embed("What?") is first
    embedder.embed("Where?")
    assert len(passes) == 2


def test_the_least_recently_asked_is_forgotten(
    embedder: QuestionEmbedder, passes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "_CACHED_QUESTIONS", 2)
    for question in ("a", "b", "a", "c"):
        embedder.embed(question)
    assert len(passes) == 3
    embedder.embed("a")
    assert len(passes) == 3
    embedder.embed("b")
    assert len(passes) == 4
    assert len(embedder._known) == 2


def test_many_threads_ask(embedder: QuestionEmbedder, passes: list[Any]) -> None:
    with ThreadPoolExecutor(8) as threads:
        embeddings = list(threads.map(embedder.embed, ["What?", "Where?"] * 20))
    assert len(passes) == 2
    assert all(np.array_equal(embeddings[at], embeddings[at % 2]) for at in range(40))


def test_unusable_checkpoints(folder: Path) -> None:
    with pytest.raises(SettingError, match=r"HEROSERVE_RELEVANCE_MODEL=.*expected a CLIP checkpoint"):
        load(str(folder))

    def drop(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["text_projection.weight"]

    edit_weights(folder / "clip", drop)
    with pytest.raises(SettingError, match=r"(?s)HEROSERVE_RELEVANCE_MODEL=.*text_projection"):
        load(f"{folder}/clip")


@pytest.mark.parametrize(
    ("weight", "factor"),
    [
        ("text_projection.weight", float("nan")),
        # Each value is finite, and the length of them together is not.
        ("text_projection.weight", 1e30),
        ("text_model.embeddings.token_embedding.weight", float("nan")),
        ("text_model.final_layer_norm.weight", float("inf")),
    ],
)
def test_values_that_are_not_finite_are_told_at_each_question(folder: Path, weight: str, factor: float) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors[weight] *= factor

    edit_weights(folder / "clip", edit)
    embedder = load(str(folder / "clip"))
    for _ in range(2):
        with pytest.raises(FailedPrecondition, match=r"^HEROSERVE_RELEVANCE_MODEL: .* of this question .* not finite"):
            embedder.embed("What?")
