"""The language model of a checkpoint that holds several models, as Hugging Face names and configures it there."""

from __future__ import annotations

from typing import Any

from services.common.checkpoint import Checkpoint
from services.common.weights.stored import prefixed

# Older checkpoints nest the head in the language model, newer ones nest both in the model.
_BODY = prefixed("model.language_model.", "language_model.model.")
_HEAD = prefixed("language_model.lm_head.", "lm_head.")


def language_weight(name: str) -> str | None:
    """See ``LanguageHalf.language_weight``."""
    body = _BODY(name)
    if body is not None:
        return f"model.{body}"
    head = _HEAD(name)
    return None if head is None else f"lm_head.{head}"


def image_token_id(config: Any, source: Checkpoint) -> int:
    """Of the token that stands for an image in a prompt; whether the tokenizer has it is not known here.

    Raises:
        SettingError: it is no token's.
    """
    value = config.image_token_id
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise source.unusable(f"the placeholder of an image that its config names is {value!r}; expected a token's id")
    return value


def text_config(config: Any) -> Any:
    """The language model's config; what ties its head to its embeddings stands at the top of the checkpoint's."""
    text = config.text_config
    text.tie_word_embeddings = config.tie_word_embeddings or getattr(text, "tie_word_embeddings", False)
    return text
