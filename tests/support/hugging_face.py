"""Hugging Face's own processor on a checkpoint: what prompts must equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoTokenizer, LlavaNextProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil


def processor_of(folder: Path | str, chat_template: str) -> LlavaNextProcessor:
    """Of a checkpoint whose patches are 14 pixels wide."""
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        chat_template=chat_template,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def conversation_inputs(folder: Path, turns: Any, draw: Callable[[Any], Image.Image]) -> Any:
    """What the processor makes of a conversation by the checkpoint's chat_template.jinja.

    Args:
        folder: of the checkpoint.
        turns: (role, parts) each; a part is a text, or what ``draw`` makes a picture of.
        draw: see above.
    """
    conversation = [
        {
            "role": role,
            "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": draw(part)}
                for part in said
            ],
        }
        for role, said in turns
    ]
    return processor_of(folder, (folder / "chat_template.jinja").read_text()).apply_chat_template(
        conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
