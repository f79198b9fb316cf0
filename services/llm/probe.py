"""What a chat template can do, found by conversations that nobody had: no caller should be the one to find out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.shown import first_line
from services.llm.conversations import FIRST, QUESTION, SECOND, of_role, of_two_images
from services.llm.job import ImagePart, Turn, TurnRole
from services.llm.render import FAILURES, FORMS, Form, Renderer
from services.llm.template import told

# How a list of parts looks where a template writes it as if it were a text.
_LEAKED = re.compile(rf"""["']text["']: ?["']({QUESTION}|{FIRST}|{SECOND})""")


class _Unfit(Exception):
    """A template does not do what was asked of it; the message says what it does."""


@dataclass
class Fit:
    """How a template is to be used.

    Args:
        renderer: of it.
        refused: roles that it takes nothing of, and why.
        places_images: whether it can place more than one.
    """

    renderer: Renderer
    refused: dict[TurnRole, str] = field(default_factory=dict)
    places_images: bool = False


@dataclass(frozen=True)
class _Bench:
    """What templates are tried on."""

    tokenizer: Any
    template: str
    image_token_id: int
    embeddings: int
    secret: bool
    bounds: tuple[str, str]

    def renderer(self, forms: Mapping[TurnRole, Form]) -> Renderer:
        image_token = self.tokenizer.convert_ids_to_tokens(self.image_token_id)
        return Renderer(self.tokenizer, self.template, image_token, forms, self.bounds)

    def places(self, renderer: Renderer, *turns: Turn) -> int:
        """Placeholders in a conversation's prompt."""
        ids = renderer.ids(turns)
        if beyond := [token for token in ids if token >= self.embeddings and token != self.image_token_id]:
            written = self.tokenizer.convert_ids_to_tokens(beyond[0])
            raise _Unfit(f"writes {written!r} ({beyond[0]}), which has no embedding")
        return ids.count(self.image_token_id)

    def check(self, renderer: Renderer, turns: Sequence[Turn]) -> None:
        """Raises:
        _Unfit: not all of a conversation is in the prompt as it was said.
        """
        text = renderer.text(turns)
        if _LEAKED.search(text):
            raise _Unfit("writes parts of a message as they look in Python")
        for turn in turns:
            if lost := [word for word in turn.texts if word not in text]:
                raise _Unfit(f"leaves out {len(lost)} of {len(turn.texts)} texts of a message")
        if FIRST in text and SECOND in text and text.partition(FIRST)[2].partition(SECOND)[0].strip():
            raise _Unfit("closes a message behind every text")
        images = sum(isinstance(part, ImagePart) for turn in turns for part in turn.parts)
        if (places := self.places(renderer, *turns)) != images:
            raise _Unfit(f"makes {places} placeholders of {images} images")


def fit(
    source: Checkpoint,
    tokenizer: Any,
    template: str,
    image_token_id: int,
    embeddings: int,
    *,
    bounds: tuple[str, str] = ("", ""),
    chosen: str = "",
) -> Fit:
    """Find the forms in which a template takes what is said, and what it does not take.

    Args:
        source: the checkpoint.
        tokenizer: its.
        template: in Jinja.
        image_token_id: an image's placeholder.
        embeddings: how many tokens have one.
        bounds: tokens that go before and behind a placeholder.
        chosen: the setting that the template is of; empty where it is the checkpoint's own.

    Raises:
        SettingError: it can't ask a question about an image.
    """
    bench = _Bench(tokenizer, template, image_token_id, embeddings, secret=bool(chosen), bounds=bounds)
    forms: dict[TurnRole, Form] = {"system": "parts", "user": "parts", "assistant": "parts"}
    try:
        forms["user"] = _form(bench, forms, "user")
    except _Unfit as problem:
        unfit = f"the chat template can't ask about an image: it {problem}"
        if chosen:
            raise SettingError(f"{told(source, chosen)}: {unfit}") from problem
        raise source.unusable(f"{unfit}; {source.template_variable} takes another") from problem
    refused: dict[TurnRole, str] = {}
    for role in ("system", "assistant"):
        try:
            forms[role] = _form(bench, forms, role)
        except _Unfit as problem:
            refused[role] = f"it {problem}"
    renderer = bench.renderer(forms)
    return Fit(renderer, refused, _places_images(bench, renderer, refused))


def _form(bench: _Bench, forms: Mapping[TurnRole, Form], role: TurnRole) -> Form:
    """The first form in which a role's turn comes out whole.

    Raises:
        _Unfit: none does; told of the first, which is the most usual.
    """
    problems: list[str] = []
    for form in FORMS:
        texts = (FIRST, SECOND) if form == "parts" else (FIRST,)
        renderer = bench.renderer({**forms, role: form})
        try:
            for turns in of_role(role, texts):
                bench.check(renderer, turns)
        except _Unfit as problem:
            problems.append(str(problem))
        except FAILURES as error:
            problems.append(f"fails: {_failure(error) if bench.secret else line(error)}")
        else:
            return form
    raise _Unfit(problems[0])


def _places_images(bench: _Bench, renderer: Renderer, refused: Mapping[TurnRole, str]) -> bool:
    """Whether two images of a turn, or of two turns, each get a place."""
    of_one_turn, of_two = of_two_images()
    for turns in [of_one_turn] if "assistant" in refused else [of_one_turn, of_two]:
        try:
            if bench.places(renderer, *turns) == 2:
                return True
        except (_Unfit, *FAILURES):
            continue
    return False


def _failure(error: Exception) -> str:
    """Of a template that may be any file: none of what Jinja repeats of it; ``raise_exception`` has its own words."""
    if not isinstance(error, TemplateError) or type(error) is TemplateError:
        return line(error)
    number = getattr(error, "lineno", None)
    return type(error).__name__ + ("" if number is None else f" in line {number}")


def line(error: Exception) -> str:
    """What a template's failure says."""
    return first_line(error)
