"""Requests out of plain arguments.

Ranges are the service's to check: its errors name the field and the limit.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypedDict, TypeVar, cast, get_args

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtoMessage
from typing_extensions import Unpack

from heroserve.errors import ArgumentError
from heroserve.images import ImageSource, load_image
from heroserve.sources import why_no_text
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part, Sampling
from heroserve.v1.encoder_pb2 import EncodeRequest, Features
from heroserve.v1.tokens_pb2 import Budget

M = TypeVar("M", bound=ProtoMessage)

_LONGEST = 200
# The fields there are, and the largest number that one holds.
_WHOLE = {FieldDescriptor.TYPE_UINT32: (1 << 32) - 1, FieldDescriptor.TYPE_UINT64: (1 << 64) - 1}
# What no service takes less of: to be told of a number that the field can't hold; 0 it can, and the service tells.
_LEAST = {"Sampling.max_tokens": 1, "Budget.max_visual_tokens": 1}
_REAL = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
# In which dtype rows are sent: the wire's names, in lower case.
RowDtype = Literal["float32", "float16", "bfloat16", "int8"]
# NumPy's two as well.
_BOOL = ("bool", "bool_")


class BudgetOptions(TypedDict, total=False):
    """The kinds of budget there are, named as on the wire: one of them, or none for the service's default.

    Keys:
        retention: share of each image's visual tokens to keep, in (0, 1].
        max_visual_tokens: number of visual tokens to keep of each image.
    """

    retention: float | None
    max_visual_tokens: int | None


class EncodeOptions(BudgetOptions, total=False):
    """What is to be told of an image; absent is not.

    Keys, beside those of `BudgetOptions`:
        explain: what made each tile matter.
        plan_only: only how many visual tokens it would be, without them.
        with_base: keep of each tile what no question changes, and tell it.
        rows: send them in this dtype, one of the description's `row_dtypes`; None or absent is as they are cached.
            `heroserve.rows` makes arrays of them. An older encoder sends them as they are: `features.dtype` tells.
    """

    explain: bool
    plan_only: bool
    with_base: bool
    rows: RowDtype | None


class GenerateOptions(BudgetOptions, total=False):
    """What an answer may cost and how it is drawn; None or absent takes the service's default.

    Keys, beside those of `BudgetOptions`:
        max_tokens: tokens to generate at most.
        temperature: 0 is greedy.
        top_p: nucleus size in (0, 1].
        seed: makes a drawn answer repeatable.
        stop: strings that end the answer and are no part of it.
        json_schema: a JSON Schema that the answer is to fit, as a dict or as JSON; refused where the engine can't.
        replan: choose the visual tokens of all images by the last question, not each by its own message's.
        share_budget: the budget is of all images together, shared by size and by relevance to their questions.
        explain: have the answer tell which visual tokens of each image were kept, and why: `Answer.explanations`.
    """

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: str | Sequence[str]
    json_schema: str | Mapping[str, Any] | None
    replan: bool | None
    share_budget: bool | None
    explain: bool | None


def user(text: str, *images: ImageSource) -> Message:
    """A user's message: images first, then the text. Raises ImageError, and ArgumentError for a text that is none."""
    parts = [Part(image=load_image(image)) for image in images]
    return Message(role=Message.USER, parts=[*parts, _part(text, "text")])


def assistant(text: str) -> Message:
    """An earlier answer."""
    return Message(role=Message.ASSISTANT, parts=[_part(text, "text")])


def system(text: str) -> Message:
    """Instructions; the first message, if any."""
    return Message(role=Message.SYSTEM, parts=[_part(text, "text")])


def generate_request(
    messages: Sequence[Message],
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
    json_schema: str | Mapping[str, Any] | None = None,
    replan: bool | None = None,
    share_budget: bool | None = None,
    explain: bool | None = None,
    **budget: Unpack[BudgetOptions],
) -> GenerateRequest:
    """A conversation to go on with, oldest message first; options as in `GenerateOptions`.

    Raises ArgumentError when two budgets are given, or something does not fit its field at all.
    """
    sampling = Sampling()
    with _naming("stop"):
        sampling.stop.extend([stop] if isinstance(stop, str) else stop or ())
    if json_schema is not None:
        with _naming("json_schema"):
            sampling.json_schema = json_schema if isinstance(json_schema, str) else json.dumps(dict(json_schema))
    _fill(sampling, max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    limit = _budget(budget)
    with _naming("messages"):
        turns = list(messages)
        for turn in turns:
            if not isinstance(turn, Message):  # of whose keys protobuf would say that it has none, whatever they hold
                raise TypeError(f"expected those of heroserve.user(...) and its like, got {type(turn).__name__}")
        request = GenerateRequest(messages=turns, budget=limit, sampling=sampling)
    return _fill(request, replan=replan, share_budget=share_budget, explain=explain)


def ask_request(image: ImageSource | None, question: str, **options: Unpack[GenerateOptions]) -> GenerateRequest:
    """One question about one image, or about none. Raises ImageError and what `generate_request` raises."""
    parts = [] if image is None else [Part(image=load_image(image))]
    return generate_request([Message(role=Message.USER, parts=[*parts, _part(question, "question")])], **options)


def encode_request(
    image: ImageSource,
    question: str,
    *,
    explain: bool = False,
    plan_only: bool = False,
    with_base: bool = False,
    rows: RowDtype | None = None,
    **budget: Unpack[BudgetOptions],
) -> EncodeRequest:
    """The visual tokens of an image for a question. Raises ImageError, and ArgumentError as above."""
    limit = _budget(budget)
    request = _fill(EncodeRequest(budget=limit), explain=explain, plan_only=plan_only, with_base=with_base)
    if rows is not None:
        request.rows = _dtype(rows)
    request.question = _text(question, "question")
    request.image.CopyFrom(load_image(image))
    return request


def _budget(options: BudgetOptions) -> Budget | None:
    """The wire's budget; the keys of `BudgetOptions` are its fields."""
    for name in options.keys() - BudgetOptions.__annotations__.keys():  # only a type checker saw the keywords yet
        raise TypeError(f"got an unexpected keyword argument {name!r}")
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) > 1:
        one, other = [name for name in BudgetOptions.__annotations__ if name in given][:2]
        raise ArgumentError(f"{one} and {other} are two ways to say the same: give one")
    return _fill(Budget(), **given) if given else None


def _dtype(rows: str) -> Features.DType:
    known = get_args(RowDtype)
    if not isinstance(rows, str) or rows not in known:
        got = repr(rows)[:_LONGEST] if isinstance(rows, str) else type(rows).__name__
        raise ArgumentError(f"rows: expected one of {', '.join(known)}, got {got}")
    return cast("Features.DType", Features.DType.Value(rows.upper()))


def _part(text: str, argument: str) -> Part:
    return Part(text=_text(text, argument))


def _text(text: str, argument: str) -> str:
    if not isinstance(text, str):
        raise ArgumentError(f"{argument}: expected a string, got {type(text).__name__}")
    with _naming(argument):
        text.encode()  # lone surrogates are none of Unicode's characters
    return text


def _fill(message: M, **fields: object) -> M:
    """Set the fields that are not None, each to what it can hold."""
    for name, value in fields.items():
        if value is not None:
            kind = message.DESCRIPTOR.fields_by_name[name].type
            argument = f"{type(message).__name__}.{name}"
            if problem := _misfit(value, kind, _LEAST.get(argument, 0)):
                raise ArgumentError(f"{argument}: {problem}")
            with _naming(argument):
                setattr(message, name, value)
    return message


def _misfit(value: object, kind: int, least: int) -> str | None:
    """Why a field of protobuf's `kind` can't hold a value, as the rest of a sentence. Numbers of NumPy's will do.
    A service takes `least` at least."""
    given = type(value).__name__
    if kind == FieldDescriptor.TYPE_BOOL:
        return None if given in _BOOL or isinstance(value, SupportsIndex) else f"expected True or False, got {given}"
    if kind in _REAL:
        number = given not in _BOOL and isinstance(value, SupportsFloat | SupportsIndex)
        return None if number else f"expected a number, got {given}"
    expected = f"expected a whole number from {least} to {_WHOLE[kind]}, got"
    if given in _BOOL or not isinstance(value, SupportsIndex):
        return f"{expected} {given}"
    try:
        whole = operator.index(value)
    except TypeError:  # an array
        return f"{expected} {given}"
    if 0 <= whole <= _WHOLE[kind]:
        return None
    return f"{expected} {whole if whole.bit_length() <= 128 else f'one of {whole.bit_length()} bits'}"


@contextmanager
def _naming(argument: str) -> Iterator[None]:
    """What protobuf says of a value, with the name of the argument."""
    try:
        yield
    except OverflowError as error:
        raise ArgumentError(f"{argument}: is larger than any number it can hold") from error
    except (AttributeError, TypeError, ValueError) as error:
        # protobuf repeats what it was given, which may be a whole picture.
        raise ArgumentError(f"{argument}: {why_no_text(error)[:_LONGEST]}") from error
