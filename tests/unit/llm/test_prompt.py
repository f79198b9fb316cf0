"""Prompts are Hugging Face's, with one placeholder an image."""

from __future__ import annotations

import itertools

import pytest
from transformers import LlavaNextProcessor

from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.tokens_pb2 import Image
from models.tokenizer import CHAT_TEMPLATE
from services.common.errors import InvalidArgument
from services.llm import parts
from services.llm.doors import grpc as door
from services.llm.prompt import PromptBuilder
from services.llm.refusal import Refusal
from services.llm.settings import LlmSettings
from tests.support.llm_parts import checked, job, picture

IMAGE = 3
ROLES = {"system": Message.SYSTEM, "user": Message.USER, "assistant": Message.ASSISTANT}
# (role, parts); an int is the width of a picture.
CONVERSATIONS = {
    "one image": [("user", [112, "what is this"])],
    "image last": [("user", ["what is this", 112])],
    "image between": [("user", ["what is", 112, "in the picture?"])],
    "text only": [("user", ["what is the word?"])],
    "several turns": [
        ("system", ["answer yes or no"]),
        ("user", [225, "is it red?"]),
        ("assistant", ["yes"]),
        ("user", ["and the circle?\n\n"]),
    ],
    "two images": [("user", [112, 225, "what is below?"])],
    "images in two turns": [("user", [112, "red?"]), ("assistant", ["no"]), ("user", [225, "and  this?"])],
    "unicode": [("user", [112, "Was heißt \N{GRINNING FACE}\N{ZERO WIDTH JOINER} 北京?"])],
    "white space": [("user", [112, "  what\t\n ", " is "])],
}


def request(turns) -> GenerateRequest:
    return GenerateRequest(
        messages=[
            Message(
                role=ROLES[role],
                parts=[Part(text=p) if isinstance(p, str) else Part(image=Image(digest=str(p))) for p in parts],
            )
            for role, parts in turns
        ]
    )


def build(prompts: PromptBuilder, turns) -> list[int]:
    """Token ids, or the refusal that a caller over gRPC would read."""
    try:
        return prompts.build(checked(request(turns), max_images=8))
    except Refusal as refusal:
        raise door.WORDS.refused(refusal) from refusal


def reference(processor, turns) -> list[int]:
    """The processor's ids, each run of placeholders cut down to one."""
    conversation = [
        {
            "role": role,
            "content": [
                {"type": "text", "text": p} if isinstance(p, str) else {"type": "image", "image": picture(p, 100)}
                for p in parts
            ],
        }
        for role, parts in turns
    ]
    out = processor.apply_chat_template(
        conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    ids = []
    for token, run in itertools.groupby(out["input_ids"][0].tolist()):
        # Neighbouring images of this template have a line break between them.
        ids += [token] if token == IMAGE else list(run)
    return ids


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_ids_are_hugging_faces(prompts, processor, name):
    turns = CONVERSATIONS[name]
    ids = build(prompts, turns)
    assert ids == reference(processor, turns)
    assert ids.count(IMAGE) == sum(isinstance(part, int) for _, parts in turns for part in parts)
    assert (ids[0], ids.count(1)) == (1, 1)


BOS = "{{ bos_token }}"


@pytest.mark.parametrize(
    "template", [BOS + CHAT_TEMPLATE, CHAT_TEMPLATE, "<s>" + CHAT_TEMPLATE], ids=["bos", "none", "text"]
)
def test_there_is_one_beginning_of_sequence(folder, processor, template):
    (folder / "chat_template.jinja").write_text(template)
    other = LlavaNextProcessor(
        image_processor=processor.image_processor,
        tokenizer=processor.tokenizer,
        chat_template=template,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    prompts = parts.open_prompts(LlmSettings(model=str(folder)))
    for turns in CONVERSATIONS.values():
        ids = build(prompts, turns)
        assert (ids[0], ids.count(1)) == (1, 1)
        assert ids == reference(other, turns)


def test_a_question_of_a_service_without_images(prompts):
    assert build(prompts, CONVERSATIONS["text only"]) == prompts.build(job("what is the word?"))


def test_what_the_template_refuses_is_the_callers_mistake(folder):
    refusing = "{% if messages|length > 3 %}{{ raise_exception('roles must alternate') }}{% endif %}" + CHAT_TEMPLATE
    (folder / "chat_template.jinja").write_text(refusing)
    prompts = parts.open_prompts(LlmSettings(model=str(folder)))
    with pytest.raises(InvalidArgument, match=r"^messages: .*roles must alternate"):
        build(prompts, [("user", ["what?"])] * 4)


def test_images_stand_first_in_the_bundled_models_prompts():
    """It was trained so, and answers something else behind a text; OpenAI's clients send the text first."""
    prompts = parts.open_prompts(LlmSettings())
    first = build(prompts, [("user", [112, 225, "what is the total?"])])
    for order in ([112, "what is the total?", 225], ["what is the total?", 112, 225]):
        assert build(prompts, [("user", order)]) == first
    head = prompts.tokenizer.convert_ids_to_tokens(first[:5])
    assert [token for token in head if token.startswith("<")] == ["<s>", "<|user|>", "<image>", "<image>"]
