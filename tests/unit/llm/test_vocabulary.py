"""Tokens without an embedding: harmless, or told at the start."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from services.common.settings import SettingError
from services.llm import parts
from services.llm.assemble import assemble
from services.llm.job import ChatJob, ImagePart, Turn
from services.llm.settings import LlmSettings
from tests.support.llm_parts import GREEDY, Language, collect, picture, see

IMAGE = ImagePart(digest="0" * 64)


def rows(folder: Path) -> int:
    """Tokens that have an embedding."""
    return len(load_file(folder / "model.safetensors")["language_model.model.embed_tokens.weight"])


def add_token(folder: Path, token: int, content: str, **how: Any) -> None:
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": token, "content": content, **how})
    file.write_text(json.dumps(tokenizer))


def move_placeholder(folder: Path, token: int) -> None:
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    (placeholder,) = (added for added in tokenizer["added_tokens"] if added["content"] == "<image>")
    tokenizer["model"]["vocab"]["<unused>"] = placeholder["id"]
    del tokenizer["model"]["vocab"]["<image>"]
    placeholder["id"] = token
    file.write_text(json.dumps(tokenizer))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"image_token_index": token}))


@pytest.mark.parametrize("generation", [{}, {"repetition_penalty": 1.3}], ids=str)
async def test_the_placeholder_needs_none(folder, hf, processor, generation):
    """Its embedding would be thrown away."""
    seen = see(hf, processor, picture(91, 37))
    job = ChatJob((Turn("user", (IMAGE, "what is this")),))
    answers = []
    (folder / "generation_config.json").write_text(json.dumps(generation))
    for placeholder in (3, rows(folder)):
        if placeholder != 3:
            move_placeholder(folder, placeholder)
        language = Language(folder)
        prompts = parts.open_prompts(LlmSettings(model=str(folder)))
        ids = prompts.build(job)
        assert ids.count(placeholder) == 1
        image = seen.spliced(seen.keep_all())
        prompt = assemble(language.splicer, ids, placeholder, [image], original_positions=False)
        answers.append(await collect(language.engine.generate(prompt, GREEDY, 8)))
    assert answers[0] == answers[1]


def test_a_token_that_a_text_can_write_needs_one(folder):
    add_token(folder, rows(folder), "<think>", special=False)
    with pytest.raises(
        SettingError, match=rf"^HEROSERVE_MODEL='.*': its tokenizer has 1 tokens .* '<think>' \({rows(folder)}\)"
    ):
        parts.check(LlmSettings(model=str(folder)))


def test_one_that_nobody_can_write_does_not(folder):
    """Padding, often; a text that spells it is read as text."""
    add_token(folder, rows(folder), "<blank>", special=True)
    parts.check(LlmSettings(model=str(folder)))
    prompts = parts.open_prompts(LlmSettings(model=str(folder)))
    assert max(prompts.build(ChatJob((Turn("user", ("a <blank> sheet",)),)))) < rows(folder)


def test_one_that_the_template_writes_does(folder):
    add_token(folder, rows(folder), "<|start|>", special=True)
    file = folder / "chat_template.jinja"
    file.write_text("<|start|>" + file.read_text())
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*it writes '<\|start\|>' .*no embedding"):
        parts.check(LlmSettings(model=str(folder)))


def test_a_placeholder_that_the_tokenizer_does_not_have(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"image_token_index": 32000}))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*no token 32000.*placeholder"):
        parts.check(LlmSettings(model=str(folder)))


def test_a_prompt_knows_what_it_was_made_of(hf, processor, splicer):
    seen = see(hf, processor, picture(91, 37))
    features, splice = seen.spliced(seen.keep_some(1))
    prompt = assemble(splicer, [1, 3, 90, 6], 3, [(features, splice)], original_positions=True)
    assert torch.equal(prompt.token_ids, torch.tensor([1, *[3] * len(splice), 90, 6]))


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="with it such a file is read")
def test_a_tokenizer_of_sentencepiece_says_what_to_install(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*no usable tokenizer \(.*pip install sentencepiece"):
        parts.check(LlmSettings(model=str(folder)))
