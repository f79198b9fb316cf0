"""Whole answers about images, equal to Hugging Face's, on checkpoints made like the published ones.

Their tokenizers' kinds, templates, control tokens and language models; small, and with random weights.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, LlavaNextForConditionalGeneration

from models.untrained import spread
from services.common.budget import Retention
from services.llm import parts
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.settings import LlmSettings
from tests.support.hugging_face import conversation_inputs
from tests.support.llm_parts import InProcessEncoder, Language, collect, picture, png
from tests.support.templates import CHATML, LLAMA3, MISTRAL, VICUNA
from tests.support.tokenizers import bytes_like, sentencepiece_like

LLAMA3_TOKENS = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>")
ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
MIMICS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "vicuna": (sentencepiece_like, VICUNA, {"model_type": "llama"}),
    "mistral": (sentencepiece_like, MISTRAL, {"model_type": "mistral", "sliding_window": None}),
    "yi": (lambda: bytes_like("<|im_end|>", "<|im_start|>"), CHATML, {"model_type": "llama"}),
    "qwen": (lambda: bytes_like("<|im_end|>", "<|im_start|>"), CHATML, {"model_type": "qwen2"}),
    "llama3": (
        lambda: bytes_like(*LLAMA3_TOKENS, bos="<|begin_of_text|>"),
        LLAMA3,
        {"model_type": "llama", "rope_parameters": ROPE | {"original_max_position_embeddings": 512}},
    ),
}
CONVERSATIONS = {
    "a question": [("user", [(91, 37), "What is shown?"])],
    "turns": [
        ("system", ["Be terse. 北京 \N{GRINNING FACE}"]),
        ("user", [(112, 230), "is it red?"]),
        ("assistant", ["yes"]),
        ("user", ["and\n the  circle?"]),
    ],
}


def make(folder: Path, tokenizer: Any, template: str, language: dict[str, Any]) -> None:
    """The untrained checkpoint with another language model, drawn anew, and what belongs to it."""
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template)
    content = json.loads((folder / "config.json").read_text())
    content["image_token_index"] = tokenizer.convert_tokens_to_ids("<image>")
    # A few more than there are tokens, as published ones have.
    own = {"vocab_size": len(tokenizer) + 8, "eos_token_id": tokenizer.eos_token_id}
    content["text_config"] |= own | language
    (folder / "config.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    model = LlavaNextForConditionalGeneration(AutoConfig.from_pretrained(folder))
    spread(model.model.vision_tower, 8.0)
    spread(model.model.language_model, 0.7)
    (folder / "generation_config.json").unlink()
    model.save_pretrained(folder)


def theirs(folder: Path, turns: Any, tokens: int) -> list[int]:
    inputs = conversation_inputs(folder, turns, lambda size: picture(*size))
    model = LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    out = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
    answer: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
    return answer


async def ours(folder: Path, turns: Any, tokens: int) -> list[int]:
    """Tokens, as what random ones decode to is broken characters."""
    settings = LlmSettings(model=str(folder))
    language = Language(folder)
    generate, answer = language.engine.generate, []

    async def spy(*args: Any) -> AsyncIterator[int]:
        async for token in generate(*args):
            answer.append(token)
            yield token

    language.engine.generate = spy
    chat = parts.open_chat(
        settings, InProcessEncoder(str(folder)), parts.open_prompts(settings), language.splicer, language.engine
    )
    job = ChatJob(
        tuple(
            Turn(role, tuple(part if isinstance(part, str) else ImagePart(png(picture(*part))) for part in said))
            for role, said in turns
        ),
        budget=Retention(1.0),
        sampling=Sampling(max_tokens=tokens),
    )
    await collect(chat.generate(job))
    return answer


@pytest.mark.parametrize(
    "generation", [{}, {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2}], ids=["", "penalty"]
)
@pytest.mark.parametrize("kind", MIMICS)
async def test_answers_are_hugging_faces(folder, kind, generation):
    tokenizer, template, language = MIMICS[kind]
    make(folder, tokenizer(), template, language)
    if generation:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    parts.check(LlmSettings(model=str(folder)))
    for turns in CONVERSATIONS.values():
        answer = await ours(folder, turns, 12)
        assert answer
        assert answer == theirs(folder, turns, 12)
