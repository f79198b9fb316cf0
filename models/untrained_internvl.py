"""Make an untrained checkpoint: InternVL in shape, in files and in how it loads, small, with random weights.

    python -m models.untrained_internvl FOLDER --like 8b

Every field of a config that changes what is computed is as in the published checkpoint of that size; layers are few
and narrow. See ``models.untrained`` for the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from models.image_processor import save_dynamic_processor
from models.tokenizer import INTERNVL_SPECIALS, SPECIALS, build_tokenizer, config_words
from models.untrained import CORPUS, build_clip, spread

# Parts in the order in which they come, where LLaVA-NeXT's templates put images first.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% elif part['type'] == 'video' %}{{ '<video>\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# InternViT-300M and 6B.
_SMALL: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 4, "attention_bias": True}
_LARGE: dict[str, Any] = {
    "hidden_size": 80,
    "num_attention_heads": 5,
    "num_hidden_layers": 5,
    "attention_bias": False,
    "use_qk_norm": True,
    "norm_type": "rms_norm",
}
_LANGUAGE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "max_position_embeddings": 8192,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}
_ROPE = {"rope_type": "default", "rope_theta": 1_000_000.0}
_QWEN2 = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1_000_000.0}}
# By the published checkpoint that one is like: its tower, its language model, and what that is told.
LIKE: dict[str, tuple[dict[str, Any], type[PreTrainedConfig], dict[str, Any]]] = {
    # InternVL3-1B-hf.
    "1b": (_SMALL, Qwen2Config, _QWEN2),
    # InternVL3_5-8B-HF: heads that are not the layers' width divided among them.
    "8b": (_SMALL, Qwen3Config, {"head_dim": 32, "rope_parameters": _ROPE}),
    # InternVL3-38B-hf.
    "38b": (_LARGE, Qwen2Config, _QWEN2),
    # InternLM2 and 3, which Hugging Face has as Llamas: a text begins with a token.
    "llama": (
        _SMALL,
        LlamaConfig,
        {"rms_norm_eps": 1e-5, "rope_parameters": _ROPE},
    ),
}


def build(
    folder: Path,
    seed: int,
    like: str = "1b",
    *,
    tile: int = 112,
    language: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
) -> None:
    """Write a checkpoint to ``folder``, and a CLIP of its own, whose pictures are smaller than tiles, to its ``clip``.

    Args:
        folder: to write to.
        seed: of its weights.
        like: one of ``LIKE``.
        tile: side of a tile in pixels; 448 in all published ones.
        language: changes of the language model's config.
        changes: of the tower's config.
    """
    torch.manual_seed(seed)
    tower, kind, told = LIKE[like]
    specials = (*SPECIALS[:3], "<|im_start|>", "<|im_end|>", *INTERNVL_SPECIALS.values())
    tokenizer = build_tokenizer(CORPUS * 4, "", specials, named=INTERNVL_SPECIALS, begins=like == "llama")
    vision: dict[str, Any] = {"image_size": [tile, tile], "patch_size": [14, 14]} | tower
    vision["intermediate_size"] = 4 * vision["hidden_size"]
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**(vision | changes)),
        text_config=kind(
            **(_LANGUAGE | told | dict(language) | config_words(tokenizer) | {"eos_token_id": None}),
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=(tile // 28) ** 2,
        tie_word_embeddings=False,
        heroserve={"trained": False, "note": "random weights; what this model answers means nothing"},
    )
    model = InternVLForConditionalGeneration(config).eval()
    _draw(model.model.vision_tower)
    spread(model.model.vision_tower, 8.0)
    spread(model.model.language_model, 0.7)
    model.generation_config = GenerationConfig(bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    save_dynamic_processor(folder, tile, 12, (tile // 28) ** 2)
    build_clip(
        folder / "clip",
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=56,
            patch_size=14,
            projection_dim=32,
        ),
    )


def _draw(tower: torch.nn.Module) -> None:
    """What fresh weights have alike everywhere (CLS, positions, scales, biases, norms) differs once it is trained."""
    for parameter in tower.parameters():
        if not parameter.data.std():
            parameter.data.add_(0.3 * torch.randn_like(parameter))
        elif parameter.data.ndim > 1:
            parameter.data.mul_(4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--like", choices=LIKE, default="1b")
    parser.add_argument("--tile", type=int, default=112)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    build(options.folder, options.seed, options.like, tile=options.tile)
    size = sum(file.stat().st_size for file in options.folder.rglob("*") if file.is_file())
    print(f"{options.folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
