"""Hugging Face's own processor of a LLaVA-NeXT, which makes a prompt of a picture and a text."""

from __future__ import annotations

from typing import Any

from transformers import LlavaNextProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil


def open_processor(folder: str, tokenizer: Any, patch_size: int) -> Any:
    """A checkpoint's, without torchvision; ``patch_size`` is its tower's."""
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil.from_pretrained(folder),
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        # Beside patches, the processor counts a CLS token that the strategy then takes off again.
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
