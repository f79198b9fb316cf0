"""A chat template at work: from turns to the text and the token ids of a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from jinja2 import TemplateError

from services.llm.job import ImagePart, Turn, TurnRole

# How a template takes what a turn says: text parts as they are (as Hugging Face's processors hand them over), all in
# one part, or a string in place of parts.
Form = Literal["parts", "one part", "string"]
FORMS: tuple[Form, ...] = get_args(Form)

# What a template may raise: it can compute, and asks the tokenizer to encode. Python may not compile it.
FAILURES = (
    *(TemplateError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError),
    *(SyntaxError, TypeError, ValueError),
)
# Characters that a template may add to a conversation, and how often it may repeat one: no context holds more.
_ADDED = 1 << 20
_TIMES = 8

# Before a template that wants strings. A placeholder that it writes is the template's own, where one in a caller's
# text is text; images come first, as in LLaVA's own prompts. It ends in no block: one would swallow a line break.
_STRINGS = """\
{%- set turns = namespace(all=[]) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{%- set turn = namespace(images='', text='') -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}
{%- set turn.images = turn.images + IMAGE + '\\n' -%}
{%- else -%}
{%- set turn.text = part.text -%}
{%- endif -%}
{%- endfor -%}
{%- set turns.all = turns.all + [dict(role=message.role, content=turn.images + turn.text)] -%}
{%- else -%}
{%- set turns.all = turns.all + [message] -%}
{%- endif -%}
{%- endfor -%}
{%- set messages = turns.all -%}
{{ '' }}"""


class Renderer:
    """A template, and the form of what it is given.

    Args:
        tokenizer: of transformers.
        template: in Jinja.
        image_token: an image's placeholder.
        forms: by who speaks.
        bounds: tokens that go before and behind each placeholder, see ``LanguageHalf.image_bounds``.

    Attributes:
        forms: see above.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: str,
        image_token: str,
        forms: Mapping[TurnRole, Form],
        bounds: tuple[str, str] = ("", ""),
    ) -> None:
        self._tokenizer = tokenizer
        self._image_token = image_token
        self._bounds = bounds
        self.forms = forms
        self._template = template
        if forms["user"] == "string":
            self._template = _STRINGS.replace("IMAGE", json.dumps(image_token)) + template
        self._before, self._after = _added_by(tokenizer)

    def text(self, turns: Sequence[Turn]) -> str:
        """What the template writes, with what goes around images.

        Raises:
            ValueError: that is far longer than what was said; and what a template may raise (``probe.FAILURES``).
        """
        text: str = self._tokenizer.apply_chat_template(
            self._messages(turns), chat_template=self._template, tokenize=False, add_generation_prompt=True
        )
        said = sum(len(part) for turn in turns for part in turn.texts)
        if len(text) > _ADDED + _TIMES * said:
            raise ValueError(f"it makes {len(text)} characters of {said}")
        before, after = self._bounds
        return text.replace(self._image_token, f"{before}{self._image_token}{after}")

    def ids(self, turns: Sequence[Turn], *, sanitized: bool = True) -> list[int]:
        """Token ids of what the template writes.

        Args:
            turns: of the conversation.
            sanitized: control tokens are those that the template writes itself; else, as most who read templates have
                it, those that texts spell too.

        Raises:
            ValueError: see ``text``.
        """
        # Tokenizing takes far longer than writing.
        self.text(turns)
        ids: list[int] = self._tokenizer.apply_chat_template(
            self._messages(turns),
            chat_template=self._template,
            add_generation_prompt=True,
            return_dict=False,
            sanitize_control_tokens=sanitized,
        )
        before, after = self.added(ids)
        return [*before, *self._bounded(ids), *after]

    def _bounded(self, ids: list[int]) -> list[int]:
        """With the ids of what goes around images: of placeholders alone, never of a text that spells one."""
        if not any(self._bounds):
            return ids
        image = self._id(self._image_token)
        before, after = ([self._id(token)] if token else [] for token in self._bounds)
        return [token for one in ids for token in ([*before, one, *after] if one == image else [one])]

    def _id(self, token: str) -> int:
        return int(self._tokenizer.convert_tokens_to_ids(token))

    def added(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """What goes before and behind a prompt, of ids that the template has written.

        As processors do: templates differ in whether they write the beginning-of-sequence token themselves.
        """
        return ([], []) if ids and ids[0] == self._tokenizer.bos_token_id else (self._before, self._after)

    def texts(self, turn: Turn) -> list[str]:
        """What a turn without images says, in the parts that the template takes it in."""
        # Of several texts that can't stand apart: a line each.
        return turn.texts if self.forms[turn.role] == "parts" or not turn.texts else ["\n".join(turn.texts)]

    def _messages(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        return [{"role": turn.role, "content": self._content(turn)} for turn in turns]

    def _content(self, turn: Turn) -> str | list[dict[str, str]]:
        form = self.forms[turn.role]
        if form == "parts":
            parts: Sequence[str | ImagePart] = turn.parts
        elif form == "string" and turn.role != "user":
            return "".join(self.texts(turn))
        else:
            parts = [*(part for part in turn.parts if isinstance(part, ImagePart)), *self.texts(turn)]
        return [{"type": "image"} if isinstance(part, ImagePart) else {"type": "text", "text": part} for part in parts]


def _added_by(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and behind a text."""
    bare, whole = (tokenizer("x", add_special_tokens=added).input_ids for added in (False, True))
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []
