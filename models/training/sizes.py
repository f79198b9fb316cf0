"""What the families' models have alike: the language model's sizes, the captions' text tower, control tokens, parts."""

from __future__ import annotations

from typing import Any

from transformers import CLIPTextConfig, PreTrainedTokenizerFast

from models.tokenizer import SPECIALS as _SPECIALS
from models.tokenizer import config_words

# CLIP's text tower in transformers reads a text at its end token, unless that token's id is 2.
SPECIALS = ("<pad>", "</s>", "<s>", *_SPECIALS[3:])
# Of CLIP's embeddings.
EMBEDDING = 64
# D.
WIDTH = 128
LANGUAGE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 3 * WIDTH,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
}


def text_config(captions: PreTrainedTokenizerFast) -> CLIPTextConfig:
    """3 x 96."""
    return CLIPTextConfig(
        **config_words(captions),
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=EMBEDDING,
    )


def fill(model: Any, clip: Any, language: Any, projector: Any) -> None:
    """Give Hugging Face's model the weights of its parts, as the recipe trained each."""
    model.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.model.multi_modal_projector.load_state_dict(projector.state_dict())
    model.lm_head.load_state_dict(language.lm_head.state_dict())
