"""The tokenizers and the chat template of our own checkpoints: byte-level BPE, any text falls back to bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIALS = ("<pad>", "<s>", "</s>", "<image>", "<|system|>", "<|user|>", "<|assistant|>")
# InternVL's own, by the names that its processor looks them up by.
INTERNVL_SPECIALS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
# Images first, whatever order they come in: so the models were trained, and so Hugging Face's LLaVA-NeXT templates do.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}"
    "{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def config_words(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What the config of a model of text says of its tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def build_tokenizer(
    corpus: list[str],
    suffix: str,
    specials: Sequence[str] = SPECIALS,
    size: int = 512,
    *,
    named: Mapping[str, str] | None = None,
    begins: bool = True,
) -> PreTrainedTokenizerFast:
    """Trained on ``corpus``, at most ``size`` tokens.

    Args:
        suffix: the template's tail: "" for a language model, " </s>" for CLIP.
        specials: ``SPECIALS`` in the order of their ids, from 0; with ``named`` others.
        named: those of ``specials`` that are looked up by a name, by it.
        begins: a text begins with ``<s>``.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"<s> $A{suffix}", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>" if begins else None,
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=list(SPECIALS[3:]) if named is None else dict(named),
        clean_up_tokenization_spaces=False,
    )
