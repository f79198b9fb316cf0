"""What an answer is, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from heroserve.explanation import Explanation
from heroserve.savings import Savings
from heroserve.v1 import chat_pb2


@dataclass(frozen=True)
class Usage:
    """Tokens read and written by the language model; `prompt_cached_tokens` of the prompt's it had read before."""

    prompt_text_tokens: int = 0
    prompt_visual_tokens: int = 0
    prompt_newline_tokens: int = 0
    completion_tokens: int = 0
    prompt_cached_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens the model read."""
        return self.prompt_text_tokens + self.prompt_visual_tokens + self.prompt_newline_tokens

    @classmethod
    def from_message(cls, message: chat_pb2.Usage) -> Usage:
        return cls(
            message.prompt_text_tokens,
            message.prompt_visual_tokens,
            message.prompt_newline_tokens,
            message.completion_tokens,
            message.prompt_cached_tokens,
        )


@dataclass(frozen=True)
class Timings:
    """Seconds since the service took the request up."""

    encode_s: float = 0.0
    time_to_first_token_s: float = 0.0
    total_s: float = 0.0

    @classmethod
    def from_message(cls, message: chat_pb2.ChatTimings) -> Timings:
        return cls(message.encode, message.time_to_first_token, message.total)


_REASONS = {number: name.lower() for name, number in chat_pb2.GenerateResponse.FinishReason.items()}


@dataclass(frozen=True)
class Answer:
    """A finished answer.

    Attributes:
        text: all of it.
        finish_reason: "stop" when the model or a stop string ended it, "length" when `max_tokens` did; "unknown" for a
            reason of a newer service that this version has no word for.
        usage, savings, timings: what it cost.
        request_id: what the services' logs call the request.
        explanations: of each image, in order, where they were asked for.
    """

    text: str
    finish_reason: str
    usage: Usage
    savings: Savings
    timings: Timings
    request_id: str = ""
    explanations: tuple[Explanation, ...] = ()

    @classmethod
    def from_message(cls, text: str, last: chat_pb2.GenerateResponse, request_id: str = "") -> Answer:
        """The answer that ends with the response `last`."""
        return cls(
            text=text,
            finish_reason=_REASONS.get(last.finish_reason, "unknown"),
            usage=Usage.from_message(last.usage),
            savings=Savings.from_message(last.savings),
            timings=Timings.from_message(last.timings),
            request_id=request_id,
            explanations=Explanation.from_response(last),
        )
