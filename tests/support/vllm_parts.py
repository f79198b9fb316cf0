"""What the tests on a real vLLM are made of: checkpoints of several shapes, both engines of one, prompts."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from models.hub_names import name_as_hub
from models.untrained import spread
from services.llm import parts
from services.llm.assemble import Prompt, Span
from services.llm.engines.engine import Read
from services.llm.engines.registry import check_engine, open_engine
from services.llm.engines.vllm.arguments import words
from services.llm.job import Sampling
from services.llm.settings import LlmSettings

# Each with something that its kind alone has.
SHAPES: dict[str, Any] = {
    "llama": lambda **sizes: LlamaConfig(rope_parameters={"rope_type": "linear", "factor": 2.0}, **sizes),
    "mistral": lambda **sizes: MistralConfig(sliding_window=128, **sizes),
    # Positions as InternVL 3 has them.
    "qwen2": lambda **sizes: Qwen2Config(rope_parameters={"rope_type": "dynamic", "factor": 2.0}, **sizes),
    # Heads that are not the layers' width divided among them.
    "qwen3": lambda **sizes: Qwen3Config(head_dim=64, **sizes),
}
# Logits of a few units apart: rounding in float32 leaves differences of a ten-thousandth.
NEAR = 1e-3
# Answers by a schema without blanks: a small model would write nothing else for ever.
ARGS = json.dumps(
    {"max_num_seqs": 64, "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True}}
)
# Of vLLM on a CPU: what is cached is cached by so many tokens.
BLOCK = 128


def shaped(kind: str, untrained: str, folder: Path) -> Path:
    """A checkpoint with random weights whose language model is of this kind."""
    shutil.copytree(untrained, folder)
    config = LlavaNextConfig.from_pretrained(untrained)
    config.text_config = SHAPES[kind](
        vocab_size=config.text_config.vocab_size,
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        eos_token_id=None,
    )
    torch.manual_seed(1)
    model = LlavaNextForConditionalGeneration(config).eval()
    spread(model.model.language_model, 0.7)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.generation_config.eos_token_id = None
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)
    name_as_hub(folder)
    return folder


@dataclass(frozen=True)
class Both:
    """Two engines of one checkpoint."""

    vllm: Any
    transformers: Any
    width: int
    vocabulary: int

    def prompt(self, length: int, image: int = 0, at: int = 3, seed: int = 0) -> Prompt:
        """Of random tokens, with an image of so many in it, whose placeholder has no embedding."""
        random = torch.Generator().manual_seed(seed)
        ids = torch.randint(10, 400, (length + image,), generator=random)
        spans: tuple[Span, ...] = ()
        if image:
            ids[at : at + image] = self.vocabulary + 7
            # As an image's rows are: the first ones are the same, however many there are.
            rows = torch.Generator().manual_seed(seed)
            spans = (Span(at, torch.stack([torch.randn(self.width, generator=rows) * 0.3 for _ in range(image)])),)
        return Prompt(ids, spans, torch.arange(len(ids)), len(ids))

    @torch.inference_mode()
    def check_same(self, prompt: Prompt, ours: Sequence[int], theirs: Sequence[int]) -> None:
        """They are the same tokens, up to where two are as good as each other."""
        differ = [index for index, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]]
        if not differ:
            assert list(ours) == list(theirs)
            return
        at = differ[0]
        model = self.transformers.model
        table = model.get_input_embeddings()
        inputs = torch.cat(
            [prompt.embed(table, model.device), table(torch.tensor(list(theirs[:at]), dtype=torch.long))]
        )
        logits = model(inputs_embeds=inputs[None], position_ids=torch.arange(len(inputs))[None]).logits[0, -1]
        assert abs(logits[ours[at]] - logits[theirs[at]]) < NEAR, (at, ours, theirs)


def both(model: str | Path, exports: Path, **settings: Any) -> Both:
    """To be called in the event loop that they are used in."""
    read = LlmSettings(model=str(model), engine="vllm", export_dir=str(exports), vllm_args=words(ARGS), **settings)
    source = parts.model(read)
    check_engine(read, source)
    plain = LlmSettings(model=str(model))
    transformers = open_engine(plain, parts.model(plain))
    config = transformers.model.config
    return Both(open_engine(read, source), transformers, config.hidden_size, config.vocab_size)


async def said(
    engine: Any, prompt: Prompt, sampling: Sampling | None = None, most: int = 24
) -> tuple[list[int], int | None]:
    """What it says, and how much of the prompt it had read before."""
    tokens, cached = [], None
    async for token in engine.generate(prompt, sampling or Sampling(), most, "a request"):
        if isinstance(token, Read):
            cached = token.cached_tokens
        else:
            tokens.append(token)
    return tokens, cached


async def all_said(engine: Any, prompts: Sequence[Prompt], sampling: Sampling, most: int = 24) -> list[list[int]]:
    """What it says to all of them at once."""
    answers = await asyncio.gather(*(said(engine, prompt, sampling, most) for prompt in prompts))
    return [tokens for tokens, _ in answers]
