"""The process of ``rehearsal``: ``python -m services.llm.rehearsal_main``, with limits of its own.

Renders what it is given on standard input. Ends with 0 where nothing took too much; that a template fails does not
matter here.
"""

from __future__ import annotations

import itertools
import json
import sys
from types import SimpleNamespace
from typing import Any, get_args

from transformers.utils.chat_template_utils import render_jinja_template

from services.common import child
from services.llm import conversations
from services.llm.job import Turn, TurnRole
from services.llm.render import FAILURES, FORMS, Form, Renderer

# Told by the exit status, which this process shares with who started it.
OUT_OF_MEMORY = 3


class _Texts:
    """As much of a tokenizer as rendering takes."""

    def __init__(self, special_tokens: dict[str, Any]) -> None:
        self._special_tokens = special_tokens

    def __call__(self, text: str, **_: Any) -> Any:
        return SimpleNamespace(input_ids=[])

    def apply_chat_template(self, messages: Any, *, tokenize: bool, **asked: Any) -> str:
        texts, _ = render_jinja_template(conversations=[messages], **asked, **self._special_tokens)
        return str(texts[0])


def _rehearse(texts: _Texts, template: str, image_token: str) -> None:
    """Render all that a probe, whatever it finds, may render."""
    roles: tuple[TurnRole, ...] = get_args(TurnRole)
    told = [*conversations.of_two_images()]
    for role in roles:
        told += conversations.of_role(role, (conversations.FIRST,))
        told += conversations.of_role(role, (conversations.FIRST, conversations.SECOND))
    for system, user, assistant in itertools.product(FORMS, repeat=3):
        forms: dict[TurnRole, Form] = {"system": system, "user": user, "assistant": assistant}
        renderer = Renderer(texts, template, image_token, forms)
        for turns in told:
            _render(renderer, turns)


def _render(renderer: Renderer, turns: list[Turn]) -> None:
    try:
        renderer.text(turns)
    except MemoryError:
        raise
    except FAILURES:
        return


def main() -> int:
    seconds, memory_bytes = (int(value) for value in sys.argv[1:])
    asked = json.load(sys.stdin)
    child.limit_memory(memory_bytes)
    child.limit_processor(seconds)
    try:
        _rehearse(_Texts(asked["special_tokens"]), asked["template"], asked["image_token"])
    except MemoryError:
        return OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main())
