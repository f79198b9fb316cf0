"""Hugging Face's own InternVL on the same checkpoint: what R = 1 must equal."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoTokenizer, InternVLForConditionalGeneration, InternVLProcessor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

# (role, parts): texts and pictures in the order in which they come.
Turns = list[tuple[str, list[str | Image.Image]]]


class _WithoutVideos(InternVLProcessor):
    """Its video processor takes torchvision, which nothing here needs."""

    def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
        return None if argument is None else super().check_argument_for_proper_class(name, argument)


class InternVLReference:
    """A checkpoint through ``InternVLForConditionalGeneration``, in float32."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder

    @cached_property
    def model(self) -> Any:
        return InternVLForConditionalGeneration.from_pretrained(self.folder, dtype=torch.float32).eval()

    @cached_property
    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.folder)

    @cached_property
    def processor(self) -> Any:
        told = json.loads((Path(self.folder) / "processor_config.json").read_text())
        return _WithoutVideos(
            image_processor=GotOcr2ImageProcessorPil.from_pretrained(self.folder),
            tokenizer=self.tokenizer,
            image_seq_length=told["image_seq_length"],
            chat_template=self.tokenizer.chat_template,
        )

    def inputs(self, turns: Turns) -> Any:
        """What the processor makes of a conversation."""
        messages = [
            {
                "role": role,
                "content": [
                    {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part}
                    for part in parts
                ],
            }
            for role, parts in turns
        ]
        return self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )

    @torch.inference_mode()
    def answer(self, turns: Turns, max_tokens: int) -> tuple[str, int]:
        """The greedy answer and its number of tokens."""
        inputs = self.inputs(turns)
        output = self.model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        tokens = output[0, inputs.input_ids.shape[1] :]
        return self.tokenizer.decode(tokens, skip_special_tokens=True), len(tokens)

    @torch.inference_mode()
    def embeddings(self, inputs: Any) -> torch.Tensor:
        """[L, D], what the language model reads."""
        ids = inputs.input_ids
        text = self.model.get_input_embeddings()(ids)
        if "pixel_values" not in inputs:
            return text[0]
        images = self.model.get_image_features(inputs.pixel_values).pooler_output
        mask = (ids == self.model.config.image_token_id)[..., None]
        return text.masked_scatter(mask, images)[0]
