"""LLaVA-NeXT, as the recipe makes one: a CLIP whose tower is the model's too, and a Llama."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from models.hub_names import name_as_hub
from models.image_processor import save_image_processor
from models.tokenizer import config_words
from models.world.labels import PATCH
from models.world.scene import TILE
from models.world.tiles import PINPOINTS, TILER
from services.families.llava_next.splice import splice

from .family import Family, Seen
from .pixels import normalise
from .sizes import EMBEDDING, LANGUAGE, SPECIALS, WIDTH, fill, text_config

FEATURE_LAYER = -2
_TOWER = 128
# What Hugging Face's processor must know of the tower to count an image's tokens. Beside patches it counts a CLS token,
# which the strategy then takes off again.
_PROCESSOR = {
    "processor_class": "LlavaNextProcessor",
    "patch_size": PATCH,
    "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
    "image_token": "<image>",
}


class Projector(torch.nn.Module):
    """LLaVA's: features of a patch to an embedding of the language model."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.linear_1 = torch.nn.Linear(features, width)
        self.linear_2 = torch.nn.Linear(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.linear_2(functional.gelu(self.linear_1(features)))
        return projected


def build_clip(captions: PreTrainedTokenizerFast) -> CLIPModel:
    """A fresh CLIP: vision 6 x 128, text 3 x 96, tiles of 112 pixels, patches of 14."""
    vision = CLIPVisionConfig(
        hidden_size=_TOWER,
        intermediate_size=4 * _TOWER,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=TILE,
        patch_size=PATCH,
        projection_dim=EMBEDDING,
    )
    text = text_config(captions)
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=EMBEDDING))


def see(clip: CLIPModel, pixels: torch.Tensor) -> Seen:
    """The language model reads the hidden state before the last block's, CLS left out; the contrast CLS, behind it."""
    vision = clip.vision_model(normalise(pixels.to(clip.logit_scale.device)), output_hidden_states=True)
    return Seen(vision.hidden_states[FEATURE_LAYER][:, 1:], vision.pooler_output)


def build_language_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh Llama of 4 x 128."""
    return LlamaForCausalLM(LlamaConfig(**LANGUAGE, **config_words(tokenizer)))


def assemble(
    clip: CLIPModel, language: Any, newline: torch.Tensor, projector: Any, tokenizer: Any, about: dict[str, Any]
) -> LlavaNextForConditionalGeneration:
    """See ``Family``."""
    config = LlavaNextConfig(
        vision_config=clip.config.vision_config.to_dict(),
        text_config=language.config.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=PINPOINTS,
        image_seq_length=(TILE // PATCH) ** 2,
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        heroserve=about,
    )
    model = LlavaNextForConditionalGeneration(config)
    fill(model, clip, language, projector)
    with torch.no_grad():
        model.model.image_newline.copy_(newline)
    return model


def finish(folder: Path, clip: CLIPModel, captions: PreTrainedTokenizerFast, began_with: Path | None) -> None:
    """The hub's names, the processor, and the CLIP of that very tower."""
    name_as_hub(folder)
    (folder / "processor_config.json").write_text(json.dumps(_PROCESSOR, indent=2) + "\n", encoding="utf-8")
    clip.eval().save_pretrained(folder / "clip")
    captions.save_pretrained(folder / "clip")
    for place in (folder, folder / "clip"):
        save_image_processor(place, TILE, PINPOINTS)


LLAVA_NEXT = Family(
    steps={"clip": 2600, "language": 1500, "alignment": 600, "answers": 1100, "together": 240},
    tiler=TILER,
    width=_TOWER,
    specials=SPECIALS,
    before="<|user|>",
    behind="\n",
    build_clip=build_clip,
    see=see,
    build_language_model=build_language_model,
    build_projector=lambda: Projector(_TOWER, WIDTH),
    splice=splice,
    assemble=assemble,
    finish=finish,
)
