"""Every request is taken or refused with InvalidArgument, which names the field and the limit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.chat_pb2 import Sampling as SamplingMessage
from heroserve.v1.tokens_pb2 import Budget, Image
from services.common.budget import MaxVisualTokens
from services.common.errors import InvalidArgument
from services.llm.job import MAX_TEXT_CHARS, ChatJob, ImagePart, Sampling
from services.llm.refusal import Role
from tests.support.llm_parts import checked

IMAGE = Part(image=Image(data=b"png"))
ASK = Part(text="What?")


def user(*parts: Part) -> Message:
    return Message(role=Message.USER, parts=parts)


def assistant(*parts: Part) -> Message:
    return Message(role=Message.ASSISTANT, parts=parts)


def system(*parts: Part) -> Message:
    return Message(role=Message.SYSTEM, parts=parts)


def ask(*messages: Message, budget: Budget | None = None, **sampling) -> GenerateRequest:
    return GenerateRequest(messages=messages or [user(IMAGE, ASK)], budget=budget, sampling=SamplingMessage(**sampling))


REFUSED = {
    "nothing": (GenerateRequest(), "messages", "is empty"),
    "no role": (ask(Message(parts=[ASK])), "messages[0].role", "SYSTEM, USER or ASSISTANT"),
    "unknown role": (
        ask(Message(role=9, parts=[ASK])),
        "messages[0].role",
        "is 9; it must be SYSTEM, USER or ASSISTANT",
    ),
    "no role later": (ask(user(ASK), Message(parts=[ASK])), "messages[1].role", "SYSTEM, USER or ASSISTANT"),
    "last is assistant": (ask(user(ASK), assistant(ASK)), "messages[1].role", "must be the user's"),
    "last is system": (ask(system(ASK)), "messages[0].role", "must be the user's"),
    "no parts": (ask(user()), "messages[0].parts", "at least one part"),
    "no parts earlier": (ask(user(ASK), assistant(), user(ASK)), "messages[1].parts", "at least one part"),
    "empty part": (ask(user(ASK, Part())), "messages[0].parts[1]", "text or an image"),
    "empty image": (ask(user(Part(image=Image()), ASK)), "messages[0].parts[0].image", "send data or a digest"),
    "image alone": (ask(user(IMAGE)), "messages[0].parts", "at least one text part"),
    "blank text": (ask(user(IMAGE, Part(text=" \n\t"))), "messages[0].parts", "at least one text part"),
    "empty text": (ask(user(Part(text=""))), "messages[0].parts", "at least one text part"),
    "no question": (ask(user(IMAGE, ASK), assistant(ASK), user(Part(text=" "))), "messages[2].parts", "has no text"),
    "assistant's image": (ask(user(ASK), assistant(IMAGE), user(ASK)), "messages[1].parts", "text only"),
    "system's image": (ask(system(ASK, IMAGE), user(ASK)), "messages[0].parts", "text only"),
    "negative temperature": (ask(temperature=-1), "sampling.temperature", "0 to 2"),
    "nan temperature": (ask(temperature=math.nan), "sampling.temperature", "0 to 2"),
    "hot": (ask(temperature=3), "sampling.temperature", "0 to 2"),
    "a little too hot": (ask(temperature=2.0000001), "sampling.temperature", "0 to 2"),
    "infinitely hot": (ask(temperature=math.inf), "sampling.temperature", "0 to 2"),
    "top_p 0": (ask(top_p=0), "sampling.top_p", "above 0 and at most 1"),
    "top_p 2": (ask(top_p=2), "sampling.top_p", "above 0 and at most 1"),
    "top_p -0.1": (ask(top_p=-0.1), "sampling.top_p", "above 0 and at most 1"),
    "top_p nan": (ask(top_p=math.nan), "sampling.top_p", "above 0 and at most 1"),
    "max_tokens 0": (ask(max_tokens=0), "sampling.max_tokens", "at least 1"),
    "nine stops": (ask(stop=list("abcdefghi")), "sampling.stop", "has 9 strings; the limit is 8"),
    "empty stop": (ask(stop=["a", ""]), "sampling.stop[1]", "has 0 characters; it must have 1 to 64"),
    "long stop": (ask(stop=["a" * 65]), "sampling.stop[0]", "has 65 characters; it must have 1 to 64"),
    "a schema that is no JSON": (ask(json_schema="{"), "sampling.json_schema", "is no JSON"),
    "an empty schema": (ask(json_schema=""), "sampling.json_schema", "is no JSON"),
    "a schema that is no object": (ask(json_schema="true"), "sampling.json_schema", "no object"),
    "a long schema": (ask(json_schema=" " * 65_537), "sampling.json_schema", "the limit is 65536"),
    "a deep schema": (
        ask(json_schema='{"a": ' + "[" * 32 + "]" * 32 + "}"),
        "sampling.json_schema",
        "more than 32 levels",
    ),
    "an endlessly deep one": (ask(json_schema='{"a": ' + "[" * 60_000), "sampling.json_schema", "no JSON"),
    "retention 0": (ask(budget=Budget(retention=0)), "budget.retention", "above 0 and at most 1"),
    "retention -1": (ask(budget=Budget(retention=-1)), "budget.retention", "above 0 and at most 1"),
    "retention nan": (ask(budget=Budget(retention=math.nan)), "budget.retention", "above 0 and at most 1"),
    "retention 2": (ask(budget=Budget(retention=2)), "budget.retention", "above 0 and at most 1"),
    "no visual token": (ask(budget=Budget(max_visual_tokens=0)), "budget.max_visual_tokens", "at least 1"),
    "long text": (
        ask(user(Part(text="a" * (MAX_TEXT_CHARS + 1)))),
        "messages",
        f"{MAX_TEXT_CHARS + 1} characters; the limit is {MAX_TEXT_CHARS}",
    ),
    "long together": (
        ask(system(Part(text="é" * (MAX_TEXT_CHARS - 2))), user(Part(text="abc"))),
        "messages",
        f"{MAX_TEXT_CHARS + 1} characters; the limit is {MAX_TEXT_CHARS}",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_field_and_the_limit(name):
    request, field, limit = REFUSED[name]
    with pytest.raises(InvalidArgument) as refused:
        checked(request, max_images=4)
    assert refused.value.field == field
    assert refused.value.message.startswith(f"{field}: ")
    assert limit in refused.value.problem


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize(
    "messages", [[user(IMAGE, IMAGE, IMAGE, ASK)], [user(IMAGE, IMAGE, ASK), assistant(ASK), user(IMAGE, ASK)]]
)
def test_too_many_images(messages, limit):
    with pytest.raises(InvalidArgument, match=f"^messages: have 3 images; the limit is {limit}$"):
        checked(ask(*messages), max_images=limit)
    assert len(checked(ask(*messages), max_images=3).images) == 3


TAKEN = {
    "limits above": ask(temperature=2, top_p=1, max_tokens=2**32 - 1, seed=2**64 - 1, stop=["a" * 64] * 8),
    "limits below": ask(temperature=0, top_p=5e-324, max_tokens=1, seed=0),
    "retention 1": ask(budget=Budget(retention=1)),
    "a hair of retention": ask(budget=Budget(retention=5e-324)),
    "one token": ask(budget=Budget(max_visual_tokens=1)),
    "text only": ask(user(ASK)),
    "as long as may be": ask(user(Part(text="é" * MAX_TEXT_CHARS))),
    "system first": ask(system(ASK), user(IMAGE, ASK)),
    "a blank part beside a question": ask(user(Part(text=" "), IMAGE, ASK, Part(text=""))),
    "a digest": ask(user(Part(image=Image(digest="ab")), ASK)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_within_the_limits_is_taken(name):
    assert isinstance(checked(TAKEN[name], max_images=1), ChatJob)


def test_unset_sampling_is_the_services_default():
    assert checked(ask(), 1).sampling == Sampling(None, 0.0, 1.0, None, ())


def test_everything_asked_for_arrives():
    request = ask(
        system(Part(text="Be brief.")),
        user(Part(text=" What "), IMAGE, Part(text="is  this?\n")),
        budget=Budget(max_visual_tokens=77),
        max_tokens=5,
        temperature=0.5,
        top_p=0.25,
        seed=0,
        stop=["\n", "USER:"],
    )
    job = checked(request, 1)
    assert job.sampling == Sampling(5, 0.5, 0.25, 0, ("\n", "USER:"))
    assert job.budget == MaxVisualTokens(77)
    assert job.question == "What is  this?"
    assert [turn.role for turn in job.turns] == ["system", "user"]
    assert job.turns[1].parts == (" What ", ImagePart(data=IMAGE.image.data), "is  this?\n")
    assert job.images == [(Role("image", 1, 1), ImagePart(data=IMAGE.image.data))]


@pytest.mark.parametrize("replan", [False, True])
def test_the_question_of_an_image_is_its_turns_unless_another_is_asked_for(replan):
    turns = [user(IMAGE, Part(text="first")), assistant(Part(text="a")), user(IMAGE, Part(text="second"))]
    request = ask(*turns)
    request.replan = replan
    job = checked(request, 2)
    assert job.questions == ["second" if replan else "first", "second"]
    assert [place for place, _ in job.images] == [Role("image", 0, 0), Role("image", 2, 0)]


@pytest.mark.parametrize("shared", [False, True])
def test_whose_the_budget_is(shared):
    request = ask(budget=Budget(max_visual_tokens=7))
    request.share_budget = shared
    assert checked(request, 1).share_budget is shared


@pytest.mark.parametrize("wanted", [False, True])
def test_whether_what_is_kept_is_explained(wanted):
    request = ask()
    request.explain = wanted
    assert checked(request, 1).explain is wanted


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
images = st.one_of(st.builds(Image), st.builds(Image, data=st.binary(max_size=4)), st.builds(Image, digest=texts))
parts = st.one_of(st.builds(Part), st.builds(Part, text=texts), st.builds(Part, image=images))
messages = st.builds(Message, role=st.sampled_from([0, 1, 2, 3, 7, -1]), parts=st.lists(parts, max_size=4))
numbers = st.floats() | st.sampled_from([0.0, 1.0, 2.0])
samplings = st.builds(
    SamplingMessage,
    max_tokens=st.none() | st.integers(0, 2**32 - 1),
    temperature=st.none() | numbers,
    top_p=st.none() | numbers,
    seed=st.none() | st.integers(0, 2**64 - 1),
    stop=st.lists(st.one_of(texts, st.just("a" * 65)), max_size=10),
)
budgets = st.one_of(
    st.builds(Budget),
    st.builds(Budget, retention=numbers),
    st.builds(Budget, max_visual_tokens=st.integers(0, 2**32 - 1)),
)
requests = st.builds(GenerateRequest, messages=st.lists(messages, max_size=4), budget=budgets, sampling=samplings)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(request=requests, max_images=st.integers(1, 3))
def test_any_request_is_taken_or_refused_by_name(request, max_images):
    # As it comes off the wire.
    request = GenerateRequest.FromString(request.SerializeToString())
    try:
        job = checked(request, max_images)
    except InvalidArgument as error:
        top = error.field.replace("[", ".").split(".")[0]
        known = bool(error.problem) and top in GenerateRequest.DESCRIPTOR.fields_by_name
        assert known, error.message  # noqa: PT017
    else:
        assert job.question == job.question.strip() != ""
        assert len(job.questions) == len(job.images)
        assert all(question == question.strip() != "" for question in job.questions)
        assert len(job.images) <= max_images
        assert job.turns[-1].role == "user"
        assert 0 <= job.sampling.temperature <= 2
        assert 0 < job.sampling.top_p <= 1
