"""What OpenAI's clients send of a chat completion and is not served: taken where it asks for nothing, else named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OFF = (None, False)
_EMPTY: tuple[object, ...] = (None, [], {}, "")
_ZERO = (None, 0)
_ONE = (None, 1)

# Values that change no answer, by field. Whatever stands neither here nor among what is served (user, metadata, store,
# what a front end adds for itself) changes none.
NEUTRAL: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("n", "best_of", "repetition_penalty", "length_penalty"), _ONE),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "min_p", "min_tokens", "top_logprobs"), _ZERO),
    **dict.fromkeys(
        ("logprobs", "use_beam_search", "echo", "include_stop_str_in_output", "continue_final_message"), _OFF
    ),
    **dict.fromkeys(("add_generation_prompt", "skip_special_tokens", "spaces_between_special_tokens"), (None, True)),
    **dict.fromkeys(("tools", "functions", "logit_bias", "stop_token_ids", "bad_words", "allowed_token_ids"), _EMPTY),
    **dict.fromkeys(("tool_choice", "function_call"), (None, "none", "auto")),
    **dict.fromkeys(("audio", "web_search_options", "structured_outputs", "guided_json", "guided_regex"), _EMPTY),
    **dict.fromkeys(("guided_choice", "guided_grammar", "chat_template", "documents", "logits_processors"), _EMPTY),
    **dict.fromkeys(("chat_template_kwargs", "mm_processor_kwargs", "prompt_logprobs"), _EMPTY),
    "top_k": (None, 0, -1),
    "modalities": (None, [], ["text"]),
}
# What it is that is missing, where the name alone does not tell.
_WHY = {
    "n": "one answer a request is served",
    "tools": "the model calls no tools",
    "functions": "the model calls no functions",
    "logprobs": "probabilities are not told",
    "modalities": "answers are text",
}
_OTHERWISE = "it would change the answer, and is not served here"


def unsupported(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first field that would change the answer and is not served, and why; None where there is none."""
    for field, harmless in NEUTRAL.items():
        if not any(_same(body.get(field), each) for each in harmless):
            return field, _WHY.get(field, _OTHERWISE)
    return None


def _same(value: object, other: object) -> bool:
    """1 is not true."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)
