"""The finished checkpoint, in the files and names of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerFast

from models.tokenizer import CHAT_TEMPLATE

from .family import Family
from .language import Reader


def export(
    folder: Path,
    family: Family,
    clip: Any,
    reader: Reader,
    projector: Any,
    captions: PreTrainedTokenizerFast,
    about: dict[str, Any],
    began_with: Path | None = None,
) -> None:
    """Write the model to ``folder``, and the CLIP that tells relevance to its ``clip``.

    Args:
        captions: CLIP's tokenizer.
        about: the config's ``heroserve`` entry: how it was trained.
        began_with: a checkpoint's folder, if it did not begin with chance.
    """
    tokenizer = reader.tokenizer
    model = family.assemble(clip, reader.language, reader.newline, projector, tokenizer, {"trained": True, **about})
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.eval().save_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE.replace("<image>", family.placeholder)
    tokenizer.save_pretrained(folder)
    family.finish(folder, clip, captions, began_with)
