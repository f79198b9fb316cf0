"""Checkpoints made like the published ones: their tokenizers' kinds, templates, control tokens and language models.

Small, and with random weights. What Hugging Face answers on one, and what we do, with the logits of each token.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, LlavaNextForConditionalGeneration

from models.untrained import spread
from services.common.budget import Retention
from services.llm import parts
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.settings import LlmSettings
from tests.support.hugging_face import conversation_inputs
from tests.support.llm_parts import DTYPES, InProcessEncoder, Language, collect, picture, png
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
# A picture by its size.
QUESTION = [("user", [(91, 37), "What is shown?"])]
TURNS = [
    ("system", ["Be terse. 北京 \N{GRINNING FACE}"]),
    ("user", [(112, 230), "is it red?"]),
    ("assistant", ["yes"]),
    ("user", ["and\n the  circle?"]),
]
LATER = [
    ("user", ["こんにちは \N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}"]),
    ("assistant", ["你好!"]),
    ("user", [(40, 50), "이것은 무엇입니까? \N{FAMILY}"]),
]


@dataclass(frozen=True)
class Answer:
    """Tokens, as what random ones decode to is broken characters, and the logits [V] that each was the highest of."""

    tokens: list[int]
    logits: list[torch.Tensor]


def make(folder: Path, mimic: str, language: dict[str, Any] | None = None, **config: Any) -> None:
    """The untrained checkpoint with another language model, drawn anew, and what belongs to it.

    Args:
        folder: of the checkpoint.
        mimic: one of MIMICS.
        language: entries of its text_config, in place of the mimic's.
        config: entries of its config.
    """
    make_tokenizer, template, usual = MIMICS[mimic]
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template)
    content = json.loads((folder / "config.json").read_text()) | config
    content["image_token_index"] = tokenizer.convert_tokens_to_ids("<image>")
    # A few more than there are tokens, as published ones have.
    own = {"vocab_size": len(tokenizer) + 8, "eos_token_id": tokenizer.eos_token_id}
    if language:
        # Of another kind even names differ.
        shape = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
        kept = (*shape, "max_position_embeddings", "initializer_range", "bos_token_id", "pad_token_id")
        content["text_config"] = {name: content["text_config"][name] for name in kept}
    content["text_config"] |= own | (language or usual)
    (folder / "config.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    model = LlavaNextForConditionalGeneration(AutoConfig.from_pretrained(folder))
    spread(model.model.vision_tower, 8.0)
    spread(model.model.language_model, 0.7)
    (folder / "generation_config.json").unlink()
    model.save_pretrained(folder)


def theirs(folder: Path, turns: Any, tokens: int, dtype: torch.dtype = torch.float32) -> Answer:
    inputs = conversation_inputs(folder, turns, lambda size: picture(*size))
    model = LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()
    output = model.generate(
        **inputs.to(dtype), do_sample=False, max_new_tokens=tokens, output_logits=True, return_dict_in_generate=True
    )
    answer: list[int] = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    return Answer(answer, [logits[0].float() for logits in output.logits])


async def ours(folder: Path, turns: Any, tokens: int, dtype: torch.dtype = torch.float32) -> Answer:
    named: Any = str(dtype).removeprefix("torch.")
    settings = LlmSettings(model=str(folder), dtype=named)
    language = Language(folder, dtype=named)
    seen: list[torch.Tensor] = []
    language.engine.model.register_forward_hook(lambda module, args, output: seen.append(output.logits[0, -1].float()))
    generate, answer = language.engine.generate, []

    async def spy(*args: Any) -> Any:
        async for token in generate(*args):
            answer.append(token)
            yield token

    language.engine.generate = spy
    encoder = InProcessEncoder(str(folder), dtype=named)
    chat = parts.open_chat(settings, encoder, parts.open_prompts(settings), language.splicer, language.engine)
    job = ChatJob(
        tuple(
            Turn(role, tuple(part if isinstance(part, str) else ImagePart(png(picture(*part))) for part in said))
            for role, said in turns
        ),
        budget=Retention(1.0),
        sampling=Sampling(max_tokens=tokens),
    )
    await collect(chat.generate(job))
    assert dtype in DTYPES
    return Answer(answer, seen)


def assert_same(ours: Answer, theirs: Answer, tolerance: float = 1e-3) -> None:
    """The same tokens from the same logits, as far as arithmetic tells them apart.

    Args:
        ours, theirs: answers.
        tolerance: how far logits may lie apart, as a share of their spread.
    """
    assert ours.tokens
    for mine, other, token, expected in zip(ours.logits, theirs.logits, ours.tokens, theirs.tokens, strict=False):
        apart = tolerance * other.std()
        torch.testing.assert_close(mine, other, atol=float(apart), rtol=0)
        best, second = other.topk(2).values
        if best - second <= 2 * apart:
            # Either may say either, and what comes then is another story.
            return
        assert token == expected
    assert len(ours.tokens) == len(theirs.tokens)
