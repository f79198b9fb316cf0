"""What stands beside the weights: config, tokenizer, chat template, how answers end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.common.checkpoint import Checkpoint
from services.common.identity import identify
from services.common.weights.stored import main_dtype, stored_tensors
from services.families.family import LanguageHalf
from services.llm.export.config import plain_config
from services.llm.generation import FILE, read_generation
from services.llm.prompt import PromptBuilder
from services.llm.served_template import served_template

_TEMPLATE = "chat_template.jinja"


def write_files(half: LanguageHalf, source: Checkpoint, folder: Path, template: str = "") -> None:
    """Write them, the same bytes of the same checkpoint.

    Args:
        half: the checkpoint's.
        source: the checkpoint.
        folder: to write to.
        template: in place of the checkpoint's chat template, see ``chat_template``.

    Raises:
        SettingError: the checkpoint's can't be read.
        OSError: a file can't be written.
    """
    generation = read_generation(source, half.config)
    weights = stored_tensors(source, half.language_weight)
    dtype = str(main_dtype(weights)).removeprefix("torch.")
    # As transformers has it: a head that is stored is read, whatever the config says.
    tied = "lm_head.weight" not in weights
    _write(folder / "config.json", plain_config(half.config, dtype, generation.end_tokens, tied=tied))
    _write(folder / FILE, source.json(FILE) | {"eos_token_id": sorted(generation.end_tokens) or None})
    tokenizer = source.tokenizer()
    tokenizer.save_pretrained(folder)
    prompts = PromptBuilder(source, half.image_token_id, half.config.vocab_size, template, bounds=half.image_bounds)
    written = served_template(prompts.template, prompts.renderer, prompts.tokenizer, identify(source))
    (folder / _TEMPLATE).write_text(written, encoding="utf-8")


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
