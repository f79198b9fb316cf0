"""The gRPC door: ``heroserve.v1.VisionChat`` to jobs and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from heroserve.v1 import tokens_pb2
from heroserve.v1.chat_pb2 import ChatTimings, GenerateRequest, GenerateResponse, Message, Part
from heroserve.v1.chat_pb2 import Sampling as SamplingMessage
from heroserve.v1.chat_pb2 import Usage as UsageMessage
from services.common.errors import InvalidArgument
from services.common.wire import parse_budget
from services.llm.answer import Bill, Delta, FinishReason
from services.llm.doors import explained
from services.llm.doors.words import Words
from services.llm.job import ChatJob, ImagePart, Sampling, Turn, TurnRole
from services.llm.refusal import RoleName

_TURN_ROLES: dict[int, TurnRole] = {Message.SYSTEM: "system", Message.USER: "user", Message.ASSISTANT: "assistant"}
_FINISH: dict[FinishReason, GenerateResponse.FinishReason] = {
    "stop": GenerateResponse.STOP,
    "length": GenerateResponse.LENGTH,
}
# As the proto calls it, within the message or part it belongs to.
_FIELDS: dict[RoleName, str] = {
    "messages": "messages",
    "message_role": "messages[{turn}].role",
    "parts": "messages[{turn}].parts",
    "text": "messages[{turn}].parts[{item}].text",
    "image": "messages[{turn}].parts[{item}].image",
    "image_data": "messages[{turn}].parts[{item}].image.data",
    "image_digest": "messages[{turn}].parts[{item}].image.digest",
    "budget": "budget",
    "retention": "budget.retention",
    "max_visual_tokens": "budget.max_visual_tokens",
    "max_tokens": "sampling.max_tokens",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "seed": "sampling.seed",
    "stop": "sampling.stop",
    "json_schema": "sampling.json_schema",
}
WORDS = Words(_FIELDS)


def parse_request(request: GenerateRequest) -> ChatJob:
    """A job; what it asks for is checked where it is done.

    Raises:
        InvalidArgument: a message or a part is none, or the budget is out of range.
    """
    return ChatJob(
        turns=tuple(_parse_message(f"messages[{i}]", message) for i, message in enumerate(request.messages)),
        budget=parse_budget(request.budget),
        sampling=_parse_sampling(request.sampling),
        replan=request.replan,
        share_budget=request.share_budget,
        explain=request.explain,
    )


def response(piece: Delta | Bill) -> GenerateResponse:
    """A piece of an answer as it goes over the wire."""
    if isinstance(piece, Delta):
        return GenerateResponse(delta=piece.text)
    usage, savings, timings = piece.usage, piece.savings, piece.timings
    return GenerateResponse(
        finish_reason=_FINISH[piece.finish_reason],
        usage=UsageMessage(
            prompt_text_tokens=usage.prompt_text_tokens,
            prompt_visual_tokens=usage.prompt_visual_tokens,
            prompt_newline_tokens=usage.prompt_newline_tokens,
            completion_tokens=usage.completion_tokens,
            prompt_cached_tokens=usage.prompt_cached_tokens,
        ),
        savings=tokens_pb2.Savings(
            total=savings.total,
            kept=savings.kept,
            dropped=savings.dropped,
            prefill_flops=savings.prefill_flops,
            kv_cache_bytes=savings.kv_cache_bytes,
        ),
        timings=ChatTimings(
            encode=timings.encode, time_to_first_token=timings.time_to_first_token, total=timings.total
        ),
        explanations=[explained.message(each) for each in piece.explanations or ()],
    )


async def responses(pieces: AsyncIterator[Delta | Bill]) -> AsyncIterator[GenerateResponse]:
    """An answer's pieces as they go over the wire; closing it closes them.

    Raises:
        ServiceError: a refusal, in the proto's words.
    """
    async with aclosing(WORDS.told(pieces)) as told:  # type: ignore[type-var]
        async for piece in told:
            yield response(piece)


def _parse_message(field: str, message: Message) -> Turn:
    if message.role not in _TURN_ROLES:
        problem = f"is {message.role}" if message.role else "is missing"
        raise InvalidArgument(f"{field}.role", f"{problem}; it must be SYSTEM, USER or ASSISTANT")
    parts = tuple(_parse_part(f"{field}.parts[{i}]", part) for i, part in enumerate(message.parts))
    return Turn(_TURN_ROLES[message.role], parts)


def _parse_part(field: str, part: Part) -> str | ImagePart:
    match part.WhichOneof("content"):
        case "text":
            return part.text
        case "image":
            image = part.image
            source = image.WhichOneof("source")
            return ImagePart(
                data=image.data if source == "data" else None, digest=image.digest if source == "digest" else None
            )
        case _:
            raise InvalidArgument(field, "is empty; it must hold text or an image")


def _parse_sampling(message: SamplingMessage) -> Sampling:
    return Sampling(
        max_tokens=message.max_tokens if message.HasField("max_tokens") else None,
        temperature=message.temperature,
        top_p=message.top_p if message.HasField("top_p") else 1.0,
        seed=message.seed if message.HasField("seed") else None,
        stop=tuple(message.stop),
        json_schema=message.json_schema if message.HasField("json_schema") else None,
    )
