"""What a vLLM beside is sent makes our prompts of whatever kind of checkpoint, where it has the template we export.

vLLM itself is in tests/vllm. Here its part is one function: it hands texts on to the template in parts, an image's
embeddings as a text of one word, and tokenises what comes of it as it is.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import torch

from services.llm import parts
from services.llm.assemble import Prompt, Span
from services.llm.engines.remote.agreement import Terms, another_checkpoint, difference
from services.llm.engines.remote.messages import RESERVED, Messages, packed
from services.llm.job import ChatJob, ImagePart, Turn
from services.llm.prompt import PromptBuilder
from services.llm.refusal import Refusal
from services.llm.served_template import ASKED, served_template
from services.llm.settings import LlmSettings
from tests.support.kinds import CHECKPOINTS, CONVERSATIONS, IMAGE, mimic
from tests.support.templates import ADDS_STRINGS, MIXED, NO_SYSTEM, SHOWS_LISTS
from tests.support.tokenizers import bytes_like, sentencepiece_like

WIDTH = 4
CHECKPOINT = "digest:0123456789abcdef-0123456789abcdef01234567"
KINDS = CHECKPOINTS | {
    "shows lists": (sentencepiece_like, SHOWS_LISTS),
    "adds strings": (sentencepiece_like, ADDS_STRINGS),
    "mixed": (lambda: bytes_like("</s>", "<s>", bos="<s>"), MIXED),
    "no system": (sentencepiece_like, NO_SYSTEM),
}


def opened(folder: Path, kind: str) -> PromptBuilder:
    make, template = KINDS[kind]
    mimic(folder, make(), template)
    settings = LlmSettings(model=str(folder), engine="vllm-remote", vllm_urls=("http://a",))
    return parts.open_prompts(settings)


def job(turns: Any) -> ChatJob:
    return ChatJob(tuple(Turn(role, tuple(said)) for role, said in turns))


def prompt_of(prompts: PromptBuilder, turns: tuple[Turn, ...], lengths: list[int]) -> Prompt:
    """Ours, with images of these lengths, each of rows that tell it from the others."""
    spans: list[Span] = []
    ids: list[int] = []
    left = iter(enumerate(lengths))
    for token in prompts.build(ChatJob(turns)):
        if token == prompts.image_token_id:
            number, length = next(left)
            spans.append(Span(len(ids), torch.full((length, WIDTH), float(number))))
            ids += [token] * length
        else:
            ids.append(token)
    return Prompt(torch.tensor(ids), tuple(spans), torch.arange(len(ids)), len(ids), turns)


def made(prompts: PromptBuilder, messages: list[dict[str, Any]], template: str) -> tuple[list[int], list[torch.Tensor]]:
    """As vLLM makes it: ids, and the embeddings in their order."""
    tokenizer = prompts.tokenizer
    embeddings: list[torch.Tensor] = []
    conversation = []
    for message in messages:
        content = []
        for part in message["content"]:
            if part["type"] == "text":
                assert RESERVED[0] not in part["text"]
                content.append(part)
            else:
                embeddings.append(torch.load(io.BytesIO(base64.b64decode(part["data"])), weights_only=True))
                content.append({"type": "text", "text": RESERVED[0]})
        conversation.append({"role": message["role"], "content": content})
    before = len(tokenizer)
    # It stays: the tokenizer is this test's own.
    tokenizer.add_special_tokens({"additional_special_tokens": list(RESERVED)}, replace_extra_special_tokens=False)
    (special,) = tokenizer.convert_tokens_to_ids(list(RESERVED))
    assert special >= before - 1
    ids: list[int] = tokenizer.apply_chat_template(
        conversation, chat_template=template, add_generation_prompt=True, return_dict=False
    )
    left = iter(embeddings)
    return [t for token in ids for t in ([token] * len(next(left)) if token == special else [token])], embeddings


@pytest.mark.parametrize("kind", KINDS)
def test_every_conversation_becomes_our_prompt_on_every_kind_of_checkpoint(folder: Path, kind: str):
    prompts = opened(folder, kind)
    messages = Messages(prompts.renderer, prompts.image_token)
    template = served_template(prompts.template, prompts.renderer, prompts.tokenizer, CHECKPOINT)
    tried = 0
    for name, said in CONVERSATIONS.items():
        turns = job(said).turns
        try:
            prompt = prompt_of(prompts, turns, [3, 5])
        except Refusal:
            continue
        ids, embeddings = made(prompts, messages.of(turns, [span.embeddings for span in prompt.images]), template)
        assert difference(prompt, ids, prompts.tokenizer) is None, name
        assert [each.tolist() for each in embeddings] == [span.embeddings.tolist() for span in prompt.images]
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_tells_its_checkpoint_where_it_is_asked(folder: Path, kind: str):
    prompts = opened(folder, kind)
    template = served_template(prompts.template, prompts.renderer, prompts.tokenizer, CHECKPOINT)
    ids = prompts.tokenizer.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        chat_template=template,
        add_generation_prompt=True,
        return_dict=False,
        **{ASKED: True},
    )
    assert another_checkpoint(ids, Terms([], CHECKPOINT, prompts.tokenizer)) is None
    other = CHECKPOINT[:-1] + "8"
    assert another_checkpoint(ids, Terms([], other, prompts.tokenizer)) == CHECKPOINT


def test_what_jinja_does_at_edges_it_does_not_do_within(folder: Path):
    prompts = opened(folder, "vicuna")
    for template in ("\n{% for m in messages %}x{% endfor %}\n\n", "  {{ messages[0].role }}  \n", "{{ 1 }}\n\n\n"):
        conversation = [{"role": "user", "content": "x"}]
        served = served_template(template, prompts.renderer, prompts.tokenizer, CHECKPOINT)
        plain, within = (
            prompts.tokenizer.apply_chat_template(conversation, chat_template=each, tokenize=False)
            for each in (template, served)
        )
        assert within == "<s>" + plain


@pytest.mark.parametrize("kind", ["vicuna", "mistral", "llama3"])
def test_the_checkpoints_own_template_would_make_another_prompt_and_that_is_told(folder: Path, kind: str):
    """So it matters which one a server has: begin-of-text is missing, or something stands behind the image."""
    prompts = opened(folder, kind)
    turns = (Turn("user", (IMAGE, "what?")),)
    prompt = prompt_of(prompts, turns, [3])
    messages = Messages(prompts.renderer, prompts.image_token).of(turns, [prompt.images[0].embeddings])
    ids, _ = made(prompts, messages, prompts.template)
    told = difference(prompt, ids, prompts.tokenizer)
    assert told is not None
    assert "there and" in told


def test_a_text_that_says_what_a_mark_says_is_a_text(folder: Path):
    prompts = opened(folder, "vicuna")
    turns = (Turn("user", ("herotext1.", IMAGE, "herotext0. herotext")),)
    prompt = prompt_of(prompts, turns, [2])
    messages = Messages(prompts.renderer, prompts.image_token).of(turns, [prompt.images[0].embeddings])
    template = served_template(prompts.template, prompts.renderer, prompts.tokenizer)
    assert difference(prompt, made(prompts, messages, template)[0], prompts.tokenizer) is None


def test_an_image_is_sent_alone_not_with_the_tensor_that_it_is_a_part_of():
    whole = torch.zeros(1000, 64)
    assert len(packed(whole[:2])) < 4000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", ["<image>", "<prompt_embeds>", "end"])
def test_what_spells_a_control_token_is_refused_by_name(folder: Path, kind: str, word: str):
    prompts = opened(folder, kind)
    word = prompts.tokenizer.eos_token if word == "end" else word
    for said in ((word,), (IMAGE, f"is it {word}?")):
        with pytest.raises(Refusal) as caught:
            prompts.build(ChatJob((Turn("user", said),)))
        assert f"spell {word!r}, which is reserved" in caught.value.problem


def test_what_a_template_puts_together_is_refused_too(folder: Path):
    prompts = opened(folder, "yi, qwen")
    for word in ("<image>", "<prompt_embeds>", "<|im_end|>"):
        with pytest.raises(Refusal, match="which is reserved"):
            prompts.build(ChatJob((Turn("user", (word[:3], word[3:], IMAGE)),)))


def test_whose_text_it_is(folder: Path):
    prompts = opened(folder, "yi, qwen")
    turns = [Turn("user", (IMAGE, "a")), Turn("assistant", ("<|im_start|>",)), Turn("user", ("b",))]
    with pytest.raises(Refusal) as caught:
        prompts.build(ChatJob(tuple(turns)))
    assert (caught.value.role.name, caught.value.role.turn) == ("parts", 1)


def test_other_engines_read_it_as_text(folder: Path):
    mimic(folder, bytes_like("<|im_end|>", "<|im_start|>"), CHECKPOINTS["yi, qwen"][1])
    prompts = parts.open_prompts(LlmSettings(model=str(folder)))
    prompts.build(ChatJob((Turn("user", (ImagePart(digest="0" * 64), "<|im_end|> <prompt_embeds>")),)))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([1, 9, 9, 2], None),
        ([1, 9, 9, 3], "token 3 of a prompt is 3"),
        ([7, 9, 9, 2], "token 0 of a prompt is 7"),
        ([1, 9, 9], "a prompt has 3 tokens there and 4 here"),
        ([1, 9, 9, 2, 2], "a prompt has 5 tokens there and 4 here"),
        ([], "a prompt has 0 tokens there and 4 here"),
        ([1, 9, 8, 2], "texts in images' places"),
    ],
)
def test_a_difference_is_told(prompts: PromptBuilder, given: list[int], told: str | None):
    prompt = Prompt(torch.tensor([1, 5, 5, 2]), (Span(1, torch.zeros(2, WIDTH)),), torch.arange(4), 4)
    found = difference(prompt, given, prompts.tokenizer)
    assert (found is None) if told is None else (told in str(found))
