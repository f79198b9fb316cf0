"""Make an untrained checkpoint: LLaVA-NeXT in shape, in files and in how it loads, small, with random weights.

    python -m models.untrained FOLDER

Tests and benchmarks run on it. What it answers means nothing; its config says so, and so do Describe and the CLI.
The same seed gives the same weights. No token ends an answer: it is as long as it was asked to be, whatever was drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
)

from models.hub_names import name_as_hub
from models.image_processor import save_image_processor
from models.tokenizer import CHAT_TEMPLATE, build_tokenizer, config_words

# (rows, columns) of tiles.
GRIDS = ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3), (3, 2), (3, 3))
TOWER = CLIPVisionConfig(
    hidden_size=64,
    intermediate_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=112,
    patch_size=14,
    projection_dim=32,
)
# Of the language model; far apart, so that an answer is no matter of rounding.
LANGUAGE: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,
}
# Merges for the words of questions about pictures; any other text falls back to bytes.
CORPUS = [
    "what which where how many is are the there a an on in of left right above below number digit letter "
    "word colour color shape object image picture document page sign photo screenshot chart table text say read "
    "red green blue yellow black white orange purple circle square triangle star yes no please describe answer"
]


def spread(model: torch.nn.Module, factor: float) -> None:
    """Scale queries and keys: how far apart the scores of what is attended to are."""
    for name, parameter in model.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            parameter.data.mul_(factor)


def build(
    folder: Path,
    seed: int,
    vision: CLIPVisionConfig = TOWER,
    language: Mapping[str, Any] = LANGUAGE,
    *,
    dtype: torch.dtype = torch.float32,
    clip: bool = True,
    says: tuple[str, str] | None = None,
) -> None:
    """Write a checkpoint to ``folder``.

    Args:
        folder: to write.
        seed: of its weights.
        vision: its tower.
        language: its language model, in words of ``LlamaConfig``; more tokens than the tokenizer has are never said.
        dtype: that it is written in.
        clip: whether the CLIP that the tower belongs to stands in the folder's ``clip``.
        says: two tokens, of which each answer is made: text, whatever the weights. None lets it say anything.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(CORPUS * 4, "")
    tile = vision.image_size
    pinpoints = [[tile * rows, tile * columns] for rows, columns in GRIDS]
    text = LlamaConfig(**config_words(tokenizer) | {"eos_token_id": None} | dict(language))
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints,
        image_seq_length=(tile // vision.patch_size) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=text.tie_word_embeddings,
        heroserve={"trained": False, "note": "random weights; what this model answers means nothing"},
    )
    model = LlavaNextForConditionalGeneration(config).eval()
    # Fresh weights attend evenly, and even scores would hide mistakes in ranking.
    spread(model.model.vision_tower, 8.0)
    # Far apart, one token is attended to at a time, and which one is the CPU's rounding to say.
    spread(model.model.language_model, 0.7)
    if says is not None:
        # One of two opposites that are longer than all other rows is the most probable, wherever the state points.
        head = model.get_output_embeddings().weight.data
        one, other = (tokenizer.convert_tokens_to_ids(token) for token in says)
        head[one] *= 1000
        head[other] = -head[one]
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.to(dtype).save_pretrained(folder)
    name_as_hub(folder)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    save_image_processor(folder, tile, pinpoints)

    if clip:
        # The very tower: one pass gives features and relevance.
        build_clip(folder / "clip", vision, model.model.vision_tower.state_dict())


def build_clip(
    folder: Path,
    vision: CLIPVisionConfig,
    tower: dict[str, torch.Tensor] | None = None,
    logit_scale: float = CLIPConfig().logit_scale_init_value,
) -> None:
    """Write a CLIP with this vision tower, its weights drawn where they are not handed in."""
    tokenizer = build_tokenizer(CORPUS * 4, " </s>")
    text = CLIPTextConfig(
        **config_words(tokenizer),
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=vision.projection_dim,
    )
    clip = CLIPModel(
        CLIPConfig(
            text_config=text.to_dict(),
            vision_config=vision.to_dict(),
            projection_dim=vision.projection_dim,
            logit_scale_init_value=logit_scale,
        )
    )
    if tower is not None:
        clip.vision_model.load_state_dict(tower)
    clip.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tile = vision.image_size
    save_image_processor(folder, tile, [[tile * rows, tile * columns] for rows, columns in GRIDS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    build(options.folder, options.seed)
    size = sum(file.stat().st_size for file in options.folder.rglob("*") if file.is_file())
    print(f"{options.folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
