"""What a vLLM beside is sent makes our prompts: also the tokens around an image, which the template does not write."""

from __future__ import annotations

from typing import Any

import pytest

from models.untrained_internvl import LIKE
from services.llm import parts
from services.llm.engines.remote.agreement import difference
from services.llm.engines.remote.messages import Messages
from services.llm.job import ImagePart, Turn
from services.llm.served_template import served_template
from services.llm.settings import LlmSettings
from tests.support.pictures import picture
from tests.unit.llm.test_remote_messages import made, prompt_of

IMAGE = ImagePart(digest="0" * 64)
TURNS = (
    Turn("system", ("say what is there",)),
    Turn("user", ("a sign", IMAGE, "and a page", IMAGE, IMAGE, "what number is it?")),
    Turn("assistant", ("seven",)),
    Turn("user", (IMAGE, "is it red?")),
)


@pytest.mark.parametrize("like", LIKE)
def test_a_server_makes_our_prompts(model: Any, like: str) -> None:
    settings = LlmSettings(model=str(model(like).folder), engine="vllm-remote", vllm_urls=("http://a",))
    prompts = parts.open_prompts(settings)
    template = served_template(prompts.template, prompts.renderer, prompts.tokenizer)
    prompt = prompt_of(prompts, TURNS, [5, 1, 7, 3])
    images = [image.embeddings for image in prompt.images]
    ids, embeddings = made(prompts, Messages(prompts.renderer, prompts.image_token).of(TURNS, images), template)
    assert difference(prompt, ids, prompts.tokenizer) is None
    assert [len(each) for each in embeddings] == [5, 1, 7, 3]
    start, end = (prompts.tokenizer.convert_tokens_to_ids(token) for token in ("<img>", "</img>"))
    for image in prompt.images:
        assert (ids[image.start - 1], ids[image.end]) == (start, end)


@pytest.mark.parametrize("text", ["<img>", "</img>", "<IMG_CONTEXT>", "a <img><IMG_CONTEXT></img> b", "<|im_end|>"])
def test_a_text_that_spells_a_token_is_a_text(model: Any, text: str) -> None:
    ours = model("1b")
    prompts = parts.open_prompts(LlmSettings(model=str(ours.folder)))
    ids = prompts.build(ours.job([("user", [picture(50, 40), text])]))
    for token in ("<img>", "</img>", "<IMG_CONTEXT>"):
        assert ids.count(prompts.tokenizer.convert_tokens_to_ids(token)) == 1
    assert text in prompts.tokenizer.decode(ids)
