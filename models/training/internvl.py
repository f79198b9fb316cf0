"""InternVL, as the recipe makes one: an InternViT whose tokens are 2 x 2 patches, and a Qwen2.

Relevance is a separate CLIP's, as with published ones: that of the checkpoint that is begun with. Captions still teach
the tower's CLS what is in a tile, as they taught InternViT's.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPTextModel,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector, InternVLVisionModel

from models.image_processor import IMAGENET_MEAN, IMAGENET_STD, save_dynamic_processor
from models.tokenizer import INTERNVL_SPECIALS, config_words
from models.world.labels import PATCH, SIDE
from models.world.scene import TILE
from services.families.internvl.splice import splice
from services.families.internvl.tiles import DynamicTiler
from services.families.internvl.tower import merge

from .family import Family, Seen
from .pixels import normalise
from .sizes import EMBEDDING, LANGUAGE, SPECIALS, WIDTH, fill, text_config

_TOWER = 96
_MERGED = 2
# More would stretch a scene of two tiles to ten, and its letters with it.
MOST_TILES = 6


class CaptionedViT(torch.nn.Module):
    """An InternViT beside CLIP's text tower, with CLIP's names."""

    def __init__(self, captions: PreTrainedTokenizerFast) -> None:
        super().__init__()
        config = InternVLVisionConfig(
            hidden_size=_TOWER,
            intermediate_size=4 * _TOWER,
            num_hidden_layers=6,
            num_attention_heads=4,
            attention_bias=True,
            image_size=[TILE, TILE],
            patch_size=[PATCH // _MERGED] * 2,
            layer_scale_init_value=1.0,
        )
        config._attn_implementation = "sdpa"
        self.vision_model = InternVLVisionModel(config)
        # Alike at first, places would be told apart late.
        torch.nn.init.normal_(self.vision_model.embeddings.position_embeddings, std=0.02)
        torch.nn.init.normal_(self.vision_model.embeddings.cls_token, std=0.02)
        self.norm = torch.nn.LayerNorm(_TOWER)
        self.visual_projection = torch.nn.Linear(_TOWER, EMBEDDING, bias=False)
        text = text_config(captions)
        self.text_model = CLIPTextModel(text)
        self.text_projection = torch.nn.Linear(text.hidden_size, EMBEDDING, bias=False)
        self.logit_scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07)))


def see(clip: CaptionedViT, pixels: torch.Tensor) -> Seen:
    """Of the tower's output the language model reads the patches, and the contrast CLS."""
    tiles = normalise(pixels.to(clip.logit_scale.device), IMAGENET_MEAN, IMAGENET_STD)
    hidden = clip.vision_model(tiles).last_hidden_state
    return Seen(merge(hidden[:, 1:], SIDE, _MERGED), clip.norm(hidden[:, 0]))


def build_language_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """A fresh Qwen2 of 4 x 128, its positions those of the Llama that it may begin with."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            **LANGUAGE,
            **config_words(tokenizer),
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        )
    )


def build_projector() -> torch.nn.Module:
    """A fresh one."""
    vision, text = InternVLVisionConfig(hidden_size=_TOWER), Qwen2Config(hidden_size=WIDTH)
    projector: torch.nn.Module = InternVLMultiModalProjector(InternVLConfig(vision_config=vision, text_config=text))
    return projector


def assemble(
    clip: CaptionedViT, language: Any, newline: torch.Tensor, projector: Any, tokenizer: Any, about: dict[str, Any]
) -> InternVLForConditionalGeneration:
    """See ``Family``; nothing tells an image's rows."""
    config = InternVLConfig(
        vision_config=clip.vision_model.config.to_dict(),
        text_config=language.config.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids(INTERNVL_SPECIALS["context_image_token"]),
        image_seq_length=SIDE**2,
        tie_word_embeddings=False,
        heroserve=about,
    )
    model = InternVLForConditionalGeneration(config)
    fill(model, clip, language, projector)
    return model


def finish(folder: Path, clip: CaptionedViT, captions: PreTrainedTokenizerFast, began_with: Path | None) -> None:
    """The image processor, and the CLIP that tells relevance: another checkpoint's, as it is."""
    save_dynamic_processor(folder, TILE, MOST_TILES, SIDE**2)
    if began_with is not None and began_with.resolve() != folder.resolve():
        shutil.copytree(began_with / "clip", folder / "clip", dirs_exist_ok=True)


INTERNVL = Family(
    steps={"clip": 2600, "language": 300, "alignment": 300, "answers": 1000, "together": 240},
    tiler=DynamicTiler(TILE, PATCH, 1, MOST_TILES, 3),
    width=_TOWER * _MERGED**2,
    specials=(*SPECIALS[:3], *INTERNVL_SPECIALS.values(), *SPECIALS[4:]),
    before="<|user|><img>",
    behind="</img>\n",
    build_clip=CaptionedViT,
    see=see,
    build_language_model=build_language_model,
    build_projector=build_projector,
    splice=splice,
    assemble=assemble,
    finish=finish,
    named=INTERNVL_SPECIALS,
    placeholder=INTERNVL_SPECIALS["context_image_token"],
    begins=True,
)
