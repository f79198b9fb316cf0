"""Texts that spell control tokens, where those who read them take them for such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.llm.job import ImagePart, Turn
from services.llm.refusal import Refusal, Role
from services.llm.render import Renderer


def refuse_spelt(
    renderer: Renderer, tokenizer: Any, turns: tuple[Turn, ...], ids: Sequence[int], words: Sequence[str]
) -> None:
    """Args:
        renderer: of the chat template.
        tokenizer: the model's.
        turns: of a conversation.
        ids: of its prompt, where texts are texts.
        words: that are control tokens to who reads it, and that the tokenizer knows nothing of.

    Raises:
        Refusal: read elsewhere, its texts would be read as something else.
    """
    for index, turn in enumerate(turns):
        for word in words:
            # A template may put texts together.
            if word in "".join(turn.texts):
                raise _spelt(Role("parts", turn=index), word)
    read = renderer.ids(turns, sanitized=False)
    if read == list(ids):
        return
    word = _first(Counter(read) - Counter(ids), tokenizer)
    bare = tuple(without_words(turn) for turn in turns)
    for index, turn in enumerate(turns):
        # Whose: with the words of this turn alone.
        alone = (*bare[:index], turn, *bare[index + 1 :])
        if renderer.ids(alone, sanitized=False) != renderer.ids(alone):
            raise _spelt(Role("parts", turn=index), word)
    raise _spelt(Role("messages"), word)


def without_words(turn: Turn) -> Turn:
    """The same with a letter in each text's place."""
    return replace(turn, parts=tuple(part if isinstance(part, ImagePart) else "x" for part in turn.parts))


def _first(made: Counter[int], tokenizer: Any) -> str:
    added = tokenizer.added_tokens_decoder
    return next((str(added[token].content) for token in made if token in added), "a control token")


def _spelt(role: Role, word: str) -> Refusal:
    return Refusal(
        role,
        f"spell {word!r}, which is reserved: texts are read by the vLLM server beside (HEROSERVE_ENGINE), which takes "
        "that for a token of its own; write it in another way",
    )
