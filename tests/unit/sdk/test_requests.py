"""Arguments become requests; images are loaded, or refused by name."""

import pathlib

import numpy
import pytest

import heroserve
import heroserve.call
from heroserve.errors import ArgumentError
from heroserve.requests import ask_request, encode_request
from heroserve.v1.chat_pb2 import Message
from heroserve.v1.tokens_pb2 import Budget

PHOTO = b"\x89PNG photo"


@pytest.mark.parametrize(
    "build", [lambda **kw: ask_request(PHOTO, "q", **kw), lambda **kw: encode_request(PHOTO, "q", **kw)]
)
def test_budget(build):
    assert not build().HasField("budget")
    assert build(retention=0.25).budget.retention == 0.25
    assert build(max_visual_tokens=7).budget.max_visual_tokens == 7
    # Out of range, but the service's to say.
    assert build(retention=0.0).budget.WhichOneof("limit") == "retention"
    assert build(retention=7.0).budget.retention == 7.0
    assert build(max_visual_tokens=0).budget.WhichOneof("limit") == "max_visual_tokens"
    with pytest.raises(ValueError, match="retention and max_visual_tokens"):
        build(retention=0.0, max_visual_tokens=0)
    with pytest.raises(ValueError, match=r"Budget\.max_visual_tokens"):
        build(max_visual_tokens=-1)
    with pytest.raises(TypeError, match="'retenton'"):
        build(retenton=0.25)


def test_the_kinds_of_budget_are_those_of_the_wire():
    fields = {field.name for field in Budget.DESCRIPTOR.oneofs_by_name["limit"].fields}
    assert heroserve.BudgetOptions.__annotations__.keys() == fields
    assert fields < heroserve.GenerateOptions.__annotations__.keys()


def test_sampling_tells_unset_from_zero():
    unset = ask_request(None, "q").sampling
    assert not any(unset.HasField(name) for name in ("max_tokens", "temperature", "top_p", "seed"))
    zero = ask_request(None, "q", max_tokens=0, temperature=0.0, top_p=0.0, seed=0).sampling
    assert all(zero.HasField(name) for name in ("max_tokens", "temperature", "top_p", "seed"))
    with pytest.raises(ValueError, match="seed"):
        ask_request(None, "q", seed=-1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"max_visual_tokens": 2.0},
            "Budget.max_visual_tokens: expected a whole number from 1 to 4294967295, got float",
        ),
        (
            {"max_visual_tokens": True},
            "Budget.max_visual_tokens: expected a whole number from 1 to 4294967295, got bool",
        ),
        ({"max_tokens": 1 << 32}, "Sampling.max_tokens: expected a whole number from 1 to 4294967295, got 4294967296"),
        (
            {"max_tokens": numpy.zeros(2)},
            "Sampling.max_tokens: expected a whole number from 1 to 4294967295, got ndarray",
        ),
        ({"seed": -1}, "Sampling.seed: expected a whole number from 0 to 18446744073709551615, got -1"),
        (
            {"seed": 1 << 99999},
            "Sampling.seed: expected a whole number from 0 to 18446744073709551615, got one of 100000 b",
        ),
        ({"retention": True}, "Budget.retention: expected a number, got bool"),
        ({"retention": numpy.True_}, "Budget.retention: expected a number, got bool"),
        ({"temperature": "0"}, "Sampling.temperature: expected a number, got str"),
        ({"replan": "yes"}, "GenerateRequest.replan: expected True or False, got str"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.partition("got ")[2],
)
def test_what_no_field_holds_is_told_with_what_it_holds(options, told):
    with pytest.raises(ArgumentError) as refused:
        ask_request(None, "q", **options)
    assert str(refused.value).startswith(told)


def test_numbers_of_numpys():
    request = ask_request(
        None, "q", max_visual_tokens=numpy.int64(7), temperature=numpy.float32(0.5), seed=(1 << 64) - 1
    )
    assert (request.budget.max_visual_tokens, request.sampling.temperature) == (7, 0.5)
    assert request.sampling.seed == (1 << 64) - 1


def test_planning_by_the_last_question_is_asked_for():
    turns = [heroserve.user("What?", PHOTO), heroserve.assistant("A bus."), heroserve.user("Which?")]
    assert [heroserve.generate_request(turns, replan=each).replan for each in (None, False, True)] == [0, 0, 1]
    with pytest.raises(heroserve.ArgumentError, match="replan"):
        heroserve.generate_request(turns, replan="yes")


def test_one_budget_for_all_images_and_a_plan_alone_are_asked_for():
    turns = [heroserve.user("Same?", PHOTO, b"other")]
    assert [heroserve.generate_request(turns, share_budget=each).share_budget for each in (None, False, True)] == [
        0,
        0,
        1,
    ]
    assert ask_request(PHOTO, "?", share_budget=True, max_visual_tokens=9).budget.max_visual_tokens == 9
    assert [encode_request(PHOTO, "?", plan_only=each).plan_only for each in (False, True)] == [False, True]


def test_one_stop_string_is_not_taken_apart():
    assert ask_request(None, "q", stop="###").sampling.stop == ["###"]
    assert ask_request(None, "q", stop=("a", "b")).sampling.stop == ["a", "b"]


@pytest.mark.parametrize("schema", ['{"type": "object"}', {"type": "object"}])
def test_a_schema_is_json_or_what_makes_json(schema):
    assert ask_request(None, "?", json_schema=schema).sampling.json_schema == '{"type": "object"}'
    assert not ask_request(None, "?").sampling.HasField("json_schema")


def test_a_schema_that_is_none_is_told():
    with pytest.raises(ArgumentError, match=r"^json_schema: "):
        ask_request(None, "?", json_schema={"a": object()})
    with pytest.raises(ArgumentError, match=r"^json_schema: "):
        ask_request(None, "?", json_schema=5)


def test_messages():
    turns = [heroserve.system("Be brief."), heroserve.user("What?", PHOTO), heroserve.assistant("A bus.")]
    assert [turn.role for turn in turns] == [Message.SYSTEM, Message.USER, Message.ASSISTANT]
    assert [part.WhichOneof("content") for part in turns[1].parts] == ["image", "text"]
    assert [part.WhichOneof("content") for part in ask_request(None, "q").messages[0].parts] == ["text"]


def test_an_image_comes_from_a_path_bytes_or_a_message(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(PHOTO)
    for source in (str(path), path, PHOTO, heroserve.Image(data=PHOTO)):
        assert encode_request(source, "q").image.data == PHOTO
    assert encode_request(heroserve.Image(digest="ab"), "q").image.digest == "ab"


@pytest.fixture
def unsendable(tmp_path):
    """(source, what the error must name)."""
    empty, huge = tmp_path / "empty.png", tmp_path / "huge.png"
    empty.touch()
    with huge.open("wb") as file:
        file.truncate(heroserve.MAX_MESSAGE_BYTES + 1)  # sparse
    return [
        (tmp_path / "missing.png", "missing.png"),
        (str(tmp_path), "directory"),
        (empty, "image.data.*empty.png is empty"),
        (b"", "image.data.*empty"),
        (heroserve.Image(), "image.data.*empty"),
        (huge, f"image.data.*huge.png.*{heroserve.MAX_MESSAGE_BYTES}"),
    ]


def test_an_image_that_cannot_be_sent(client, peer, unsendable):
    for source, named in unsendable:
        for call in (client.ask, client.encode):
            with pytest.raises(heroserve.ImageError, match=named):
                call(source, "What?")
    assert peer.seen == []


def test_an_image_error_is_what_callers_may_expect():
    assert issubclass(heroserve.ImageError, heroserve.InvalidArgument)
    assert issubclass(heroserve.ImageError, ValueError)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path, monkeypatch):
    def never(path):
        raise AssertionError("read")

    monkeypatch.setattr(pathlib.Path, "read_bytes", never)
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(heroserve.MAX_MESSAGE_BYTES + 1)
    with pytest.raises(heroserve.ImageError):
        encode_request(huge, "q")


def test_images_too_large_together_are_refused_here(client, peer, monkeypatch):
    monkeypatch.setattr(heroserve.call, "MAX_MESSAGE_BYTES", 10_000)
    one, other = b"1" * 6_000, b"2" * 6_000
    request = heroserve.generate_request([heroserve.user("Same?", one, other)])
    with pytest.raises(heroserve.InvalidArgument, match=r"image\.data.*10000"):
        client.generate(request).read()
    assert peer.seen == []
    client.ask(one, "?")
    client.ask(other, "?")
    assert client.generate(request).read().text  # as digests they fit


def test_a_service_with_a_lower_limit_is_not_asked_again(connect, serve):
    peer = serve(max_bytes=1000)
    with pytest.raises(heroserve.InvalidArgument, match=r"image\.data.*1000"):
        connect(peer, timeout_s=5).ask(b"x" * 2000, "?")
    assert peer.seen == []
