"""An answer in the types of OpenAI's own package, as bytes for the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openai.types import CompletionUsage, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as Piece
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from openai.types.completion_usage import PromptTokensDetails
from pydantic import BaseModel

from services.common.errors import ServiceError
from services.common.http_call import told
from services.llm.answer import Bill, FinishReason, Forecast, Usage
from services.llm.doors import explained
from services.llm.explanation import Explanation

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Head:
    """What every piece of an answer repeats.

    Args:
        id: of the answer.
        created: seconds of Unix time.
        model: as callers call it.
    """

    id: str
    created: int
    model: str


def model(name: str, created: int, context_length: int) -> Model:
    """With the length that vLLM tells too, under its name."""
    return Model.model_validate(
        {"id": name, "object": "model", "created": created, "owned_by": "heroserve", "max_model_len": context_length}
    )


def completion(head: Head, text: str, bill: Bill) -> bytes:
    message = ChatCompletionMessage(role="assistant", content=text, refusal=None)
    choice = Choice(index=0, message=message, finish_reason=bill.finish_reason, logprobs=None)
    whole = ChatCompletion(
        id=head.id,
        object="chat.completion",
        created=head.created,
        model=head.model,
        choices=[choice],
        usage=usage(bill.usage, bill),
        **_explained(bill.explanations),
    )
    return _json(whole)


def chunk(
    head: Head,
    text: str | None = None,
    *,
    role: bool = False,
    finish: FinishReason | None = None,
    taken: CompletionUsage | None = None,
    with_usage: bool = False,
    explanations: Sequence[Explanation] | None = None,
) -> bytes:
    """A piece of the answer.

    Args:
        head: of the answer.
        text: more of it.
        role: it is the first one.
        finish: it is the last one.
        taken: what the answer has taken so far.
        with_usage: the caller wants to see that in every piece, if only as null.
        explanations: of the images; None where nobody asked for them.
    """
    delta = {**({"role": "assistant"} if role else {}), **({} if text is None else {"content": text})}
    piece = Piece(index=0, delta=ChoiceDelta.model_validate(delta), finish_reason=finish, logprobs=None)
    return _event(head, [piece], _explained(explanations) | ({"usage": taken} if with_usage else {}))


def last(head: Head, bill: Bill) -> bytes:
    """The piece behind the last one, which tells what the answer took."""
    return _event(head, [], {"usage": usage(bill.usage, bill)})


def failure(error: ServiceError) -> bytes:
    """How a stream ends that is broken off."""
    return b"data: " + told(error)[1] + b"\n\n"


def usage(taken: Usage, bill: Bill | Forecast | None = None) -> CompletionUsage:
    """Newlines between rows of an image count as the image's."""
    images = taken.prompt_visual_tokens + taken.prompt_newline_tokens
    prompt = taken.prompt_text_tokens + images
    found: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": taken.completion_tokens,
        "total_tokens": prompt + taken.completion_tokens,
        "prompt_tokens_details": PromptTokensDetails(
            image_tokens=images, text_tokens=taken.prompt_text_tokens, cached_tokens=taken.prompt_cached_tokens
        ),
    }
    if bill is not None:
        savings, timings = bill.savings, bill.timings
        found["heroserve"] = {
            "visual_tokens": {"total": savings.total, "kept": savings.kept, "dropped": savings.dropped},
            "saved": {"prefill_flops": savings.prefill_flops, "kv_cache_bytes": savings.kv_cache_bytes},
            "newline_tokens": taken.prompt_newline_tokens,
            "image_cache": list(bill.image_cache),
            "timings": {
                "encode_s": timings.encode,
                "time_to_first_token_s": timings.time_to_first_token,
                "total_s": timings.total,
            },
        }
    return CompletionUsage.model_validate(found)


def _explained(explanations: Sequence[Explanation] | None) -> dict[str, Any]:
    """Beside the usage, which a stream tells only where that is asked for."""
    if explanations is None:
        return {}
    return {"heroserve": {"explanations": list(map(explained.as_json, explanations))}}


def _event(head: Head, choices: list[Piece], more: dict[str, Any]) -> bytes:
    found = ChatCompletionChunk(
        id=head.id,
        object="chat.completion.chunk",
        created=head.created,
        model=head.model,
        choices=choices,
        **more,
    )
    return b"data: " + _json(found) + b"\n\n"


def _json(found: BaseModel) -> bytes:
    return found.model_dump_json(exclude_unset=True).encode()
