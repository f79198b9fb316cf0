"""Whether a server makes the prompts that the checkpoint makes: from another prompt it would answer, and wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.common.identity import same
from services.common.shown import shown
from services.llm.assemble import Prompt


@dataclass(frozen=True)
class Example:
    """A conversation that a server is asked for its prompt of.

    Args:
        messages: as they are sent.
        prompt: the checkpoint's.
    """

    messages: list[dict[str, Any]]
    prompt: Prompt


@dataclass(frozen=True)
class Terms:
    """What a server has to agree to before it is sent requests.

    Args:
        examples: it makes these prompts.
        checkpoint: its weights are of this one, as ``identify`` has it; "" does not ask.
        tokenizer: of the checkpoint.
    """

    examples: Sequence[Example]
    checkpoint: str
    tokenizer: Any


def another_checkpoint(given: Sequence[int], terms: Terms) -> str | None:
    """Which one a server's template tells, where that is another; None where it is the same.

    Args:
        given: token ids of what it was made to write.
        terms: with ours.
    """
    expected = terms.tokenizer.encode(terms.checkpoint, add_special_tokens=False)
    told = str(terms.tokenizer.decode(given)).strip()
    return None if list(given) == expected or same(told, terms.checkpoint) else told


def difference(prompt: Prompt, given: Sequence[int], tokenizer: Any) -> str | None:
    """What of a server's prompt is not as the checkpoint's; None where it is the same.

    Args:
        prompt: the checkpoint's.
        given: token ids of the server's; those of an image may be any, but one alone.
        tokenizer: of the checkpoint, for the words.
    """
    text, expected = prompt.is_text().tolist(), prompt.token_ids.tolist()
    for at, (token, is_text) in enumerate(zip(given, text, strict=False)):
        if is_text and token != expected[at]:
            return (
                f"token {at} of a prompt is {_named(token, tokenizer)} there and {_named(expected[at], tokenizer)} here"
            )
    if len(given) != len(expected):
        return f"a prompt has {len(given)} tokens there and {len(expected)} here"
    if len({token for token, is_text in zip(given, text, strict=True) if not is_text}) > 1:
        return "it puts texts in images' places"
    return None


def _named(token: int, tokenizer: Any) -> str:
    try:
        word = tokenizer.convert_ids_to_tokens(token)
    except (IndexError, OverflowError):
        word = None
    return f"{token} ({shown(word)})" if word is not None else f"{token}"
