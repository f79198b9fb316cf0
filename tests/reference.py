"""Hugging Face's own LLaVA-NeXT on the same checkpoint: what R = 1 must equal."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from PIL import Image
from transformers import AutoTokenizer, LlavaNextForConditionalGeneration

from models.processor import open_processor


class Reference:
    """A checkpoint through ``LlavaNextForConditionalGeneration``, in float32."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @cached_property
    def model(self) -> Any:
        return LlavaNextForConditionalGeneration.from_pretrained(self.folder, dtype=torch.float32).eval()

    @cached_property
    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.folder)

    @cached_property
    def processor(self) -> Any:
        return open_processor(self.folder, self.tokenizer, self.model.config.vision_config.patch_size)

    def inputs(self, image: Image.Image, question: str) -> Any:
        """What the processor makes of one question about one image."""
        messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True)
        return self.processor(images=image, text=text, return_tensors="pt")

    @torch.inference_mode()
    def answer(self, image: Image.Image, question: str, max_tokens: int) -> tuple[str, int]:
        """The greedy answer and its number of tokens."""
        inputs = self.inputs(image, question)
        output = self.model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        tokens = output[0, inputs.input_ids.shape[1] :]
        return self.tokenizer.decode(tokens, skip_special_tokens=True), len(tokens)

    @torch.inference_mode()
    def tile_features(self, image: Image.Image) -> torch.Tensor:
        """Patch features before the projector, [T, N, H]."""
        pixels = self.processor.image_processor(image, return_tensors="pt")["pixel_values"][0]
        states = self.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
        return states[self.model.config.vision_feature_layer][:, 1:]
