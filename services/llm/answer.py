"""What a job yields: text as it comes, and last the bill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.llm.explanation import Explanation

# "stop": the model ended its answer, or a stop string did; "length": max_tokens was reached.
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Usage:
    """Tokens that the language model read and wrote. ``prompt_cached_tokens`` of the prompt's it had read before."""

    prompt_text_tokens: int
    prompt_visual_tokens: int
    prompt_newline_tokens: int
    completion_tokens: int
    prompt_cached_tokens: int = 0


@dataclass(frozen=True)
class Delta:
    """More of the answer's text; never empty. ``usage`` is what the answer has taken so far."""

    text: str
    usage: Usage


@dataclass(frozen=True)
class Savings:
    """Visual tokens of all images, newline tokens not counted; and what the language model was spared by those that
    were dropped: floating-point operations of prefill, and bytes of KV cache."""

    total: int
    kept: int
    prefill_flops: float = 0.0
    kv_cache_bytes: int = 0

    @property
    def dropped(self) -> int:
        return self.total - self.kept


@dataclass(frozen=True)
class Timings:
    """Seconds since the job was taken up; ``encode`` is 0 where there was no image."""

    encode: float
    time_to_first_token: float
    total: float


@dataclass(frozen=True)
class Bill:
    """The end of an answer; ``explanations`` are of the images, in order, None where nobody asked for them;
    ``image_cache`` whether the encoder had each: hit, miss or bypass."""

    finish_reason: FinishReason
    usage: Usage
    savings: Savings
    timings: Timings
    explanations: tuple[Explanation, ...] | None = None
    image_cache: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What an answer would read, of a job that was only planned; the rest as of a ``Bill``."""

    usage: Usage
    savings: Savings
    timings: Timings
    explanations: tuple[Explanation, ...]
    image_cache: tuple[str, ...]
