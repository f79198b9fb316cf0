"""The finished checkpoint, in the files and names of Hugging Face's LLaVA-NeXT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPModel,
    GenerationConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from models.hub_names import name_as_hub
from models.image_processor import save_image_processor
from models.tokenizer import CHAT_TEMPLATE
from models.world.labels import PATCH
from models.world.scene import TILE
from models.world.tiles import PINPOINTS

from .answers import Projector
from .clip import FEATURE_LAYER
from .language import Reader


def export(
    folder: Path,
    clip: CLIPModel,
    reader: Reader,
    projector: Projector,
    captions: PreTrainedTokenizerFast,
    about: dict[str, Any],
) -> None:
    """Write the model to ``folder``, and the CLIP of its tower to its ``clip``.

    Args:
        captions: CLIP's tokenizer.
        about: the config's ``heroserve`` entry: how it was trained.
    """
    tokenizer = reader.tokenizer
    config = LlavaNextConfig(
        vision_config=clip.config.vision_config.to_dict(),
        text_config=reader.language.config.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=PINPOINTS,
        image_seq_length=(TILE // PATCH) ** 2,
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        heroserve={"trained": True, **about},
    )
    model = LlavaNextForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    model.model.language_model.load_state_dict(reader.language.model.state_dict())
    model.model.multi_modal_projector.load_state_dict(projector.state_dict())
    model.lm_head.load_state_dict(reader.language.lm_head.state_dict())
    with torch.no_grad():
        model.model.image_newline.copy_(reader.newline)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.eval().save_pretrained(folder)
    name_as_hub(folder)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    clip.eval().save_pretrained(folder / "clip")
    captions.save_pretrained(folder / "clip")
    for place in (folder, folder / "clip"):
        save_image_processor(place, TILE, PINPOINTS)
