"""Kinds of published checkpoints, by tokenizer and chat template, and conversations to try them with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.llm.job import ImagePart
from tests.support.templates import CHATML, LLAMA3, MISTRAL, VICUNA
from tests.support.tokenizers import bytes_like, sentencepiece_like

IMAGE = ImagePart(digest="0" * 64)
LLAMA3_TOKENS = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>")
# What published checkpoints are made of.
CHECKPOINTS = {
    "vicuna": (sentencepiece_like, VICUNA),
    "mistral": (sentencepiece_like, MISTRAL),
    "yi, qwen": (lambda: bytes_like("<|im_end|>", "<|im_start|>"), CHATML),
    "llama3": (lambda: bytes_like(*LLAMA3_TOKENS, bos="<|begin_of_text|>"), LLAMA3),
}
CONVERSATIONS = {
    "image first": [("user", [IMAGE, "What is shown?"])],
    "image last": [("user", ["What is shown?", IMAGE])],
    "text": [("user", ["Was ist 北京 \N{GRINNING FACE}?  two  spaces\n\nlines\t"])],
    "turns": [("user", [IMAGE, "is it red?"]), ("assistant", ["yes, 它是红色的"]), ("user", ["and\n the circle?"])],
    "system": [("system", ["You are terse. Überkurz"]), ("user", [IMAGE, "ok  "])],
    "two images": [("user", [IMAGE, IMAGE, "compare"])],
    "images in two turns": [("user", [IMAGE, "a"]), ("assistant", ["b"]), ("user", [IMAGE, "c"])],
    "what looks like markup": [("user", [IMAGE, "x < y > z <b>bold</b> <ima ge> {{ messages }} {% raw %}"])],
}


def mimic(folder: Path, tokenizer: Any, template: str) -> None:
    """Give a checkpoint another tokenizer and template."""
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template)
    placeholder = tokenizer.convert_tokens_to_ids("<image>")
    config = json.loads((folder / "config.json").read_text())
    config["image_token_index"] = placeholder
    config["text_config"]["vocab_size"] = len(tokenizer)
    (folder / "config.json").write_text(json.dumps(config))
